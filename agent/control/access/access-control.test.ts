import { spawn } from 'node:child_process';
import { createPrivateKey, createPublicKey, randomInt } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { envelopeText } from '../../../proto/model/access/storage.ts';
import { put, signerOf, TestBundle } from '../../../proto/model/access/test-bundle.ts';
import { errorCodeOf } from '../../../proto/model/error.ts';
import { silentLogger } from '../../lib/log.ts';
import { createManualClock } from '../../lib/manual-clock.ts';
import { createTestFleet, testAgentId } from '../identity/test-fleet.ts';
import type { TestFleet } from '../identity/test-fleet.ts';
import { createAccessControl } from './access-control.ts';
import { journalStepsMax } from './access-store.ts';
import type { AccessCaller, AccessControl } from './api.ts';

const fleetId = '01jz000000000000000000000a';
const child = fileURLToPath(new URL('crash-child.ts', import.meta.url));
const kills = 4;
const day = 86_400_000;

let stateDir: string;
let fleet: TestFleet;
let identity: { fleetId: string; fleetRoot: string; agentId: string } | null;
const raised = new Map<string, string>();
const clock = createManualClock();

const open = (): Promise<AccessControl> =>
  createAccessControl({
    stateDir,
    fleet: () => identity,
    clock,
    log: silentLogger,
    raise: (code, warning) => void (warning === null ? raised.delete(code) : raised.set(code, warning.title)),
  });
const bundle = (): TestBundle => {
  const privateKey = createPrivateKey(fleet.root.keyPem);
  return new TestBundle({ fleetId, root: signerOf({ privateKey, publicKey: createPublicKey(privateKey) }) }, { atMs: clock.nowMs() });
};
const caller = (name: string, kind: AccessCaller['kind'] = 'operator'): AccessCaller => ({
  subject: `spiffe://${fleetId}/${kind}/${name}`,
  kind,
  device: '',
});
const operator = (name: string) => ({ subject: `operator/${name}`, title: '' });

beforeAll(async () => {
  fleet = await createTestFleet(fleetId);
});
beforeEach(async () => {
  stateDir = await mkdtemp(join(tmpdir(), 'nest-access-'));
  identity = { fleetId, fleetRoot: fleet.root.certificatePem, agentId: testAgentId };
  raised.clear();
});
afterEach(() => rm(stateDir, { recursive: true }));

describe('access control', () => {
  it('lets operators do all and clients all but govern, until the first bundle, and never again', async () => {
    const access = await open();
    expect([access.decide(caller('any'), 'hosts:admin'), access.decide(caller('any', 'client'), 'hosts:write')]).toEqual([null, null]);
    expect(access.decide(caller('any', 'client'), 'hosts:admin')).toBe('SCOPE_MISSING');
    await access.push(bundle().updates);
    const again = await open();
    for (const one of [access, again]) {
      expect([one.decide(caller('any'), 'hosts:read'), one.decide(caller('ada'), 'hosts:admin')]).toEqual(['SCOPE_MISSING', null]);
      one.close();
    }
  });

  it('takes nothing before the host belongs to a fleet, and starts over in another', async () => {
    identity = null;
    const access = await open();
    const made = bundle();
    await expect(access.push(made.updates)).rejects.toMatchObject({ code: 'NOT_ENROLLED' });
    identity = { fleetId, fleetRoot: fleet.root.certificatePem, agentId: testAgentId };
    await access.push(made.updates);
    const other = await createTestFleet('01jz000000000000000000000b');
    identity = { fleetId: other.fleetId, fleetRoot: other.root.certificatePem, agentId: testAgentId };
    await access.refresh();
    expect(access.head().revision).toBe(0);
    access.close();
  });

  it.each([
    ['is gone', async () => rm(join(stateDir, 'access', 'chain.json'))],
    ['is damaged', async () => writeFile(join(stateDir, 'access', 'chain.json'), '{"fleetId":')],
    [
      'and its mark are damaged',
      async () => {
        await writeFile(join(stateDir, 'access', 'chain.json'), 'x');
        await writeFile(join(stateDir, 'access', 'marks.json'), 'x');
      },
    ],
  ])('leaves only recovery when the stored bundle %s, and the next delivery heals it', async (_what, damage) => {
    const made = bundle();
    made.change(put({ operators: [operator('bob')] }));
    const first = await open();
    await first.push(made.updates);
    first.close();
    await damage();
    const access = await open();
    expect([...raised.keys()]).toContain('ACCESS_ROLLED_BACK');
    expect(['hosts:read', 'access:read', 'mappings:read', 'hosts:admin'].map((scope) => access.decide(caller('eve'), scope))).toEqual([
      null,
      null,
      'ACCESS_STALE',
      'ACCESS_STALE',
    ]);
    expect(access.decide(caller('backup', 'client'), 'hosts:read')).toBe('ACCESS_STALE');
    await access.push(made.updates);
    expect([access.head().revision, raised.size, access.decide(caller('ada'), 'hosts:admin')]).toEqual([2, 0, null]);
    access.close();
  });

  it('notices an older copy of its own bundle, and lets nobody change anything under it', async () => {
    const made = bundle();
    const access = await open();
    await access.push(made.updates);
    const old = await readFile(join(stateDir, 'access', 'chain.json'));
    await access.push([made.change(put({ locks: [{ id: 'l', target: 'operator/eve', reason: '', sinceMs: 1n }] }))]);
    access.close();
    await writeFile(join(stateDir, 'access', 'chain.json'), old);
    await rm(join(stateDir, 'access', 'chain.log'));
    const restored = await open();
    expect([...raised.keys()]).toEqual(['ACCESS_ROLLED_BACK']);
    expect([restored.decide(caller('ada'), 'mappings:read'), restored.decide(caller('ada'), 'mappings:write')]).toEqual([
      null,
      'ACCESS_STALE',
    ]);
    await restored.push(made.updates);
    expect([restored.decide(caller('ada'), 'mappings:write'), raised.size]).toEqual([null, 0]);
    restored.close();
  });

  it('warns by itself when the bundle has become too old', async () => {
    const access = await open();
    await access.push(bundle().updates);
    expect(raised.size).toBe(0);
    clock.advance(30 * day + 60_000);
    expect([...raised.keys()]).toEqual(['ACCESS_STALE']);
    expect([access.decide(caller('ada'), 'hosts:read'), access.decide(caller('ada'), 'hosts:write')]).toEqual([null, 'ACCESS_STALE']);
    access.close();
  });

  it('enforces a lock also when it cannot be stored, says so, and stores it with the next delivery', async () => {
    const made = bundle();
    const access = await open();
    await access.push(made.updates);
    await rm(join(stateDir, 'access'), { recursive: true });
    const lock = made.change(put({ locks: [{ id: 'l', target: 'operator/eve', reason: '', sinceMs: 1n }] }));
    expect(await access.push([lock]).catch(errorCodeOf)).toBe('STATE_FAILED');
    expect(access.isLocked(caller('eve'))).toBe(true);
    await (await open()).refresh();
    await access.push([lock]);
    expect((await open()).head().revision).toBe(2);
  });

  it('has a lock in force while an update before it is still on its way to the disk, and answers both when they are there', async () => {
    const made = bundle();
    const access = await open();
    await access.push(made.updates);
    const before = access.push([made.change(put({ operators: [operator('bob')] }))]);
    const lock = access.push([made.change(put({ locks: [{ id: 'l', target: 'operator/eve', reason: '', sinceMs: 1n }] }))]);
    // No turn of the event loop, so no answer of the file system.
    for (let turn = 0; turn < 64; turn++) await Promise.resolve();
    expect(access.isLocked(caller('eve'))).toBe(true);
    expect(await Promise.all([before, lock])).toEqual([{ accepted: 1 }, { accepted: 1 }]);
    const again = await open();
    expect(again.head().revision).toBe(3);
    for (const one of [access, again]) one.close();
  });

  it('adds steps to a journal, and writes the whole anew now and then', async () => {
    const made = bundle();
    const access = await open();
    await access.push(made.updates);
    const size = async (name: string): Promise<number> => (await readFile(join(stateDir, 'access', name))).length;
    const whole = await size('chain.json');
    for (let step = 0; step < journalStepsMax; step++) await access.push([made.change(put({ operators: [operator('bob')] }))]);
    expect([await size('chain.json'), (await size('chain.log')) > 0, (await size('marks.log')) > 0]).toEqual([whole, true, true]);
    await access.push([made.change(put({ operators: [operator('bob')] }))]);
    expect([(await size('chain.json')) > whole, await size('chain.log'), await size('marks.log')]).toEqual([true, 0, 0]);
    await access.push([made.change(put({ operators: [operator('eve')] }))]);
    const again = await open();
    expect([again.head().revision, raised.size]).toEqual([journalStepsMax + 3, 0]);
    for (const one of [access, again]) one.close();
  });

  const cut = (text: string): string => text.slice(0, -9);
  const torn = { damage: cut, warnings: ['ACCESS_ROLLED_BACK'], scope: 'mappings:read', refusal: null };
  it.each([
    { what: 'a step that is marked but was not finished is missed', files: ['chain.log'], ...torn },
    {
      what: 'one that was not finished and has no mark yet is not',
      files: ['chain.log', 'marks.log'],
      ...torn,
      warnings: [],
      scope: 'mappings:write',
    },
    {
      what: 'one that is damaged leaves only recovery',
      files: ['chain.log'],
      ...torn,
      damage: (text: string) => `x${text}`,
      refusal: 'ACCESS_STALE',
    },
    {
      what: 'lost marks are known from the steps',
      files: ['marks.log'],
      damage: () => '',
      warnings: [],
      scope: 'mappings:write',
      refusal: null,
    },
  ])('reads its journals with care: $what', async ({ files, damage, warnings, scope, refusal }) => {
    const made = bundle();
    const access = await open();
    await access.push(made.updates);
    await access.push([made.change(put({ operators: [operator('bob')] }))]);
    await access.push([made.change(put({ operators: [operator('eve')] }))]);
    access.close();
    for (const file of files) {
      const path = join(stateDir, 'access', file);
      await writeFile(path, damage(await readFile(path, 'utf8')));
    }
    const restored = await open();
    expect([...raised.keys()]).toEqual(warnings);
    expect(restored.decide(caller('ada'), scope)).toBe(refusal);
    // The next delivery goes on from what is there.
    await restored.push(made.updates);
    await restored.push([made.change(put({ operators: [operator('kim')] }))]);
    const again = await open();
    expect([again.head().revision, raised.size]).toEqual([4, 0]);
    for (const one of [restored, again]) one.close();
  });

  it('stores a lock also when its journal was removed under it', async () => {
    const made = bundle();
    const access = await open();
    await access.push(made.updates);
    await access.push([made.change(put({ operators: [operator('bob')] }))]);
    await rm(join(stateDir, 'access', 'chain.log'));
    await access.push([made.change(put({ locks: [{ id: 'l', target: 'operator/eve', reason: '', sinceMs: 1n }] }))]);
    const again = await open();
    expect([again.isLocked(caller('eve')), raised.size]).toEqual([true, 0]);
    for (const one of [access, again]) one.close();
  });

  it('takes what holds of a delivery, up to what does not', async () => {
    const made = bundle();
    const access = await open();
    const good = made.change(put({ operators: [operator('bob')] }));
    const bad = { ...made.change(put({ operators: [operator('eve')] })), signatures: [] };
    expect(await access.push([...made.updates.slice(0, 1), good, bad]).catch(errorCodeOf)).toBe('ACCESS_INVALID');
    expect(access.head().revision).toBe(2);
    access.close();
  });
});

describe('access control, killed at any point', () => {
  it('comes back with every update that it has answered', { timeout: 60_000 }, async () => {
    const made = bundle();
    for (let index = 0; index < 60; index++) made.change(put({ operators: [operator(`p${String(index)}`)] }));
    let answered = 0;
    for (let kill = 0; kill < kills; kill++) {
      const running = spawn(process.execPath, [child, stateDir, fleetId, Buffer.from(fleet.root.certificatePem).toString('base64')], {
        stdio: ['pipe', 'pipe', 'inherit'],
      });
      const ended = once(running, 'exit');
      running.stdin.on('error', () => undefined);
      running.stdin.write(
        made.updates
          .slice(answered)
          .map((update) => `${envelopeText(update)}\n`)
          .join(''),
      );
      const until = answered + randomInt(1, 9);
      for await (const line of createInterface({ input: running.stdout })) {
        answered = Number(line);
        if (answered >= until) break;
      }
      running.kill('SIGKILL');
      await ended;
      const access = await open();
      expect(access.head().revision, `kill ${String(kill)}, answered ${String(answered)}`).toBeGreaterThanOrEqual(answered);
      expect(raised.size).toBe(0);
      answered = access.head().revision;
      access.close();
    }
  });
});
