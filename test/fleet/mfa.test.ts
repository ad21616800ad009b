/** Second factors and break-glass as an operator meets them: the command line against real agents over real TLS. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { openTestConsole } from '../../desktop/cli/test-console.ts';
import type { Answer, TestConsole } from '../../desktop/cli/test-console.ts';
import type { FactorOffer, HostRow, MfaState } from '../../desktop/bridge/model.ts';
import { openFleetCache } from '../../desktop/core/cache/sqlite-fleet-cache.ts';
import { totpCode, totpStepAt } from '../../proto/model/totp.ts';
import { createTestAgent } from '../support/agent-server.ts';
import type { TestAgent } from '../support/agent-server.ts';

const names = ['edge-2', 'edge-3', 'edge-4'] as const;
let opened: TestConsole;
const agents: TestAgent[] = [];
let offer: FactorOffer;
let secret: Buffer;
let policies = 0;

const nest = (...args: readonly string[]): Promise<Answer> => opened.nest(args);
const path = (name: string): string => join(opened.folder, name);

/** A policy that differs from all before, as a file. */
const nextPolicy = async (): Promise<string> => {
  policies += 1;
  const mapping = {
    name: `p${String(policies)}`,
    sources: ['any'],
    destinations: ['any'],
    protocols: ['tcp'],
    ports: [String(policies)],
    action: 'allow',
    priority: 1,
  };
  const file = path(`p${String(policies)}.json`);
  await writeFile(
    file,
    JSON.stringify({ apiVersion: 'nest/v1', kind: 'Policy', defaultAction: 'allow', services: [], mappings: [mapping] }),
  );
  return file;
};

const base32Bytes = (text: string): Buffer => {
  const bits = text
    .split('')
    .map((letter) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(letter).toString(2).padStart(5, '0'))
    .join('');
  return Buffer.from((bits.match(/.{8}/g) ?? []).map((byte) => Number.parseInt(byte, 2)));
};

/** A file with a code: of the authenticator (`step` away from now) or a recovery code. */
const codeFile = async (code: number | string): Promise<string> => {
  const file = path('code');
  await writeFile(file, typeof code === 'string' ? code : totpCode(secret, totpStepAt(Date.now()) + code));
  return file;
};
const recoveryCode = (): string => {
  const code = recoveryLeft.shift();
  if (code === undefined) throw new Error('no recovery codes are left');
  return code;
};
let recoveryLeft: string[] = [];

/** As if five minutes were over for the console. */
const forget = (): void => {
  const { cache } = openFleetCache(path('fleet.sqlite'), Date.now());
  cache.dropValue('mfa.evidence');
  cache.close();
};
const apply = async (...more: readonly string[]): Promise<Answer> =>
  nest('policy', 'apply', await nextPolicy(), '--yes', '--confirm', ...more);
const revisions = (): number[] => agents.map((agent) => agent.revisions.current().revision);

/** The console of another operator of the fleet, who has no role. */
const secondConsole = async (name: string): Promise<AsyncDisposable & TestConsole> => {
  const other = await openTestConsole('');
  const asked = await other.nest(['fleet', 'request-access', '--operator', name]);
  const fingerprintIn = ({ notes }: Answer): string =>
    notes
      .match(/(?:[0-9a-f]{4} ){15}[0-9a-f]{4}/g)
      ?.at(-1)
      ?.replaceAll(' ', '') ?? '';
  await writeFile(path(`${name}.request`), asked.out);
  const admitted = await nest('fleet', 'admit', path(`${name}.request`), '--fingerprint', fingerprintIn(asked));
  await writeFile(path(`${name}.grant`), admitted.out);
  const joined = await other.nest(['fleet', 'join', path(`${name}.grant`), '--root', fingerprintIn(admitted)]);
  expect(`${String(joined.code)} ${joined.notes}`).toMatch(/^0 /);
  return { ...other, [Symbol.asyncDispose]: () => other.close() };
};

beforeAll(async () => {
  opened = await openTestConsole('');
  await nest('fleet', 'init', 'Test', '--operator', 'ada');
  for (const name of names) {
    const agent = await createTestAgent({ isGuarded: true });
    agents.push(agent);
    const added = await opened.nest(['hosts', 'add', name, '127.0.0.1', '--port', String(agent.port), '--yes'], (line) => {
      const token = /nest1\.[\w-]+/.exec(line)?.[0];
      if (token !== undefined) void agent.join(token);
    });
    expect(added.code).toBe(0);
  }
  await nest('access', 'push');
}, 60_000);
afterAll(async () => {
  for (const agent of agents) await agent.close();
  await opened.close();
});
beforeEach(forget);

describe('nest mfa', { timeout: 60_000 }, () => {
  it('asks for nothing before there is a factor, and enrols one at three witnesses', async () => {
    const before = await nest('mfa', 'status');
    expect([before.code, before.out]).toEqual([0, expect.stringContaining('none; "nest mfa enrol" makes one')]);
    expect((await apply('--host', 'edge-2')).code).toBe(0);
    const enrolled = await nest('--json', 'mfa', 'enrol');
    offer = JSON.parse(enrolled.out) as FactorOffer;
    secret = base32Bytes(offer.secret);
    recoveryLeft = [...offer.recoveryCodes];
    expect(offer.witnesses.map(({ name }) => name)).toEqual(names);
    expect([secret.length, recoveryLeft.length, offer.uri]).toEqual([
      20,
      10,
      expect.stringContaining(`secret=${offer.secret}&issuer=Nest%20Test`),
    ]);
    // Not proven yet: it does not count.
    expect((await apply('--host', 'edge-2')).code).toBe(0);
    const wrong = await nest('mfa', 'confirm', offer.factorId, '--code-file', await codeFile('000000'));
    expect([wrong.code, wrong.notes]).toEqual([1, expect.stringContaining('MFA_WRONG')]);
    const confirmed = await nest('mfa', 'confirm', offer.factorId, '--code-file', await codeFile(-1));
    expect([confirmed.notes, confirmed.out]).toEqual([
      '',
      expect.stringContaining('Your second factor counts from now on.\nAll 3 hosts have it.'),
    ]);
  });

  it('asks before a change, makes it with a code, and does not ask again for five minutes', async () => {
    const before = revisions();
    const refused = await apply('--all');
    expect([refused.code, refused.notes]).toEqual([1, expect.stringContaining('error MFA_REQUIRED: This change needs your second factor')]);
    expect(revisions()).toEqual(before);
    const applied = await apply('--all', '--code-file', await codeFile(0));
    expect([applied.code, applied.notes]).toEqual([0, '']);
    expect(revisions()).toEqual(before.map((revision) => revision + 1));
    expect((await apply('--host', 'edge-3')).code).toBe(0);
    const state = JSON.parse((await nest('--json', 'mfa', 'status')).out) as MfaState;
    expect([state.factor?.needed, (state.freshUntil ?? 0) > Date.now()]).toEqual([2, true]);
    expect(agents[1]?.facts.map(({ action }) => action)).toContain('/nest.v1.SessionService/Authenticate');
  });

  it('refuses a code that was used, and a console that was not asked cannot talk hosts into it', async () => {
    const again = await nest('mfa', 'step-up', '--code-file', await codeFile(0));
    expect([again.code, again.notes]).toEqual([1, expect.stringContaining('error MFA_WRONG: This code was used before')]);
    const back = await nest('policy', 'rollback', 'edge-2', '--to', '1', '--yes');
    expect([back.code, back.notes]).toEqual([1, expect.stringContaining('MFA_REQUIRED')]);
    expect(agents[0]?.facts.some(({ result }) => result === 'MFA_REQUIRED')).toBe(true);
  });

  it('goes on with two of three witnesses, and says who is missing with one', async () => {
    await agents[2]?.stop();
    const proven = await nest('mfa', 'recovery', '--code-file', await codeFile(recoveryCode()));
    expect([proven.code, proven.out]).toEqual([0, expect.stringMatching(/^Proven until .*9 recovery codes are left\.$/)]);
    await agents[1]?.stop();
    forget();
    const alone = await nest('mfa', 'recovery', '--code-file', await codeFile(recoveryCode()));
    expect([alone.code, alone.notes]).toEqual([1, expect.stringContaining('error HOST_UNREACHABLE: 1 of 3 witnesses answer, 2 must')]);
    for (const agent of agents.slice(1)) await agent.start();
  });

  it('approves a rollout with a code of its own, which hosts check in its plan', async () => {
    const file = await nextPolicy();
    const quick = ['--host', 'edge-2,edge-3', '--waves', '100', '--max-unavailable', '2', '--soak', '0', '--baseline', '0', '--yes'];
    const refused = await nest('rollout', 'start', file, ...quick);
    expect([refused.code, refused.notes]).toEqual([1, expect.stringContaining('MFA_REQUIRED: This is for many hosts')]);
    const before = revisions();
    const started = await nest('rollout', 'start', file, ...quick, '--code-file', await codeFile(recoveryCode()));
    expect([started.code, started.out.split('\n').at(-1)]).toEqual([0, expect.stringContaining('is finished')]);
    expect(revisions()).toEqual(before.map((revision, index) => revision + (index < 2 ? 1 : 0)));
    const shown = await nest('policy', 'rollback', 'edge-3', '--to', '1', '--yes');
    expect([shown.code, shown.notes]).toEqual([1, expect.stringContaining('MFA_REQUIRED')]);
  });

  it('approves changes left for hosts that are away', async () => {
    const file = await nextPolicy();
    await agents[2]?.stop();
    const refused = await nest('intents', 'leave', file, '--host', 'edge-4');
    expect([refused.code, refused.notes]).toEqual([1, expect.stringContaining('MFA_REQUIRED')]);
    const left = await nest('intents', 'leave', file, '--host', 'edge-4', '--code-file', await codeFile(recoveryCode()));
    expect([left.code, left.notes]).toEqual([0, '']);
    await agents[2]?.start();
    // Each command connects, and delivers what waits while it lives.
    const delivered = (): readonly string[] =>
      (agents[2]?.facts ?? []).flatMap(({ action, result }) => (action.endsWith('/DeliverIntent') && result !== 'started' ? [result] : []));
    for (let tries = 0; tries < 10 && delivered().length === 0; tries++) await nest('access', 'show');
    expect(delivered()).toEqual(['OK']);
  });
});

describe('nest break-glass', { timeout: 60_000 }, () => {
  it('lets its holder change one host for its time, without a code, for everybody to see', async () => {
    await writeFile(path('seal-passphrase'), 'another horse battery');
    const sealed = ['--seal-passphrase-file', path('seal-passphrase')];
    expect((await nest('break-glass', 'seal', path('owner.seal'), ...sealed)).code).toBe(0);
    const grant = ['break-glass', 'grant', path('owner.seal'), '--host', 'edge-3', '--for', 'ada', '--reason', 'witnesses lost', ...sealed];
    expect([(await nest(...grant, '--hours', '2')).code, (await nest(...grant, '--hours', '0')).code]).toEqual([2, 2]);
    const made = await nest(...grant, '--hours', '0.5', '--out', path('grant'));
    expect([made.code, made.notes]).toEqual([0, expect.stringMatching(/^For operator\/ada at host\/\w{26}, until /)]);
    expect((await apply('--host', 'edge-3')).notes).toContain('MFA_REQUIRED');
    const used = await nest('break-glass', 'use', path('grant'));
    expect([used.code, used.out]).toEqual([0, expect.stringMatching(/edge-3 +\d{4}-/)]);
    expect(await apply('--host', 'edge-3')).toMatchObject({ code: 0, notes: '' });
    expect((await apply('--host', 'edge-2')).notes).toContain('MFA_REQUIRED');
    expect((await nest('break-glass', 'ls')).out).toMatch(/edge-3 +operator\/ada .*witnesses lost/);
    const rows = JSON.parse((await nest('--json', 'hosts', 'ls')).out) as readonly HostRow[];
    expect(rows.find(({ name }) => name === 'edge-3')).toMatchObject({
      state: 'degraded',
      breakGlass: [{ operator: 'operator/ada', reason: 'witnesses lost' }],
    });
    expect(agents[1]?.facts.some(({ detail }) => detail.startsWith('break-glass 0'))).toBe(true);
  });

  it('is found by the hosts of its cluster when the holder has no role and cannot read which they are', async () => {
    await using guest = await secondConsole('gina');
    await writeFile(path('seal-passphrase'), 'another horse battery');
    const sealed = ['--seal-passphrase-file', path('seal-passphrase')];
    await nest('access', 'clusters', 'put', 'west', 'edge-2');
    await nest('break-glass', 'seal', path('west.seal'), ...sealed);
    const level = ['--cluster', 'west', '--for', 'gina', '--reason', 'nobody else is there'];
    await nest('break-glass', 'grant', path('west.seal'), ...level, ...sealed, '--out', path('west'));
    const change = async (host: string): Promise<Answer> =>
      guest.nest(['policy', 'apply', await nextPolicy(), '--yes', '--confirm', '--host', host]);
    expect((await change('edge-2')).notes).toContain('SCOPE_MISSING');
    const used = await guest.nest(['break-glass', 'use', path('west')]);
    expect([used.code, used.out]).toEqual([0, expect.stringMatching(/^HOST .*\nedge-2 +\d{4}-\S+ +-$/)]);
    expect(await change('edge-2')).toMatchObject({ code: 0, notes: '' });
    expect((await change('edge-3')).notes).toContain('SCOPE_MISSING');
  });

  it('is not used by whom it is not for, and not made with a wrong passphrase', async () => {
    await writeFile(path('wrong'), 'not the passphrase');
    const grant = ['break-glass', 'grant', path('owner.seal'), '--host', 'edge-2', '--for', 'bob', '--reason', 'x'];
    expect((await nest(...grant, '--seal-passphrase-file', path('wrong'))).notes).toContain('PASSPHRASE_WRONG');
    await nest(...grant, '--seal-passphrase-file', path('seal-passphrase'), '--out', path('for-bob'));
    const used = await nest('break-glass', 'use', path('for-bob'));
    expect([used.code, used.out]).toEqual([1, expect.stringContaining('SCOPE_MISSING: The grant is for operator/bob')]);
  });

  it('an owner takes the factor away, and nothing is asked any more', async () => {
    const removed = await nest('mfa', 'remove', '--yes');
    expect([removed.code, removed.out]).toEqual([0, expect.stringContaining('All 3 hosts have it.')]);
    expect((await apply('--host', 'edge-2')).code).toBe(0);
    const required = await nest('mfa', 'require', 'on');
    expect(required.code).toBe(0);
    expect((await apply('--host', 'edge-2')).notes).toContain('You have none yet: enrol one with "nest mfa enrol"');
  });
});
