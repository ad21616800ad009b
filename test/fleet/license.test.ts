/**
 * The licence in whole consoles: what is refused at enrolment before a key is signed, what is never refused, and that nothing is sent
 * where nothing may be sent.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { channel } from 'node:diagnostics_channel';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Enrollment, HostRow } from '../../desktop/bridge/model.ts';
import { openTestConsole } from '../../desktop/cli/test-console.ts';
import { createConsoleCore, createMemorySettings, createMemoryVault } from '../../desktop/core/api.ts';
import type { ConsoleCore, CredentialVault } from '../../desktop/core/api.ts';
import { openFleetCache } from '../../desktop/core/cache/sqlite-fleet-cache.ts';
import type { FleetCache } from '../../desktop/core/cache/fleet-cache.ts';
import { fakeKey, startFakeLicenseServer } from '../../desktop/core/license/fake-license-server.ts';
import type { FakeLicenseServer } from '../../desktop/core/license/fake-license-server.ts';
import { readLicenseSettings } from '../../desktop/core/license/license-settings.ts';
import { createVerdictProgram } from '../../desktop/core/trace/verdict-program.ts';
import { createFakeAgent } from '../../desktop/grpc/fake-agent.ts';
import type { FakeAgent } from '../../desktop/grpc/fake-agent.ts';
import { systemClock, systemRandom } from '../../desktop/lib/api.ts';

const never = new AbortController().signal;
const policy = JSON.stringify({ apiVersion: 'nest/v1', kind: 'Policy', defaultAction: 'allow', services: [], mappings: [] });

let folder: string;
let vault: CredentialVault;
let cache: FleetCache;
let core: ConsoleCore;
let server: FakeLicenseServer;
let agents: FakeAgent[];

/** The console of this folder, started with that environment. */
const start = async (environment: Readonly<Record<string, string>>): Promise<void> => {
  cache = openFleetCache(join(folder, 'fleet.sqlite'), Date.now()).cache;
  core = createConsoleCore({
    clock: systemClock(),
    random: systemRandom,
    cache,
    vaults: [vault],
    settings: createMemorySettings(),
    version: '0.0.0',
    verdictProgram: createVerdictProgram(),
    report: () => undefined,
    license: readLicenseSettings({ LICENSE_SERVER_URL: server.url, ...environment }),
  });
  const { phase } = await core.handlers['console.state']({}, never);
  if (phase === 'empty')
    await core.handlers['fleet.create'](
      { fleetName: 'Test', operatorName: 'ada', storage: 'passphrase', passphrase: 'correct horse battery' },
      never,
    );
  else await core.handlers['fleet.unlock']({ passphrase: 'correct horse battery' }, never);
};

const restart = async (environment: Readonly<Record<string, string>>): Promise<void> => {
  await core.close();
  await start(environment);
};

const meet = async (name: string, cluster?: string): Promise<{ readonly agent: FakeAgent; readonly enrollmentId: string }> => {
  const agent = await createFakeAgent();
  agents.push(agent);
  const begun = await core.handlers['enrollment.begin'](
    { name, address: '127.0.0.1', port: agent.port, ...(cluster === undefined ? {} : { cluster }) },
    never,
  );
  agent.join(begun.token ?? '');
  const { enrollmentId } = begun;
  for await (const { state } of core.handlers['enrollment.watch']({ enrollmentId }, AbortSignal.timeout(10_000)))
    if (state === 'fingerprint') break;
  return { agent, enrollmentId };
};

const enroll = async (name: string, cluster?: string): Promise<Enrollment> =>
  core.handlers['enrollment.approve']({ enrollmentId: (await meet(name, cluster)).enrollmentId }, never);

const connected = async (count: number): Promise<readonly HostRow[]> => {
  for await (const { hosts } of core.handlers['hosts.watch']({}, AbortSignal.timeout(10_000)))
    if (hosts.filter(({ state }) => state === 'healthy').length >= count) return hosts;
  throw new Error('the hosts did not connect');
};

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nest-license-'));
  vault = createMemoryVault();
  server = await startFakeLicenseServer();
  agents = [];
});
afterEach(async () => {
  await core.close();
  await Promise.all(agents.map((agent) => agent.stop()));
  await server.stop();
  await rm(folder, { recursive: true, force: true });
});

describe('Community in release mode', () => {
  it('enrols three hosts of one cluster; the next host or cluster is refused, and at the last moment before a key is signed', async () => {
    await start({ RELEASE_MODE: 'true' });
    await enroll('edge-1', 'ams');
    await enroll('edge-2', 'ams');
    await expect(meet('edge-3', 'fra')).rejects.toMatchObject({ code: 'QUOTA_EXCEEDED', details: { quota: 'clusters' } });
    const last = await meet('edge-3', 'ams');
    await expect(meet('edge-4')).rejects.toMatchObject({ code: 'QUOTA_EXCEEDED', details: { quota: 'hosts', limit: 3, used: 3 } });
    const [first] = cache.hosts();
    if (first === undefined) throw new Error('no host was kept');
    // Another process of this console was faster.
    cache.putHost({ ...first, hostId: `${first.hostId.slice(0, -1)}Z`, name: 'edge-5', port: 9 });
    const { enrollmentId } = last;
    await expect(core.handlers['enrollment.approve']({ enrollmentId }, never)).rejects.toMatchObject({ code: 'QUOTA_EXCEEDED' });
    expect(last.agent.agentId).toBe('');
    cache.removeHost(`${first.hostId.slice(0, -1)}Z`);
    expect(await core.handlers['enrollment.approve']({ enrollmentId }, never)).toMatchObject({ state: 'enrolled' });
    expect(server.requests).toEqual([]);
  });

  it('goes on with everything that runs over its limits: change, confirm, undo, access, audit', async () => {
    await start({});
    for (const name of ['edge-1', 'edge-2', 'edge-3', 'edge-4']) await enroll(name, name.slice(-1));
    await restart({ RELEASE_MODE: 'true', LICENSE_KEY: fakeKey });
    server.mode = 'revoked';
    await core.handlers['license.check']({}, never).catch(() => undefined);
    expect(await core.handlers['license.get']({}, never)).toMatchObject({
      state: 'invalid',
      hosts: { used: 4, max: 3 },
      clusters: { used: 4, max: 1 },
    });
    const hosts = await connected(4);
    const plan = await core.handlers['policy.plan']({ policy, hostIds: hosts.map(({ hostId }) => hostId) }, never);
    const applied = await core.handlers['policy.apply']({ planId: plan.planId, confirmWithinSeconds: 60 }, never);
    expect(await core.handlers['policy.undo']({ rolloutId: applied.rolloutId }, never)).toMatchObject({ state: 'rolled-back' });
    const view = await core.handlers['access.change'](
      { change: { kind: 'cluster.put', id: 'five', title: 'Five', hostIds: [hosts[0]?.hostId ?? ''] } },
      never,
    );
    expect(view).toBeDefined();
    expect((await core.handlers['audit.heads']({}, never)).length).toBe(4);
    expect((await core.handlers['certificate.list']({}, never)).rows.length).toBeGreaterThan(4);
    await expect(meet('edge-5')).rejects.toMatchObject({ code: 'QUOTA_EXCEEDED' });
  });
});

describe('a licence key', () => {
  it('lifts the limits, outlives a restart and an outage, and is shown nowhere', async () => {
    await start({ RELEASE_MODE: 'true' });
    await expect(core.handlers['license.set']({ key: 'PENG-1' }, never)).rejects.toMatchObject({ code: 'LICENSE_INVALID' });
    server.mode = 'revoked';
    await expect(core.handlers['license.set']({ key: fakeKey }, never)).rejects.toMatchObject({ code: 'LICENSE_INVALID' });
    expect(await core.handlers['license.get']({}, never)).toMatchObject({ state: 'community', key: null });
    server.mode = 'valid';
    expect(await core.handlers['license.set']({ key: fakeKey.toLowerCase() }, never)).toMatchObject({ state: 'valid', hosts: { max: 10 } });
    server.mode = 'http-500';
    await restart({ RELEASE_MODE: 'true' });
    const view = await core.handlers['license.get']({}, never);
    expect(view).toMatchObject({ state: 'valid', tier: 'enterprise', key: { origin: 'vault', ending: 'IJ90' } });
    expect(JSON.stringify([view, cache.value('license')])).not.toContain('AB12');
    expect(await core.handlers['license.remove']({}, never)).toMatchObject({ state: 'community', hosts: { max: 3 } });
  });

  it('is worth nothing from a cache that was edited or comes from another fleet', async () => {
    await start({ RELEASE_MODE: 'true' });
    await core.handlers['license.set']({ key: fakeKey }, never);
    const sealed = cache.value<{ readonly nonce: string; readonly box: string }>('license');
    if (sealed === null) throw new Error('nothing was kept');
    server.mode = 'http-500';
    const box = Buffer.from(sealed.box, 'base64');
    box[40] = (box[40] ?? 0) ^ 1;
    cache.putValue('license', { ...sealed, box: box.toString('base64') });
    await restart({ RELEASE_MODE: 'true' });
    expect(await core.handlers['license.get']({}, never)).toMatchObject({ state: 'unchecked', hosts: { max: 3 } });
  });
});

describe('nothing is sent', () => {
  it('outside of release mode without a key: not one connection is opened but to the hosts', async () => {
    const opened: unknown[] = [];
    const watch = (message: unknown): void => void opened.push(message);
    channel('net.client.socket').subscribe(watch);
    try {
      await start({});
      await core.handlers['license.get']({}, never);
      await expect(core.handlers['license.check']({}, never)).rejects.toMatchObject({ code: 'LICENSE_INVALID' });
      await core.handlers['sso.get']({}, never);
      await core.handlers['fleet.lock']({}, never);
      await core.handlers['fleet.unlock']({ passphrase: 'correct horse battery' }, never);
      expect(opened).toEqual([]);
      await enroll('edge-1', 'ams');
      expect(opened.length).toBeGreaterThan(0);
      expect(server.requests).toEqual([]);
    } finally {
      channel('net.client.socket').unsubscribe(watch);
    }
  });
});

describe('nest license', () => {
  it('keeps a key from a file, shows it by its end, checks it with an exit code and removes it', async () => {
    await start({});
    const console = await openTestConsole('', {
      license: readLicenseSettings({ LICENSE_SERVER_URL: server.url, RELEASE_MODE: 'true' }),
    });
    try {
      await console.nest(['fleet', 'init', 'Test']);
      const keyFile = join(console.folder, 'key');
      await writeFile(keyFile, `${fakeKey}\n`);
      expect((await console.nest(['license', 'status'])).out).toContain('Community: no licence');
      expect(await console.nest(['license', 'set', '--key-file', keyFile])).toMatchObject({
        code: 0,
        out: expect.stringContaining('ends in IJ90'),
      });
      expect(JSON.parse((await console.nest(['license', 'status', '--json'])).out)).toMatchObject({
        state: 'valid',
        hosts: { used: 0, max: 10 },
      });
      expect((await console.nest(['license', 'check', '--feature', 'sso'])).code).toBe(0);
      expect((await console.nest(['license', 'check', '--feature', 'reports'])).code).toBe(1);
      server.mode = 'http-500';
      expect(await console.nest(['license', 'check'])).toMatchObject({ code: 1, notes: expect.stringContaining('LICENSE_UNREACHABLE') });
      const file = join(console.folder, 'entitlement.json');
      await writeFile(file, '{}');
      expect(await console.nest(['license', 'import', file])).toMatchObject({ code: 1, notes: expect.stringContaining('LICENSE_INVALID') });
      expect((await console.nest(['license', 'remove'])).out).toContain('Community: no licence');
      expect((await console.nest(['license', 'set'])).code).toBe(2);
    } finally {
      await console.close();
    }
  });
});
