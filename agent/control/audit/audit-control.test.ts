import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  truncateSync,
  appendFileSync,
  writeFileSync,
  mkdirSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { auditGenesis, decodeAuditEntry, emptyFact, extendChain, readAuditHead } from '../../../proto/model/audit.ts';
import { createManualClock } from '../../lib/manual-clock.ts';
import type { AuditControl } from './api.ts';
import { allEntries, openTestLog, testFact } from './test-log.ts';
import type { Warnings } from './test-log.ts';

let stateDir = '';
const opened: AuditControl[] = [];
const open = async (options: Parameters<typeof openTestLog>[1] = {}): Promise<AuditControl> => {
  const log = await openTestLog(stateDir, options);
  opened.push(log);
  return log;
};
const audit = (name = ''): string => join(stateDir, 'audit', name);
const segments = (): string[] => readdirSync(audit()).filter((name) => name.startsWith('segment-'));
const firstSegment = (): string => audit(segments()[0]);
const actionsOf = async (log: AuditControl): Promise<string[]> => (await allEntries(log)).map((bytes) => decodeAuditEntry(bytes).action);
const settled = async (log: AuditControl, count: number): Promise<void> => {
  // A durable entry after the notes: they are written in order.
  while (log.extent().last < count) await new Promise((resolve) => setImmediate(resolve));
};

beforeEach(() => {
  stateDir = mkdtempSync(join(tmpdir(), 'nest-audit-'));
});
afterEach(async () => {
  await Promise.all(opened.splice(0).map((log) => log.close()));
  rmSync(stateDir, { recursive: true });
});

describe('the audit log', () => {
  it('numbers entries in the order in which they came and chains them', async () => {
    const log = await open();
    const numbers = await Promise.all(Array.from({ length: 1200 }, (_, index) => log.append(testFact(index % 200))));
    expect(numbers).toEqual(Array.from({ length: 1200 }, (_, index) => index + 1));
    const entries = await allEntries(log);
    let end = auditGenesis;
    for (const bytes of entries) end = extendChain(end, bytes);
    expect([end.number, log.extent(), await log.verify()]).toEqual([
      1200,
      { first: 1, last: 1200 },
      { first: 1, last: 1200, problem: null },
    ]);
    expect(decodeAuditEntry(entries[7] ?? Buffer.alloc(0))).toMatchObject({ number: 8, target: 'name=feed-7', revisionBefore: 7 });
  });

  it('gives the entries that were asked for, in pieces', async () => {
    const log = await open();
    await Promise.all(Array.from({ length: 1300 }, (_, index) => log.append(testFact(index % 200))));
    const sizes: number[] = [];
    const numbers: number[] = [];
    for await (const piece of log.entries(100, 1100)) {
      sizes.push(piece.length);
      numbers.push(...piece.map((bytes) => decodeAuditEntry(bytes).number));
    }
    expect([sizes, numbers[0], numbers.at(-1)]).toEqual([[500, 500, 100], 101, 1200]);
  });

  it('goes on after a restart where it ended', async () => {
    const log = await open();
    await log.append(testFact(1));
    await log.close();
    const again = await open();
    expect(await again.append(testFact(2), { durable: true })).toBe(2);
    expect(await again.verify()).toEqual({ first: 1, last: 2, problem: null });
  });

  it('signs a head after ten seconds, after a thousand entries, and when asked', async () => {
    const clock = createManualClock();
    const log = await open({ clock });
    await log.append(testFact(1), { durable: true });
    clock.advance(10_000);
    await Promise.all(Array.from({ length: 1000 }, (_, index) => log.append(testFact(index % 200), { durable: true })));
    const asked = await log.head();
    expect(asked.number).toBe(1001);
    await log.append(testFact(3), { durable: true });
    await log.close();
    const again = await open();
    const last = readAuditHead((await again.head()).envelope);
    expect(last).toMatchObject({ agentId: '01JZ0000000000000000000001', number: 1002 });
    expect((await again.verify()).problem).toBeNull();
  });

  it('has no head without a fleet, nor without an entry', async () => {
    const log = await open({ sign: () => null });
    await expect(log.head()).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await log.append(testFact(1), { durable: true });
    await expect(log.head()).rejects.toMatchObject({ code: 'NOT_ENROLLED' });
  });

  it('cuts the log into segments and says which entries it retires', async () => {
    const log = await open({ segmentBytesMax: 4000, segmentsMax: 3 });
    for (let index = 0; index < 200; index++) await log.append(testFact(index), { durable: true });
    const { first, last } = log.extent();
    expect(segments().length).toBe(3);
    expect(first).toBeGreaterThan(100);
    expect(await log.verify()).toEqual({ first, last, problem: null });
    const said = (await allEntries(log)).map(decodeAuditEntry).filter(({ action }) => action === 'audit.retired');
    expect(said.at(-1)).toMatchObject({ actor: 'agent', target: expect.stringMatching(new RegExp(`^\\d+-${String(first - 1)}$`)) });
    // The oldest of what is left goes without a word: that is no retirement.
    await log.close();
    rmSync(firstSegment());
    const robbed = await open();
    const verdict = await robbed.verify();
    expect(verdict.problem?.number).toBe(verdict.first - 1);
  });

  it('heals a tail that a power cut tore, keeps its bytes and says so', async () => {
    const log = await open({ sign: () => null });
    for (let index = 0; index < 5; index++) await log.append(testFact(index), { durable: true });
    await log.close();
    const whole = readFileSync(firstSegment());
    truncateSync(firstSegment(), whole.length - 60);
    appendFileSync(firstSegment(), Buffer.alloc(4096));
    const warnings: Warnings = new Map();
    const again = await open({ warnings });
    await settled(again, 5);
    const entries = (await allEntries(again)).map(decodeAuditEntry);
    expect(entries[4]).toMatchObject({ number: 5, actor: 'agent', action: 'audit.healed' });
    expect(entries[4]?.detail).toMatch(/^\d+ bytes that could not be read were set aside in torn-after-4\.bin$/);
    expect(readFileSync(audit('torn-after-4.bin')).length).toBeGreaterThan(4096);
    expect([await again.verify(), [...warnings]]).toEqual([{ first: 1, last: 5, problem: null }, []]);
  });

  it('heals a segment of which only the name reached the disk', async () => {
    const log = await open({ segmentBytesMax: 500 });
    for (let index = 0; index < 4; index++) await log.append(testFact(index), { durable: true });
    await log.close();
    const { last } = log.extent();
    writeFileSync(audit(`segment-${String(last + 1).padStart(16, '0')}.log`), '');
    const again = await open();
    await again.append(testFact(9), { durable: true });
    expect(await again.verify()).toMatchObject({ first: 1, problem: null });
  });

  it('goes on from its last signed head when entries before it are gone, and never stops saying so', async () => {
    const log = await open();
    for (let index = 0; index < 6; index++) await log.append(testFact(index), { durable: true });
    await log.close();
    const content = readFileSync(firstSegment());
    truncateSync(firstSegment(), Math.floor(content.length / 2));
    for (let start = 0; start < 2; start++) {
      const warnings: Warnings = new Map();
      const again = await open({ warnings });
      await again.append(testFact(7), { durable: true });
      const verdict = await again.verify();
      expect(verdict.problem).toMatchObject({ number: 3 });
      expect([again.broken(), warnings.get('AUDIT_BROKEN')]).toEqual([3, expect.stringContaining('Entry 3 of the audit log')]);
      await again.close();
    }
    expect(segments()).toEqual(['segment-0000000000000001.log', 'segment-0000000000000007.log']);
    const newest = await open();
    const found: string[] = [];
    for await (const piece of newest.entries(6, 100)) found.push(...piece.map((bytes) => decodeAuditEntry(bytes).action));
    expect(found[0]).toBe('audit.broken');
  });

  it('counts refusals alike instead of writing each', async () => {
    const clock = createManualClock();
    const log = await open({ clock });
    const fact = testFact(1, { result: 'SCOPE_MISSING' });
    const written = Array.from({ length: 5000 }, () => log.refused(fact));
    clock.advance(5);
    await Promise.all(written);
    await log.append(testFact(2), { durable: true });
    expect(log.extent().last).toBe(11);
    clock.advance(60_000);
    await settled(log, 12);
    const counts = (await allEntries(log)).map(decodeAuditEntry).filter(({ result }) => result === 'SCOPE_MISSING');
    expect(counts.reduce((sum, { count }) => sum + count, 0)).toBe(5000);
    expect(await actionsOf(log)).toHaveLength(12);
  });
});

describe('an audit log that cannot be written', () => {
  it('fails the append with AUDIT_FAILED, loses nothing that was durable, and goes on when it can', async () => {
    const warnings: Warnings = new Map();
    const log = await open({ warnings });
    await log.append(testFact(1), { durable: true });
    const path = firstSegment();
    const content = readFileSync(path);
    rmSync(path);
    await expect(log.append(testFact(2), { durable: true })).rejects.toMatchObject({ code: 'AUDIT_FAILED' });
    log.note({ ...emptyFact, actor: 'agent', action: 'revision.rolled-back' });
    expect(warnings.get('AUDIT_FAILED')).toContain('ENOENT');
    await expect(log.append(testFact(3), { durable: true })).rejects.toMatchObject({ code: 'AUDIT_FAILED' });
    writeFileSync(path, content);
    expect(await log.append(testFact(3), { durable: true })).toBe(2);
    expect([await log.verify(), [...warnings]]).toMatchObject([{ problem: null }, []]);
  });

  const cannotChange = process.getuid?.() === 0 ? '' : 'needs root to become somebody else';
  it.skipIf(cannotChange !== '')(`refuses when its folder may not be written any more ${cannotChange}`, async () => {
    const nobody = 65_534;
    chownSync(stateDir, nobody, nobody);
    process.seteuid?.(nobody);
    try {
      const warnings: Warnings = new Map();
      const log = await open({ segmentBytesMax: 300, warnings });
      for (let index = 0; index < 2; index++) await log.append(testFact(index), { durable: true });
      chmodSync(audit(), 0o500);
      await expect(log.append(testFact(2), { durable: true })).rejects.toMatchObject({ code: 'AUDIT_FAILED' });
      expect(warnings.get('AUDIT_FAILED')).toContain('EACCES');
      chmodSync(audit(), 0o700);
      expect(await log.append(testFact(3), { durable: true })).toBe(3);
      expect([(await log.verify()).problem, warnings.size]).toEqual([null, 0]);
    } finally {
      process.seteuid?.(0);
    }
  });

  const cannotMount = process.getuid?.() === 0 && process.platform === 'linux' ? '' : 'needs root to mount a small tmpfs';
  it.skipIf(cannotMount !== '')(`refuses on a full disk without a torn entry ${cannotMount}`, async () => {
    const mount = join(stateDir, 'small');
    mkdirSync(mount);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'none', mount]);
    try {
      const warnings: Warnings = new Map();
      const log = await openTestLog(mount, { warnings });
      const results = await Promise.allSettled(Array.from({ length: 3000 }, (_, index) => log.append(testFact(index % 200))));
      const written = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
      const codes = new Set(results.flatMap((result) => (result.status === 'rejected' ? [(result.reason as { code: string }).code] : [])));
      expect([written.length > 0, written.length < 3000, [...codes]]).toEqual([true, true, ['AUDIT_FAILED']]);
      expect(written).toEqual(written.map((_, index) => index + 1));
      expect(warnings.get('AUDIT_FAILED')).toContain('ENOSPC');
      expect(await log.verify()).toEqual({ first: 1, last: written.length, problem: null });
      // What the agent does by itself is kept until there is space again.
      log.note({ ...emptyFact, actor: 'agent', action: 'revision.rolled-back' });
      execFileSync('mount', ['-o', 'remount,size=4m', mount]);
      expect(await log.append(testFact(1), { durable: true })).toBeGreaterThan(written.length);
      await log.close();
      const again = await openTestLog(mount);
      expect((await again.verify()).problem).toBeNull();
      await again.close();
    } finally {
      execFileSync('umount', [mount]);
    }
  });
});
