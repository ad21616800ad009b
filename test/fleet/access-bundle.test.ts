/** The console's side of access against real agents: their server, their TLS, their stored bundles. */
import { copyFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createAccessControl } from '../../agent/control/access/access-control.ts';
import type { AccessControl } from '../../agent/control/access/api.ts';
import { createIdentityControl } from '../../agent/control/identity/identity-control.ts';
import { systemClock as agentClock } from '../../agent/lib/clock.ts';
import { silentLogger } from '../../agent/lib/log.ts';
import { systemRandom as agentRandom } from '../../agent/lib/random.ts';
import { createServer } from '../../agent/server/api.ts';
import { createFakeDomains } from '../../agent/server/fake-domains.ts';
import { Metadata } from '@grpc/grpc-js';
import { HostServiceClient } from '../../proto/gen/nest/v1/host.ts';
import { describeRefusal, dial } from '../../agent/server/test-console.ts';
import type { AccessChange, AccessView } from '../../desktop/bridge/access-model.ts';
import { systemClock, systemRandom } from '../../desktop/lib/api.ts';
import { createConsoleCore, createMemorySettings, createMemoryVault } from '../../desktop/core/api.ts';
import type { ConsoleCore, CredentialVault } from '../../desktop/core/api.ts';
import { openFleetCache } from '../../desktop/core/cache/sqlite-fleet-cache.ts';
import { createVerdictProgram } from '../../desktop/core/trace/verdict-program.ts';
import { freePort } from '../support/free-port.ts';

const never = new AbortController().signal;
const passphrase = 'correct horse battery';

let folder: string;
let vault: CredentialVault;
const cores: ConsoleCore[] = [];
const agents: TestAgent[] = [];
const reports: unknown[] = [];

interface TestAgent {
  readonly access: AccessControl;
  readonly port: number;
  join(token: string): Promise<void>;
  close(): Promise<void>;
}

const startAgent = async (name: string): Promise<TestAgent> => {
  const stateDir = await mkdtemp(join(folder, `${name}-`));
  const identity = await createIdentityControl({ stateDir, clock: agentClock, random: agentRandom });
  const domains = createFakeDomains();
  const access = await createAccessControl({
    stateDir,
    fleet: () => identity.identity(),
    clock: agentClock,
    log: silentLogger,
    raise: (code, warning) => domains.host.raise(code, warning),
  });
  identity.onChanged(() => void access.refresh());
  const ticking = setInterval(() => domains.tick(), 100);
  const listen = { address: '127.0.0.1', port: 0 };
  const port = await freePort();
  const server = await createServer({
    ...domains,
    access,
    identity,
    listen: { ...listen, port },
    metrics: listen,
    agentVersion: '1.2.3',
    clock: { ...agentClock, monotonicMs: () => performance.now() * 100 },
    logger: silentLogger,
  });
  const agent: TestAgent = {
    access,
    port,
    join: async (token) => {
      await identity.openEnrollment(token);
      await server.settled();
    },
    close: async () => {
      clearInterval(ticking);
      await domains.host.close();
      await server.close();
      access.close();
      identity.close();
    },
  };
  agents.push(agent);
  return agent;
};

const openCore = (file = 'fleet.sqlite', from = vault): ConsoleCore => {
  const core = createConsoleCore({
    clock: systemClock(),
    random: systemRandom,
    cache: openFleetCache(join(folder, file), Date.now()).cache,
    vaults: [from],
    settings: createMemorySettings(),
    version: '0.0.0',
    verdictProgram: createVerdictProgram(),
    report: (message, fields) => reports.push({ message, ...fields, error: String(fields['error']) }),
  });
  cores.push(core);
  return core;
};

/** What the console knows, for another console of the same fleet. */
const copyCache = async (name: string): Promise<void> => {
  for (const part of ['', '-wal'])
    await copyFile(join(folder, `fleet.sqlite${part}`), join(folder, `${name}.sqlite${part}`)).catch(() => undefined);
};

const createFleet = async (): Promise<ConsoleCore> => {
  const core = openCore();
  await core.handlers['fleet.create']({ fleetName: 'lab', operatorName: 'Ada', storage: 'passphrase', passphrase }, never);
  return core;
};

const enroll = async (core: ConsoleCore, name: string): Promise<TestAgent> => {
  const agent = await startAgent(name);
  const begun = await core.handlers['enrollment.begin']({ name, address: '127.0.0.1', port: agent.port, labels: [] }, never);
  await agent.join(begun.token ?? '');
  const { enrollmentId } = begun;
  for await (const { state } of core.handlers['enrollment.watch']({ enrollmentId }, AbortSignal.timeout(12_000)))
    if (state === 'fingerprint') break;
  expect(await core.handlers['enrollment.approve']({ enrollmentId }, never)).toMatchObject({ state: 'enrolled' });
  return agent;
};

const change = async (core: ConsoleCore, one: AccessChange): Promise<AccessView> =>
  (await core.handlers['access.change']({ change: one }, never)).view;

const until = async (core: ConsoleCore, isWanted: (view: AccessView) => boolean): Promise<AccessView> => {
  const stop = new AbortController();
  let last: AccessView | null = null;
  try {
    for await (const view of core.handlers['access.watch']({}, AbortSignal.any([stop.signal, AbortSignal.timeout(12_000)]))) {
      last = view;
      if (isWanted(view)) return view;
    }
    throw new Error(`the awaited view did not come: ${JSON.stringify(last?.hosts)} ${JSON.stringify(reports)}`);
  } finally {
    stop.abort();
  }
};

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nest-core-access-'));
  vault = createMemoryVault();
  reports.length = 0;
});
afterEach(async () => {
  for (const core of cores.splice(0)) await core.close();
  for (const agent of agents.splice(0)) await agent.close();
  await rm(folder, { recursive: true });
});

describe('a new fleet', () => {
  it('begins with its founder as owner and admin', async () => {
    const core = await createFleet();
    expect(await core.handlers['access.get']({}, never)).toMatchObject({
      head: { epoch: 1, revision: 1, author: 'operator/ada', stale: false },
      self: { subject: 'operator/ada', isOwner: true },
      ownerThreshold: 1,
      bindings: [{ subject: 'operator/ada', role: 'admin', level: '*' }],
      forks: [],
    });
  });

  it('delivers its bundle to a host as soon as it is enrolled, and every change at once', async () => {
    const core = await createFleet();
    const agent = await enroll(core, 'edge-1');
    await until(core, ({ hosts }) => hosts[0]?.state === 'current');
    expect(agent.access.head()).toMatchObject({ epoch: 1, revision: 1 });
    await change(core, { kind: 'operator.put', subject: 'operator/bob', title: 'Bob' });
    const view = await change(core, { kind: 'binding.add', subject: 'operator/bob', role: 'viewer', level: '*' });
    expect(view.hosts[0]?.state).toBe('behind');
    await until(core, ({ hosts }) => hosts[0]?.state === 'current' && hosts[0].revision === 3);
    const { fleetId } = await core.handlers['console.state']({}, never);
    const bob = { subject: `spiffe://${fleetId ?? ''}/operator/bob`, kind: 'operator', device: '' } as const;
    expect([agent.access.decide(bob, 'flows:read'), agent.access.decide(bob, 'mappings:write')]).toEqual([null, 'SCOPE_MISSING']);
    const startedMs = performance.now();
    const lock = agent.access.onChanged(() => {
      if (agent.access.isLocked(bob))
        console.log(`access lock: from the click to the host in ${(performance.now() - startedMs).toFixed(1)} ms`);
    });
    await change(core, { kind: 'lock', target: 'operator/bob', reason: 'lost laptop' });
    await until(core, ({ hosts }) => hosts[0]?.state === 'current' && hosts[0].revision === 4);
    lock();
    expect(agent.access.decide(bob, 'flows:read')).toBe('REVOKED');
  });

  it('is carried on by another console of it that has nothing but the keys, from any host', async () => {
    const first = await createFleet();
    await enroll(first, 'edge-1');
    await change(first, { kind: 'role.put', name: 'flow-reader', title: '', scopes: ['flows:read'] });
    await until(first, ({ hosts }) => hosts[0]?.state === 'current' && hosts[0].revision === 2);
    await first.close();
    await copyCache('second');
    const { cache } = openFleetCache(join(folder, 'second.sqlite'), Date.now());
    for (const name of ['access.chain', 'access.marks']) cache.dropValue(name);
    cache.close();
    const second = openCore('second.sqlite');
    await second.handlers['fleet.unlock']({ passphrase }, never);
    const view = await until(second, ({ head }) => head?.revision === 2);
    expect(view.roles.map(({ name }) => name)).toContain('flow-reader');
    await change(second, { kind: 'renew' });
    await until(second, ({ hosts }) => hosts[0]?.state === 'current' && hosts[0].revision === 3);
  });
});

interface Keys {
  readonly owner?: string;
  readonly authorities?: unknown;
  readonly operatorName: string;
}

/** The same fleet's keys, changed. */
const vaultWith = async (edit: (keys: Keys) => Keys): Promise<CredentialVault> => {
  const [header, secret] = [await vault.header(), await vault.open(passphrase)];
  if (header === null) throw new Error('there is no fleet');
  const other = createMemoryVault();
  const keys = edit(JSON.parse(Buffer.from(secret).toString()) as Keys);
  await other.create({ header: { ...header, operatorName: keys.operatorName }, secret: Buffer.from(JSON.stringify(keys)), passphrase });
  return other;
};

describe('an old fleet', () => {
  it('gets its first bundle when it is unlocked the next time, once', async () => {
    await (await createFleet()).close();
    vault = await vaultWith(({ owner: _owner, authorities: _authorities, ...keys }) => keys);
    const core = openCore('old.sqlite');
    await core.handlers['fleet.unlock']({ passphrase }, never);
    const { head, self } = await core.handlers['access.get']({}, never);
    expect({ head, self }).toMatchObject({ head: { epoch: 1, revision: 1 }, self: { isOwner: true } });
    await core.handlers['fleet.lock']({}, never);
    await core.handlers['fleet.unlock']({ passphrase }, never);
    expect((await core.handlers['access.get']({}, never)).head?.hash).toBe(head?.hash);
  });
});

describe('two owners', () => {
  const withBob = async () => {
    const ada = await createFleet();
    await enroll(ada, 'edge-1');
    await until(ada, ({ hosts }) => hosts[0]?.state === 'current');
    await change(ada, { kind: 'operator.put', subject: 'operator/bob', title: '' });
    await change(ada, { kind: 'binding.add', subject: 'operator/bob', role: 'admin', level: '*' });
    const bobs = await vaultWith(({ owner: _owner, ...keys }) => ({ ...keys, operatorName: 'Bob' }));
    await copyCache('bob');
    const bob = openCore('bob.sqlite', bobs);
    await bob.handlers['fleet.unlock']({ passphrase }, never);
    return { ada, bob };
  };

  it('sign together: a proposal of one takes effect with the signature of the other', async () => {
    const { ada, bob } = await withBob();
    await expect(change(bob, { kind: 'renew' })).rejects.toMatchObject({ code: 'SCOPE_MISSING' });
    const key = await bob.handlers['access.key']({}, never);
    expect(await bob.handlers['access.key']({}, never)).toEqual(key);
    await change(ada, { kind: 'owner.add', subject: 'operator/bob', publicKey: key.publicKey });
    const alone = await change(ada, { kind: 'owner.threshold', threshold: 2 });
    expect({ isProposed: alone.proposal !== null, threshold: alone.ownerThreshold }).toEqual({ isProposed: true, threshold: 1 });
    await until(ada, ({ hosts }) => hosts[0]?.revision === 4);
    await bob.handlers['access.push']({}, never);
    await until(bob, ({ head }) => head?.revision === 4);
    const signed = (await bob.handlers['access.cosign']({ proposal: alone.proposal ?? '' }, never)).view;
    expect(signed).toMatchObject({
      head: { revision: 5 },
      proposal: null,
      ownerThreshold: 2,
      self: { subject: 'operator/bob', isOwner: true },
    });
    await bob.handlers['access.push']({}, never);
    await ada.handlers['access.push']({}, never);
    await until(ada, ({ head, proposal }) => head?.revision === 5 && proposal === null);
    const lonely = await change(bob, { kind: 'role.put', name: 'reader', title: '', scopes: ['flows:read'] });
    expect({ revision: lonely.head?.revision, isProposed: lonely.proposal !== null }).toEqual({ revision: 5, isProposed: true });
    const both = (await ada.handlers['access.cosign']({ proposal: lonely.proposal ?? '' }, never)).view;
    expect(both.roles.map(({ name }) => name)).toContain('reader');
  });
});

describe('a fork', () => {
  it('is shown on both consoles, and a merge brings everybody together', async () => {
    const first = await createFleet();
    const agent = await enroll(first, 'edge-1');
    await until(first, ({ hosts }) => hosts[0]?.state === 'current');
    await first.handlers['fleet.lock']({}, never);
    await copyCache('second');
    await first.handlers['fleet.unlock']({ passphrase }, never);
    await change(first, { kind: 'operator.put', subject: 'operator/left', title: '' });
    await until(first, ({ hosts }) => hosts[0]?.state === 'current' && hosts[0].revision === 2);
    const second = openCore('second.sqlite');
    await second.handlers['fleet.unlock']({ passphrase }, never);
    // Before it has heard of the host.
    await change(second, { kind: 'lock', target: 'operator/eve', reason: 'lost laptop' });
    for (const core of [second, first]) await until(core, ({ forks, hosts }) => forks.length === 1 && hosts[0]?.state === 'forked');
    expect(agent.access.forks()).toHaveLength(1);
    await expect(change(second, { kind: 'renew' })).rejects.toMatchObject({ code: 'ACCESS_FORKED' });
    const merged = (await second.handlers['access.merge']({ keep: 'theirs' }, never)).view;
    expect(merged).toMatchObject({ head: { revision: 3 }, forks: [] });
    expect([merged.operators.map(({ subject }) => subject), merged.locks.map(({ target }) => target)]).toEqual([
      ['operator/ada', 'operator/left'],
      ['operator/eve'],
    ]);
    for (const core of [second, first])
      await until(core, ({ forks, hosts, head }) => forks.length === 0 && hosts[0]?.state === 'current' && head?.revision === 3);
    expect(agent.access.forks()).toEqual([]);
  });
});

describe('the bundle', () => {
  it('begins a new epoch with a new owner key, after which the old one signs nothing', async () => {
    const core = await createFleet();
    const agent = await enroll(core, 'edge-1');
    await until(core, ({ hosts }) => hosts[0]?.state === 'current');
    await change(core, { kind: 'role.put', name: 'reader', title: '', scopes: ['flows:read'] });
    const before = await core.handlers['access.get']({}, never);
    const after = await change(core, { kind: 'epoch' });
    expect(after).toMatchObject({ head: { epoch: 2, revision: 1 }, owners: [{ subject: 'operator/ada' }] });
    expect(after.owners[0]?.keyId).not.toBe(before.owners[0]?.keyId);
    expect(after.roles.map(({ name }) => name)).toContain('reader');
    await until(core, ({ hosts }) => hosts[0]?.state === 'current' && hosts[0].epoch === 2);
    expect(agent.access.head()).toMatchObject({ epoch: 2, revision: 1 });
  });

  it('gives clients at most two live keys, each shown once and stored as a hash', async () => {
    const core = await createFleet();
    await change(core, { kind: 'client.put', subject: 'client/backup', title: 'nightly backup' });
    const add = () => core.handlers['access.change']({ change: { kind: 'client.key.add', subject: 'client/backup' } }, never);
    const [one, two] = [await add(), await add()];
    expect(one.clientKey).toMatch(/^nestkey1\.[\w-]{43}$/);
    expect(one.clientKey).not.toBe(two.clientKey);
    expect(JSON.stringify(two.view)).not.toContain(one.clientKey?.slice(9));
    await expect(add()).rejects.toMatchObject({ code: 'LIMIT_REACHED' });
    const keyId = two.view.clients[0]?.keys[0]?.keyId ?? '';
    await change(core, { kind: 'client.key.remove', subject: 'client/backup', keyId });
    expect((await add()).view.clients[0]?.keys).toHaveLength(2);
  });

  it('lets a client in with its certificate and a live key, and only where it is bound', async () => {
    const core = await createFleet();
    const agent = await enroll(core, 'edge-1');
    await change(core, { kind: 'client.put', subject: 'client/backup', title: '' });
    await change(core, { kind: 'binding.add', subject: 'client/backup', role: 'viewer', level: '*' });
    const { clientKey } = await core.handlers['access.change']({ change: { kind: 'client.key.add', subject: 'client/backup' } }, never);
    await until(core, ({ hosts }) => hosts[0]?.state === 'current' && hosts[0].revision === 4);
    await expect(core.handlers['access.client.certificate']({ subject: 'client/nobody' }, never)).rejects.toMatchObject({
      code: 'NOT_FOUND',
    });
    const issued = await core.handlers['access.client.certificate']({ subject: 'client/backup' }, never);
    const certificate = {
      certificatePem: issued.certificate,
      keyPem: issued.privateKey,
      certificateDer: Buffer.alloc(0),
      spkiHash: Buffer.alloc(0),
    };
    const client = dial(HostServiceClient, { port: agent.port, certificate });
    const call = (key: string | null): Promise<string> =>
      new Promise((resolve) => {
        const metadata = new Metadata();
        if (key !== null) metadata.set('authorization', `Bearer ${key}`);
        client.getHost({}, metadata, { deadline: Date.now() + 5000 }, (error) =>
          resolve(error === null ? 'served' : describeRefusal(error).reason),
        );
      });
    expect([await call(clientKey), await call(null), await call(`${clientKey ?? ''}x`)]).toEqual([
      'served',
      'SESSION_INVALID',
      'SESSION_INVALID',
    ]);
    client.close();
  });

  it('answers who may do what, and refuses what makes no sense', async () => {
    const core = await createFleet();
    const check = (subject: string, scope: string) => core.handlers['access.check']({ subject, scope }, never);
    expect(await check('operator/ada', 'certs:admin')).toEqual({ allowed: true, reason: null });
    expect(await check('operator/eve', 'flows:read')).toEqual({ allowed: false, reason: 'SCOPE_MISSING' });
    for (const [one, code] of [
      [{ kind: 'binding.add', subject: 'operator/eve', role: 'viewer', level: '*' }, 'ACCESS_INVALID'],
      [{ kind: 'binding.add', subject: 'operator/ada', role: 'viewer', level: 'cluster/none' }, 'ACCESS_INVALID'],
      [{ kind: 'binding.add', subject: 'operator/ada', role: 'viewer', level: 'nowhere' }, 'INPUT_INVALID'],
      [{ kind: 'role.put', name: 'admin', title: '', scopes: [] }, 'ACCESS_INVALID'],
      [{ kind: 'role.put', name: 'odd', title: '', scopes: ['flows:own'] }, 'INPUT_INVALID'],
      [{ kind: 'lock', target: 'operator/ada', reason: '' }, 'ACCESS_INVALID'],
      [{ kind: 'unlock', id: 'none' }, 'NOT_FOUND'],
      [{ kind: 'begin' }, 'INPUT_INVALID'],
    ] as const)
      await expect(change(core, one as AccessChange), JSON.stringify(one)).rejects.toMatchObject({ code });
    expect((await core.handlers['access.get']({}, never)).head?.revision).toBe(1);
  });
});
