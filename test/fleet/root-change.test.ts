/** The root of a fleet changes under three real agents over real TLS; openssl says whose certificates hold. */
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { ServiceError } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { dial, refusalOf, ask } from '../../agent/server/test-console.ts';
import type { FleetKeys } from '../../desktop/core/authority/fleet-authority.ts';
import { rootStepOf } from '../../desktop/core/authority/root-change-record.ts';
import type { AuditExportPiece } from '../../desktop/bridge/model.ts';
import type { RootChangeView } from '../../desktop/bridge/root-change-model.ts';
import { checkAuditExport } from '../../desktop/core/api.ts';
import { HostServiceClient } from '../../proto/gen/nest/v1/host.ts';
import { certificatesIn } from '../../proto/model/certificate-path.ts';
import { openTestFleet } from '../support/identity-fleet.ts';
import type { TestAgent, TestConsole, TestFleet } from '../support/identity-fleet.ts';

const run = promisify(execFile);
const never = new AbortController().signal;

let folder: string;
let fleet: TestFleet;
const ends: (() => void)[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nest-root-change-'));
  fleet = await openTestFleet(folder, { isGuarded: true });
});
afterEach(async () => {
  for (const end of ends.splice(0)) end();
  await fleet.close();
  await rm(folder, { recursive: true, force: true });
});

const keysOf = async ({ vault }: TestConsole): Promise<FleetKeys> =>
  JSON.parse(new TextDecoder().decode(await vault.reread())) as FleetKeys;
const view = (): Promise<RootChangeView> => fleet.core.handlers['root-change.get']({}, never);
const advance = (leaveBehind = false): Promise<RootChangeView> => fleet.core.handlers['root-change.advance']({ leaveBehind }, never);
const rollBack = (): Promise<RootChangeView> => fleet.core.handlers['root-change.rollback']({}, never);

/** Which of the roots openssl finds above what an agent shows to a client with the console's certificate. */
const judged = async (agent: TestAgent, roots: Readonly<Record<string, string>>): Promise<string> => {
  const { operator } = await keysOf(fleet);
  await writeFile(join(folder, 'operator.pem'), operator.certificate);
  await writeFile(join(folder, 'operator.key'), operator.privateKey, { mode: 0o600 });
  const held: string[] = [];
  for (const [name, pem] of Object.entries(roots)) {
    await writeFile(join(folder, `${name}.pem`), pem);
    const files = ['-CAfile', join(folder, `${name}.pem`), '-cert', join(folder, 'operator.pem'), '-key', join(folder, 'operator.key')];
    const asked = [
      's_client',
      '-connect',
      `127.0.0.1:${String(agent.port)}`,
      '-alpn',
      'h2',
      '-no-CAfile',
      '-no-CApath',
      '-verify_return_error',
      ...files,
    ];
    const isGood = await new Promise<boolean>((resolve) => {
      const child = execFile('openssl', asked, { timeout: 10_000 }, (error) => resolve(error === null));
      child.stdin?.end();
    });
    if (isGood) held.push(name);
  }
  return held.join(' ');
};

/** A status stream of its own with the certificate the console has now. */
const watch = async (agent: TestAgent): Promise<{ count: number; ended: string | null }> => {
  const { operator } = await keysOf(fleet);
  const certificate = {
    certificatePem: operator.certificate,
    keyPem: operator.privateKey,
    certificateDer: Buffer.alloc(0),
    spkiHash: Buffer.alloc(0),
  };
  const client = dial(HostServiceClient, { port: agent.port, certificate });
  const stream = client.watchStatus({ deltas: false, knownDescription: undefined });
  const seen = { count: 0, ended: null as string | null };
  stream.on('data', () => (seen.count += 1));
  stream.on('error', (error: ServiceError) => (seen.ended = error.message)).on('end', () => (seen.ended ??= 'end'));
  ends.push(() => (stream.cancel(), client.close()));
  await expect.poll(() => seen.count, { timeout: 5_000 }).toBeGreaterThan(0);
  return seen;
};

const state = async (agent: TestAgent): Promise<readonly unknown[]> => {
  const own = agent.identity.identity();
  return [own?.rootStep?.phase, certificatesIn(own?.fleetRoot ?? '').length];
};

/** Lines of an export of these hosts. */
const exportOf = async (hostIds: readonly string[]): Promise<readonly string[]> => {
  const { handlers } = fleet.core;
  const texts = [(await handlers['audit.exportHeader']({ hostIds: [...hostIds] }, never)).text];
  for (const hostId of hostIds)
    for (let after: number | null = 0; after !== null;) {
      const piece: AuditExportPiece = await handlers['audit.export']({ hostId, after }, never);
      texts.push(piece.text);
      after = piece.next;
    }
  return texts.join('').split('\n');
};
const withRoot = (header: string | undefined, root: string): string => JSON.stringify({ ...(JSON.parse(header ?? '') as object), root });
const checked = (lines: readonly string[]): ReturnType<typeof checkAuditExport> =>
  checkAuditExport(
    (async function* () {
      yield* lines;
    })(),
  );

const emptyPolicy = JSON.stringify({ apiVersion: 'nest/v1', kind: 'Policy', defaultAction: 'allow', services: [], mappings: [] });

describe('a change of the root', () => {
  it('goes through its phases and back without a dropped stream, catches up a host that was away, and waits for it with its last step', async () => {
    expect((await run('openssl', ['version'])).stdout).toMatch(/^OpenSSL/);
    const hosts = [await fleet.enroll('edge-1'), await fleet.enroll('edge-2'), await fleet.enroll('edge-3')];
    const agents = hosts.map(({ agent }) => agent);
    const [one, two, three] = agents;
    if (one === undefined || two === undefined || three === undefined) throw new Error('three agents');
    await expect.poll(() => agents.every(({ access }) => access.head().revision > 0), { timeout: 10_000 }).toBe(true);
    const before = await keysOf(fleet);
    expect(await view()).toMatchObject({ phase: 'none', next: null });
    await expect(advance()).rejects.toMatchObject({ code: 'INPUT_INVALID' });
    const streams = [await watch(one), await watch(two)];

    expect(await fleet.core.handlers['root-change.start']({}, never)).toMatchObject({
      phase: 'announced',
      isConductedHere: true,
      behind: [],
    });
    const step = rootStepOf(await keysOf(fleet));
    const roots = { old: step?.from.toString() ?? '', new: step?.to.toString() ?? '' };
    expect(roots.old).toBe(certificatesIn(before.root.certificate)[0]?.toString());
    expect(await state(one)).toEqual(['announced', 1]);
    const dual = await advance();
    expect(dual).toMatchObject({ phase: 'dual-trust', next: 're-issue', back: 'announced' });
    // Each phase has its own time; the change keeps the one it was begun at.
    expect(dual.phaseAt).toBeGreaterThan(dual.startedAt ?? Number.POSITIVE_INFINITY);
    expect(await Promise.all(agents.map(state))).toEqual(agents.map(() => ['dual-trust', 2]));
    expect(await judged(one, roots)).toBe('old');
    expect(await rollBack()).toMatchObject({ phase: 'announced' });
    expect(await state(one)).toEqual(['announced', 1]);
    await advance();

    await fleet.stop(three);
    // Signed under the old root: it holds the last step until the host is back and has taken it.
    await fleet.core.handlers['intents.leave']({ hostIds: [hosts[2]?.hostId ?? ''], policy: emptyPolicy, comment: 'waits' }, never);
    const reissued = await advance();
    expect(reissued).toMatchObject({ phase: 're-issue', next: 'dropped' });
    expect(await judged(one, roots)).toBe('new');
    expect(await judged(two, roots)).toBe('new');
    // While a host believes the old root alone this console shows what that host believes.
    expect(reissued.holds.map(({ name, kind }) => `${kind} ${name}`).toSorted()).toEqual([
      'device ada (this device)',
      'host edge-3',
      'intent for edge-3',
    ]);
    await expect(advance()).rejects.toMatchObject({ code: 'ROOT_CHANGE_HELD', message: expect.stringContaining('edge-3') as string });
    const exported = await exportOf([hosts[0]?.hostId ?? '', hosts[1]?.hostId ?? '']);
    expect(await checked(exported)).toMatchObject({ isSound: true, rootSha256: [expect.any(String), expect.any(String)] });
    // The new root alone would do now, the one that this console itself is still under would not.
    const verdicts = Object.values(roots).map((root) => checked(exported.with(0, withRoot(exported[0], root))));
    expect((await Promise.all(verdicts)).map(({ isSound }) => isSound)).toEqual([false, true]);
    expect(await rollBack()).toMatchObject({ phase: 'dual-trust' });
    expect(await judged(one, roots)).toBe('old');
    await advance();
    expect(await judged(one, roots)).toBe('new');
    expect(streams.map(({ ended }) => ended)).toEqual([null, null]);

    const back = await fleet.start('edge-3', three.port);
    await expect.poll(async () => (await view()).holds, { timeout: 20_000, interval: 200 }).toEqual([]);
    expect(await judged(back, roots)).toBe('new');
    expect(streams.map(({ ended }) => ended)).toEqual([null, null]);
    const counts = streams.map(({ count }) => count);
    await expect.poll(() => streams.every(({ count }, index) => count > (counts[index] ?? 0)), { timeout: 5_000 }).toBe(true);

    expect(await advance()).toMatchObject({ phase: 'dropped', isUnderWay: false, next: null, back: null });
    expect(await Promise.all([one, two, back].map(state))).toEqual([0, 1, 2].map(() => ['dropped', 1]));
    expect(await judged(one, roots)).toBe('new');
    // Who still shows a certificate of the old root is cut, and let in no more.
    await expect.poll(() => streams.every(({ ended }) => ended !== null), { timeout: 5_000 }).toBe(true);
    const { certificate: certificatePem, privateKey: keyPem } = before.operator;
    const late = dial(HostServiceClient, {
      port: one.port,
      certificate: { certificatePem, keyPem, certificateDer: Buffer.alloc(0), spkiHash: Buffer.alloc(0) },
    });
    ends.push(() => late.close());
    expect(await refusalOf(ask(late.getHost.bind(late), {}))).toMatchObject({ reason: 'CERTIFICATE_INVALID' });
    await expect(rollBack()).rejects.toMatchObject({ code: 'INPUT_INVALID' });
    const states = async () => (await fleet.core.handlers['hosts.list']({}, never)).map((row) => row.state);
    await expect.poll(states, { timeout: 15_000 }).toEqual(['healthy', 'healthy', 'healthy']);

    // The beginning of the access bundle was signed by the old root: it still stands, after a restart and for a newcomer.
    const revision = one.access.head().revision;
    await fleet.stop(one);
    const again = await fleet.start('edge-1', one.port);
    expect(again.access.head()).toMatchObject({ revision, isStale: false });
    const newcomer = await fleet.enroll('edge-4');
    await expect.poll(() => newcomer.agent.access.head().revision, { timeout: 20_000 }).toBe(revision);
    expect(await judged(newcomer.agent, roots)).toBe('new');
    await expect.poll(() => newcomer.agent.identity.revocation().isChecked, { timeout: 10_000 }).toBe(true);
  }, 120_000);

  it('reaches another console through the hosts, and holds its last step until that device is admitted again', async () => {
    const passphrase = 'words of another device';
    const { hostId, agent } = await fleet.enroll('edge-1');
    const second = fleet.openConsole('second');
    const change = (one: Parameters<(typeof fleet.core.handlers)['access.change']>[0]['change']) =>
      fleet.core.handlers['access.change']({ change: one }, never);
    await change({ kind: 'operator.put', subject: 'operator/grace', title: '' });
    await change({ kind: 'binding.add', subject: 'operator/grace', role: 'viewer', level: '*' });
    const admit = async (): Promise<void> => {
      const request = await second.core.handlers['device.request']({ operatorName: 'grace', passphrase }, never);
      const { file } = await fleet.core.handlers['device.admit']({ file: request.file, fingerprint: request.fingerprint }, never);
      const { fleet: found } = await second.core.handlers['device.inspect']({ file }, never);
      const approved = { file, rootFingerprint: found?.rootFingerprint ?? '', storage: 'passphrase', passphrase } as const;
      await second.core.handlers['device.join'](approved, never);
    };
    await admit();
    const seen = async () => (await second.core.handlers['hosts.list']({}, never))[0]?.state;
    await expect.poll(seen, { timeout: 10_000 }).toBe('healthy');
    await fleet.core.handlers['root-change.start']({}, never);
    await advance();
    const theirs = () => second.core.handlers['root-change.get']({}, never);
    await expect.poll(async () => (await theirs()).phase, { timeout: 15_000 }).toBe('dual-trust');
    expect(await theirs()).toMatchObject({ isConductedHere: false, isUnderWay: true });
    expect((await advance()).holds.map(({ name }) => name)).toEqual(['grace']);
    await second.core.handlers['fleet.lock']({}, never);
    await second.core.handlers['fleet.unlock']({ passphrase }, never);
    await expect.poll(seen, { timeout: 10_000 }).toBe('healthy');
    await expect(advance()).rejects.toMatchObject({ code: 'ROOT_CHANGE_HELD', message: expect.stringContaining('grace') as string });
    await admit();
    expect(await advance()).toMatchObject({ phase: 'dropped' });
    await expect.poll(async () => (await theirs()).phase, { timeout: 15_000 }).toBe('dropped');
    await expect.poll(seen, { timeout: 10_000 }).toBe('healthy');
    expect([hostId, agent.identity.identity()?.rootStep?.phase]).toEqual([hostId, 'dropped']);
  }, 60_000);
});
