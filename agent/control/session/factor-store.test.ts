import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { errorCodeOf } from '../../../proto/model/error.ts';
import { makeRecoverySet, totpCode, totpStepAt, totpStepMs } from '../../../proto/model/totp.ts';
import { systemRandom } from '../../lib/random.ts';
import type { FactorOffer } from './api.ts';
import { openFactorStore, wrongCodesMax, wrongCodesPauseMs } from './factor-store.ts';
import type { FactorStore } from './factor-store.ts';

const ada = 'operator/ada';
const factorId = '01JZ0000000000000000000000';
const secret = Buffer.alloc(20, 7);
const recovery = makeRecoverySet((bytes) => systemRandom.bytes(bytes));
const offer: FactorOffer = { factorId, secret, recoverySalt: recovery.salt, recoveryHashes: recovery.hashes };
const startMs = 1_800_000_000_000;
const codeAt = (atMs: number): string => totpCode(secret, totpStepAt(atMs));

let stateDir: string;
let store: FactorStore;
const outcome = (work: () => unknown): unknown => {
  try {
    return work() ?? 'OK';
  } catch (error) {
    return errorCodeOf(error);
  }
};
const spend = (code: string, nowMs: number, subject = ada): unknown => outcome(() => store.spend(subject, { factorId, code }, nowMs));
const restart = (): void => {
  store.close();
  store = openFactorStore(stateDir);
};

beforeEach(async () => {
  stateDir = await mkdtemp(join(tmpdir(), 'nest-factors-'));
  store = openFactorStore(stateDir);
  store.put(ada, offer, startMs);
});
afterEach(async () => {
  store.close();
  await rm(stateDir, { recursive: true });
});

describe('a witness', () => {
  it('takes a code once, also after a restart, and the next one', () => {
    const code = codeAt(startMs);
    expect([spend(code, startMs), spend(code, startMs + 1_000)]).toEqual([10, 'MFA_WRONG']);
    restart();
    expect([spend(code, startMs + 2_000), spend(codeAt(startMs + totpStepMs), startMs + totpStepMs)]).toEqual(['MFA_WRONG', 10]);
  });

  it('does not take the code of an earlier step after a later one', () => {
    spend(codeAt(startMs + totpStepMs), startMs);
    expect(spend(codeAt(startMs), startMs)).toBe('MFA_WRONG');
  });

  it('pauses for a quarter of an hour after five wrong codes: a restart, the right code and a clock set back change nothing', () => {
    const wrong = Array.from({ length: wrongCodesMax }, () => spend('000000', startMs));
    expect(wrong).toEqual(Array.from({ length: wrongCodesMax }, () => 'MFA_WRONG'));
    restart();
    const later = [startMs, startMs - 86_400_000, startMs + wrongCodesPauseMs - 1];
    expect(later.map((nowMs) => spend(codeAt(nowMs), nowMs))).toEqual(['LIMIT_REACHED', 'LIMIT_REACHED', 'LIMIT_REACHED']);
    const overMs = startMs + wrongCodesPauseMs;
    expect([spend('000000', overMs), spend(codeAt(overMs), overMs)]).toEqual(['MFA_WRONG', 10]);
  });

  it('counts wrong recovery codes with the others, and begins anew after a right one', () => {
    for (let attempt = 1; attempt < wrongCodesMax; attempt++) spend(attempt % 2 === 0 ? 'AAAA-AAAA-AAAA-AAAA' : '000000', startMs);
    expect(spend(codeAt(startMs), startMs)).toBe(10);
    expect(spend('000000', startMs)).toBe('MFA_WRONG');
    expect(spend(recovery.codes[0] ?? '', startMs)).toBe(9);
  });

  it('spends a recovery code', () => {
    const [first = '', second = ''] = recovery.codes;
    expect([spend(first, startMs), spend(first, startMs), spend(second.toLowerCase(), startMs)]).toEqual([9, 'MFA_WRONG', 8]);
  });

  it('knows a factor by its owner alone, and does not let it be replaced', () => {
    expect(spend(codeAt(startMs), startMs, 'operator/bob')).toBe('NOT_FOUND');
    expect(outcome(() => store.put(ada, offer, startMs))).toBe('OK');
    expect(outcome(() => store.put(ada, { ...offer, secret: Buffer.alloc(20, 8) }, startMs))).toBe('INPUT_INVALID');
    expect(outcome(() => store.put('operator/bob', offer, startMs))).toBe('INPUT_INVALID');
  });

  it('forgets what the access bundle names no more, and keeps what it never named until there are too many', () => {
    store.keepNamed(new Set([factorId]));
    for (let index = 1; index <= 6; index++)
      store.put(ada, { ...offer, factorId: `01JZ000000000000000000000${String(index)}`, recoveryHashes: [] }, startMs + index);
    const known = (id: string): unknown => outcome(() => store.spend(ada, { factorId: id, code: '000000' }, startMs));
    const ids = [1, 2, 3, 4, 5, 6].map((index) => `01JZ000000000000000000000${String(index)}`);
    expect([factorId, ...ids].map(known)).toEqual([
      'MFA_WRONG',
      'NOT_FOUND',
      'NOT_FOUND',
      'MFA_WRONG',
      'MFA_WRONG',
      'MFA_WRONG',
      'MFA_WRONG',
    ]);
    store.keepNamed(new Set());
    expect(known(factorId)).toBe('NOT_FOUND');
  });

  it('keeps its files to itself', async () => {
    spend(codeAt(startMs), startMs);
    const modes = await Promise.all(
      (await readdir(stateDir)).map(async (name) => ((await stat(join(stateDir, name))).mode & 0o777).toString(8)),
    );
    expect(new Set(modes)).toEqual(new Set(['600']));
  });
});
