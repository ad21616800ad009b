/** Snapshots through the bridge's methods, on a console with a real cache, a real signature and the real verdict. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { toErrorShape } from '../../../proto/model/error.ts';
import type { BridgeHandlers } from '../../bridge/contract.ts';
import type { SnapshotFile } from '../../bridge/snapshot-model.ts';
import { createMemorySettings, createMemoryVault } from '../api.ts';
import { systemClock, systemRandom } from '../../lib/api.ts';
import { openFleetCache } from '../cache/sqlite-fleet-cache.ts';
import type { FleetCache } from '../cache/fleet-cache.ts';
import { createConsoleCore } from '../console-core.ts';
import type { ConsoleCore } from '../console-core.ts';
import { createVerdictProgram } from '../trace/verdict-program.ts';
import { testHostId, testNow, testPolicyText } from './test-snapshot.ts';

const words = 'correct horse battery';
const { signal } = new AbortController();
const secretComment = 'for the takeover of acme';
const client = '198.18.40.77';
const mac = '52:54:00:ab:cd:ef';

interface Opened {
  readonly cache: FleetCache;
  readonly core: ConsoleCore;
  readonly ask: BridgeHandlers;
}

const folders: string[] = [];
const cores: ConsoleCore[] = [];
afterEach(async () => {
  await Promise.all(cores.splice(0).map((core) => core.close()));
  await Promise.all(folders.splice(0).map((folder) => rm(folder, { recursive: true, force: true })));
});

const openConsole = async (fill: (cache: FleetCache) => void, isFleetMade = true): Promise<Opened> => {
  const folder = await mkdtemp(join(tmpdir(), 'nest-snapshot-'));
  folders.push(folder);
  const { cache } = openFleetCache(join(folder, 'fleet.sqlite'), testNow);
  fill(cache);
  const core = createConsoleCore({
    clock: systemClock(),
    random: systemRandom,
    cache,
    vaults: [createMemoryVault()],
    settings: createMemorySettings(),
    version: '0.0.0',
    report: () => undefined,
    verdictProgram: createVerdictProgram(),
    isShortLived: true,
  });
  cores.push(core);
  if (isFleetMade)
    await core.handlers['fleet.create']({ fleetName: 'Test fleet', operatorName: 'ada', storage: 'passphrase', passphrase: words }, signal);
  return { cache, core, ask: core.handlers };
};

const fillHosts = (count: number) => (cache: FleetCache) => {
  for (let index = 1; index <= count; index += 1) {
    const hostId = testHostId(index);
    cache.putHost({
      hostId,
      name: `edge-${String(index)}`,
      address: '127.0.0.1',
      port: 1,
      labels: ['site=ams1', index % 2 === 0 ? 'role=core' : 'role=edge'],
      spkiSha256: 'cd'.repeat(32),
      certificateEndsAt: testNow,
      enrolledAt: testNow,
    });
    cache.putDocuments(documentsOf(hostId));
  }
};

const documentsOf = (hostId: string): Parameters<FleetCache['putDocuments']>[0] => {
  const flow = (number: number) => ({
    source: client,
    destination: '198.19.1.9',
    sourcePort: 40_000 + number,
    destinationPort: 443,
    protocol: 'tcp',
    state: 'live',
    allowed: true,
    reason: 'POLICY_ALLOW',
    mapping: 'to-web',
    interface: 'eth0',
    packets: 1,
    bytes: 60,
    firstSeen: testNow,
    lastSeen: testNow + number,
    sourceServices: [],
    destinationServices: ['web'],
    translation: null,
  });
  const revision = {
    hostId,
    revision: 4,
    etag: 'e',
    policy: testPolicyText(),
    generation: 'ab'.repeat(32),
    state: 'confirmed',
    author: 'ada',
    comment: secretComment,
    createdAt: testNow,
    settledAt: testNow,
    settledReason: 'confirmed by ada',
    mappingCount: 1,
    serviceCount: 1,
    live: true,
    at: testNow,
  };
  const sample = {
    at: testNow,
    warnings: [],
    interfaces: [{ name: 'eth0', macAddress: mac }],
    disks: [],
    reasons: [],
    history: [],
    packetsHistory: [],
    policy: { mode: 'enforce', revision: 4, generation: 'ab'.repeat(32), desiredGeneration: '', pending: null },
  };
  return [
    { hostId, kind: 'host', at: testNow, content: { facts: null, engines: [], agentVersion: '0.0.0' } },
    { hostId, kind: 'sample', at: testNow, content: sample },
    { hostId, kind: 'policy', at: testNow, content: revision },
    { hostId, kind: 'revisions', at: testNow, content: [{ ...revision, policy: '' }] },
    {
      hostId,
      kind: 'flows',
      at: testNow,
      content: {
        at: testNow,
        live: true,
        flows: Array.from({ length: 20 }, (_, number) => flow(number)),
        matched: 20,
        truncated: false,
        recordsLost: 0,
      },
    },
  ];
};

/** As a person carries it: out of one console, into another. */
const carry = async (from: Opened, to: Opened, { snapshotId, fileName, bytes }: SnapshotFile): Promise<SnapshotFile> => {
  const held = await to.ask['snapshot.begin']({ fileName, bytes }, signal);
  for (let offset: number | null = 0; offset !== null;) {
    const piece: { readonly data: string; readonly next: number | null } = await from.ask['snapshot.read']({ snapshotId, offset }, signal);
    await to.ask['snapshot.append']({ snapshotId: held.snapshotId, offset, data: piece.data }, signal);
    offset = piece.next;
  }
  return to.ask['snapshot.inspect']({ snapshotId: held.snapshotId }, signal);
};

const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'accepted',
    (error: unknown) => toErrorShape(error).code,
  );

let own: Opened;
beforeEach(async () => {
  own = await openConsole(fillHosts(3));
});

describe('a snapshot of a fleet', () => {
  it('is searched, looked into, traced in and compared, and never looks live', async () => {
    const { ask, cache } = own;
    const made = await ask['snapshot.create']({ profile: 'diagnostic', passphrase: words, flows: 5 }, signal);
    expect(made.info).toMatchObject({
      fleetName: 'Test fleet',
      author: 'operator/ada',
      trust: 'own',
      standing: 'good',
      hosts: 3,
      hasPassphrase: true,
      keyHolders: 0,
    });
    const { snapshotId } = made;
    expect(await codeOf(ask['snapshot.hosts']({ snapshotId }, signal))).toBe('INPUT_INVALID');
    expect(await codeOf(ask['snapshot.open']({ snapshotId, passphrase: 'not those words' }, signal))).toBe('PASSPHRASE_WRONG');
    expect(await ask['snapshot.open']({ snapshotId, passphrase: words }, signal)).toMatchObject({
      isOpen: true,
      left: { flows: 45, images: 0 },
    });

    const found = await ask['snapshot.hosts']({ snapshotId, where: 'role:edge' }, signal);
    expect(found.total).toBe(3);
    const hostId = testHostId(2);
    const host = { snapshotId, hostId };
    expect(await ask['snapshot.host'](host, signal)).toMatchObject({
      row: { name: 'edge-2' },
      sample: { live: false },
      hasPolicy: true,
      hasImage: true,
    });
    const flows = await ask['snapshot.flows']({ ...host, mapping: 'to-web', limit: 2 }, signal);
    expect([flows.live, flows.flows.length, flows.matched, flows.truncated, flows.flows[0]?.sourcePort]).toEqual([
      false,
      2,
      5,
      true,
      40_019,
    ]);
    expect((await ask['snapshot.policy'](host, signal)).policy).toBe(testPolicyText());
    expect(await codeOf(ask['snapshot.counters'](host, signal))).toBe('NOT_FOUND');
    const packet = { protocol: 'tcp', source: '198.18.3.4', destination: '198.19.1.9', destinationPort: 443, tcpFlags: 'syn' } as const;
    const trace = await ask['snapshot.trace']({ ...host, interface: 'eth0', packet }, signal);
    expect(trace).toMatchObject({ allowed: true, mapping: 'to-web', live: false, revision: 4, at: testNow });
    expect(await ask['snapshot.trace']({ ...host, interface: 'eth0', packet: { ...packet, destinationPort: 80 } }, signal)).toMatchObject({
      allowed: false,
      reason: 'DEFAULT_DENY',
    });

    expect(await ask['snapshot.compare']({ before: snapshotId, after: 'live' }, signal)).toMatchObject({
      added: 0,
      removed: 0,
      changed: 0,
      same: 3,
    });
    const changed = documentsOf(hostId).map((document) =>
      document.kind === 'policy' ? { ...document, content: { ...(document.content as object), policy: testPolicyText(8443) } } : document,
    );
    cache.putDocuments(changed);
    const comparison = await ask['snapshot.compare']({ before: snapshotId, after: 'live' }, signal);
    expect(comparison).toMatchObject({
      changed: 1,
      same: 2,
      isMaskShared: true,
      differences: [{ name: 'edge-2', kind: 'changed', fields: [{ field: 'policy' }] }],
    });
    const { lines } = await ask['snapshot.compare.policy']({ before: snapshotId, after: 'live', hostId }, signal);
    expect(lines.filter(({ kind }) => kind !== 'same').map(({ kind, text }) => `${kind} ${text.trim()}`)).toEqual([
      expect.stringMatching(/^removed .*443/),
      expect.stringMatching(/^added .*8443/),
    ]);
    await ask['snapshot.close']({ snapshotId }, signal);
    expect(await codeOf(ask['snapshot.hosts']({ snapshotId }, signal))).toBe('NOT_FOUND');
  });

  it('is opened elsewhere only by who names its root, and by the key it was made for', async () => {
    const elsewhere = await openConsole(() => undefined, false);
    const { recipient, file } = await elsewhere.ask['snapshot.keygen']({ name: 'Field', passphrase: words }, signal);
    await own.ask['snapshot.recipient.put']({ name: 'field', recipient }, signal);
    const made = await own.ask['snapshot.create']({ profile: 'config', recipients: ['field'] }, signal);
    const { snapshotId, info } = await carry(own, elsewhere, made);
    expect(info).toMatchObject({ trust: 'foreign', standing: 'unknown', hasPassphrase: false, keyHolders: 1 });
    const identity = { file, passphrase: words };
    const open = (more: object) => elsewhere.ask['snapshot.open']({ snapshotId, identity, ...more }, signal);
    expect(await codeOf(open({}))).toBe('SNAPSHOT_FOREIGN');
    expect(await codeOf(open({ rootSha256: 'ab'.repeat(32) }))).toBe('SNAPSHOT_FOREIGN');
    expect(await codeOf(open({ rootSha256: info?.rootSha256, identity: { file, passphrase: 'other words here' } }))).toBe(
      'PASSPHRASE_WRONG',
    );
    const { root } = await own.ask['certificate.list']({}, signal);
    const byKey = await elsewhere.ask['snapshot.inspect']({ snapshotId, rootSha256: root.fingerprint }, signal);
    expect(byKey.info?.trust).toBe('named');
    expect(await open({ rootSha256: info?.rootSha256 })).toMatchObject({ isOpen: true, info: { trust: 'named' } });
    // Its own console knows it without being told, also when it is locked.
    await own.ask['fleet.lock']({}, signal);
    expect((await own.ask['snapshot.inspect']({ snapshotId: made.snapshotId }, signal)).info?.trust).toBe('own');
    expect(await codeOf(own.ask['snapshot.create']({ profile: 'config', passphrase: words }, signal))).toBe('FLEET_LOCKED');
  });

  it('of an author who was locked since, or never might, opens only when that is accepted', async () => {
    const { ask } = own;
    const { snapshotId, info } = await ask['snapshot.create']({ profile: 'inventory', passphrase: words }, signal);
    await ask['access.change']({ change: { kind: 'lock', target: `device/${info?.device ?? ''}`, reason: 'lost laptop' } }, signal);
    expect((await ask['snapshot.inspect']({ snapshotId }, signal)).info?.standing).toBe('locked');
    const open = (more: object) => codeOf(ask['snapshot.open']({ snapshotId, passphrase: words, ...more }, signal));
    expect([await open({}), await open({ acceptAuthor: true })]).toEqual(['REVOKED', 'accepted']);
    expect(await codeOf(ask['snapshot.create']({ profile: 'inventory', passphrase: words }, signal))).toBe('REVOKED');
  });

  it('masks the same values in the same way in two files, and everything only the full one tells', async () => {
    const { ask } = own;
    const { recipient, file } = await ask['snapshot.keygen']({ name: 'test', passphrase: words }, signal);
    const text = async (profile: 'inventory' | 'config' | 'diagnostic' | 'full'): Promise<readonly string[]> => {
      const { snapshotId } = await ask['snapshot.create']({ profile, recipients: [recipient] }, signal);
      await ask['snapshot.open']({ snapshotId, identity: { file, passphrase: words } }, signal);
      const host = { snapshotId, hostId: testHostId(1) };
      const optional = async (work: Promise<unknown>): Promise<string> => JSON.stringify(await work.catch(() => null));
      const { snapshotId: _id, ...detail } = { snapshotId, ...(await ask['snapshot.host'](host, signal)) };
      const parts = [
        JSON.stringify(detail),
        await optional(ask['snapshot.policy'](host, signal)),
        await optional(ask['snapshot.flows'](host, signal)),
      ];
      await ask['snapshot.close']({ snapshotId }, signal);
      return parts;
    };
    const [inventory, config, diagnostic, full] = [
      await text('inventory'),
      await text('config'),
      await text('diagnostic'),
      await text('full'),
    ];
    expect(await text('diagnostic')).toEqual(diagnostic);
    const secrets = [secretComment, client, mac, 'cd'.repeat(32), 'confirmed by ada', '"ada"'];
    const told = (parts: readonly string[]): readonly string[] => secrets.filter((secret) => parts.join(' ').includes(secret));
    expect([told(inventory), told(config), told(diagnostic), told(full)]).toEqual([[], [], [], secrets]);
    expect([inventory, config, diagnostic, full].map((parts) => parts.map((part) => part !== 'null'))).toEqual([
      [true, false, false],
      [true, true, false],
      [true, true, true],
      [true, true, true],
    ]);
    // Its network stays, and its service.
    expect(diagnostic[2]).toMatch(/"source":"198\.18\.40\.\d+"/);
  });

  it('is not held without end, and takes no pieces that do not fit', async () => {
    const { ask } = own;
    const { snapshotId } = await ask['snapshot.begin']({ fileName: 'a.nestsnap', bytes: 10 }, signal);
    const data = Buffer.alloc(6).toString('base64');
    await ask['snapshot.append']({ snapshotId, offset: 0, data }, signal);
    for (const offset of [0, 5, 6, 7])
      expect(await codeOf(ask['snapshot.append']({ snapshotId, offset, data }, signal))).toBe('INPUT_INVALID');
    expect(await codeOf(ask['snapshot.inspect']({ snapshotId }, signal))).toBe('INPUT_INVALID');
    expect(await codeOf(ask['snapshot.begin']({ fileName: 'b', bytes: 4e9 }, signal))).toBe('SNAPSHOT_INVALID');
    for (let more = 0; more < 5; more += 1) await ask['snapshot.begin']({ fileName: 'c', bytes: 1 }, signal);
    expect(await codeOf(ask['snapshot.begin']({ fileName: 'd', bytes: 1 }, signal))).toBe('LIMIT_REACHED');
    expect(await codeOf(ask['snapshot.create']({ profile: 'config', passphrase: words }, signal))).toBe('LIMIT_REACHED');
    for (const { snapshotId: held } of await ask['snapshot.list']({}, signal)) await ask['snapshot.close']({ snapshotId: held }, signal);
    expect(await codeOf(ask['snapshot.create']({ profile: 'config', recipients: ['nobody'] }, signal))).toBe('NOT_FOUND');
    expect(await codeOf(ask['snapshot.create']({ profile: 'config' }, signal))).toBe('INPUT_INVALID');
    expect(await codeOf(ask['snapshot.recipient.remove']({ name: 'nobody' }, signal))).toBe('NOT_FOUND');
  });
});
