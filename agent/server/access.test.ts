import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createPrivateKey, createPublicKey } from 'node:crypto';
import { makeGenericClientConstructor, Metadata } from '@grpc/grpc-js';
import type { ServiceError } from '@grpc/grpc-js';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { rpcAccess } from '../../proto/gen/access.ts';
import { AccessServiceClient, CheckAccessRequest } from '../../proto/gen/nest/v1/access.ts';
import type { AccessRole } from '../../proto/gen/nest/v1/access.ts';
import { ApplyConfigRequest, ConfigServiceClient, DriftMode } from '../../proto/gen/nest/v1/config.ts';
import { FlowFilter, FlowServiceClient } from '../../proto/gen/nest/v1/flow.ts';
import { HostServiceClient } from '../../proto/gen/nest/v1/host.ts';
import { makeClientKey } from '../../proto/model/access/client-key.ts';
import { bodyOf, makeOwner, put, signerOf, stepOf, TestBundle } from '../../proto/model/access/test-bundle.ts';
import { accessResources, accessVerbs } from '../../proto/model/access/scope.ts';
import { createAccessControl } from '../control/access/access-control.ts';
import type { AccessControl, SignedEnvelope } from '../control/access/api.ts';
import type { IdentityControl } from '../control/identity/api.ts';
import { createIdentityControl } from '../control/identity/identity-control.ts';
import { createTestFleet, testAgentId } from '../control/identity/test-fleet.ts';
import type { TestCertificate, TestFleet } from '../control/identity/test-fleet.ts';
import { systemClock } from '../lib/clock.ts';
import { silentLogger } from '../lib/log.ts';
import { systemRandom } from '../lib/random.ts';
import { createServer } from './api.ts';
import type { AgentServer } from './api.ts';
import { createFakeDomains } from './fake-domains.ts';
import type { FakeDomains } from './fake-domains.ts';
import { ask, describeRefusal, dial, enroll, refusalOf } from './test-console.ts';

const fleetId = '01jz000000000000000000000a';
const listen = { address: '127.0.0.1', port: 0 };
let aheadMs = 0;
/** Many short connections must not meet the limit per source. */
const clock = { ...systemClock, monotonicMs: () => performance.now() * 100, nowMs: () => Date.now() + aheadMs };
const day = 86_400_000;

let stateDir: string;
let identity: IdentityControl;
let access: AccessControl;
let domains: FakeDomains;
let server: AgentServer;
let fleet: TestFleet;
let port: number;
let bundle: TestBundle;
const people = new Map<string, TestCertificate>();
const raised = new Map<string, string>();

const certificateOf = async (name: string, kind = 'operator'): Promise<TestCertificate> => {
  const known = people.get(name) ?? (await fleet.operator(name, { uris: [`spiffe://${fleetId}/${kind}/${name}`] }));
  people.set(name, known);
  return known;
};

beforeAll(async () => {
  stateDir = await mkdtemp(join(tmpdir(), 'nest-access-'));
  fleet = await createTestFleet(fleetId);
  identity = await createIdentityControl({ stateDir, clock: systemClock, random: systemRandom });
  const raise = (code: string, warning: { readonly message: string } | null): void =>
    void (warning === null ? raised.delete(code) : raised.set(code, warning.message));
  access = await createAccessControl({ stateDir, fleet: () => identity.identity(), clock, log: silentLogger, raise });
  domains = createFakeDomains();
  server = await createServer({
    ...domains,
    access,
    listen,
    metrics: listen,
    reflection: true,
    agentVersion: '1.2.3',
    identity,
    clock,
    logger: silentLogger,
  });
  const token = fleet.token();
  await identity.openEnrollment(token.text);
  await server.settled();
  port = server.grpcPort ?? -1;
  await enroll({ port, fleet, token, operator: await certificateOf('ada') });
  await server.settled();
  await access.refresh();
});
afterAll(async () => {
  await domains.host.close();
  await server.close();
  access.close();
  identity.close();
  await rm(stateDir, { recursive: true });
});

/** A new epoch for each test: ada owns it, bob is known and holds nothing. */
let epoch = 0;
const rootSigner = () => {
  const privateKey = createPrivateKey(fleet.root.keyPem);
  return signerOf({ privateKey, publicKey: createPublicKey(privateKey) });
};
beforeEach(async () => {
  aheadMs = 0;
  epoch++;
  bundle = new TestBundle({ fleetId, root: rootSigner() }, { epoch, body: { operators: [{ subject: 'operator/bob', title: '' }] } });
  await access.push(bundle.updates);
});

/** What bob may do from now on. */
const allow = (scopes: readonly string[], level = '*'): Promise<unknown> => {
  const role: AccessRole = { name: 'probe', scopes: [...scopes], title: '' };
  return access.push([bundle.change(put({ roles: [role], bindings: [{ id: 'probe', subject: 'operator/bob', role: 'probe', level }] }))]);
};

/** Any rpc with an empty request, answered by one message or a stream: what refused it, or "served". */
const probe = async (path: string, certificate: TestCertificate): Promise<string> => {
  const pass = (value: Buffer): Buffer => value;
  const client = dial(makeGenericClientConstructor({}, 'probe'), { port, certificate });
  const stream = client.makeBidiStreamRequest(path, pass, pass, new Metadata(), { deadline: Date.now() + 5000 });
  try {
    return await new Promise<string>((resolve) => {
      stream.on('data', () => resolve('served'));
      stream.on('end', () => resolve('served'));
      stream.on('error', (error: ServiceError) => resolve(describeRefusal(error).reason));
      stream.end(Buffer.alloc(0));
      if (path.includes('/Watch')) setTimeout(() => resolve('served'), 300);
    });
  } finally {
    stream.on('error', () => undefined);
    stream.cancel();
    client.close();
  }
};

describe('every rpc', () => {
  const reflection = '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo';
  const guarded = [
    ...Object.entries(rpcAccess).map(([path, { scope }]) => [path, scope] as const),
    [reflection, 'hosts:admin'] as const,
  ].filter(([, scope]) => scope !== 'public');
  const all = accessResources.flatMap((resource) => accessVerbs.map((verb) => `${resource}:${verb}`));

  it('is refused to who holds an empty role', { timeout: 60_000 }, async () => {
    await allow([]);
    const bob = await certificateOf('bob');
    expect(guarded.length).toBeGreaterThan(20);
    for (const [path] of guarded) expect(`${path} ${await probe(path, bob)}`).toBe(`${path} SCOPE_MISSING`);
  });

  it('is refused to who holds every scope but its own, and not to who holds that alone', { timeout: 120_000 }, async () => {
    const bob = await certificateOf('bob');
    for (const scope of new Set(guarded.map(([, needed]) => needed))) {
      const [resource = '', verb = ''] = scope.split(':');
      const rank = accessVerbs.findIndex((one) => one === verb);
      const without = all.filter(
        (one) => !one.startsWith(`${resource}:`) || accessVerbs.findIndex((other) => one.endsWith(`:${other}`)) < rank,
      );
      await allow(without);
      for (const [path] of guarded.filter(([, needed]) => needed === scope))
        expect(`${path} ${await probe(path, bob)}`).toBe(`${path} SCOPE_MISSING`);
      await allow([scope]);
      for (const [path] of guarded.filter(([, needed]) => needed === scope))
        expect(`${path} ${await probe(path, bob)}`).not.toMatch(/SCOPE_MISSING|REVOKED/);
    }
  });

  it('is refused when its certificate is good and nobody knows its subject', async () => {
    expect(await probe('/nest.v1.SessionService/Hello', await certificateOf('stranger'))).toBe('SCOPE_MISSING');
  });
});

const hosts = async (name: string): Promise<HostServiceClient> => dial(HostServiceClient, { port, certificate: await certificateOf(name) });

/** Reads a status stream until it ends; resolves with why. */
const watching = async (client: HostServiceClient): Promise<{ readonly ended: Promise<string> }> => {
  const stream = client.watchStatus({});
  const ended = new Promise<string>((resolve) => {
    stream.on('error', (error: ServiceError) => resolve(describeRefusal(error).reason));
    stream.on('end', () => resolve('ended'));
  });
  await new Promise((resolve) => stream.once('data', resolve));
  return { ended };
};

describe('while a stream runs', () => {
  it('the loss of its scope ends it with the reason, and other calls go on', async () => {
    await allow(['hosts:read', 'flows:read']);
    const client = await hosts('bob');
    const { ended } = await watching(client);
    await allow(['flows:read']);
    expect(await ended).toBe('SCOPE_MISSING');
    expect(await probe('/nest.v1.FlowService/ListFlows', await certificateOf('bob'))).toBe('served');
    client.close();
  });

  it('a lock on its operator ends it and every connection, and no new one is let in', async () => {
    await allow(['hosts:read']);
    const client = await hosts('bob');
    const { ended } = await watching(client);
    const lock = bundle.change(put({ locks: [{ id: 'l', target: 'operator/bob', reason: 'lost laptop', sinceMs: 1n }] }));
    const startedMs = performance.now();
    await access.push([lock]);
    expect(await ended).toBe('REVOKED');
    console.log(`access lock: delivered, stored and the running stream cut in ${(performance.now() - startedMs).toFixed(1)} ms`);
    expect(await refusalOf(ask(client.getHost.bind(client), {}))).toMatchObject({ status: 'UNAUTHENTICATED', reason: 'REVOKED' });
    client.close();
    await access.push([bundle.change({ removeLocks: ['l'] })]);
    expect(await probe('/nest.v1.HostService/GetHost', await certificateOf('bob'))).toBe('served');
  });

  it('a lock on one device spares the other of the same operator', async () => {
    await allow(['hosts:read']);
    const lost = await fleet.operator('bob');
    await access.push([
      bundle.change(put({ locks: [{ id: 'd', target: `device/${lost.spkiHash.toString('hex')}`, reason: 'stolen', sinceMs: 1n }] })),
    ]);
    expect(await probe('/nest.v1.HostService/GetHost', lost)).toBe('REVOKED');
    expect(await probe('/nest.v1.HostService/GetHost', await certificateOf('bob'))).toBe('served');
  });

  it('the loss of the last binding cuts the connection', async () => {
    await allow(['hosts:read']);
    const client = await hosts('bob');
    const { ended } = await watching(client);
    await access.push([bundle.change({ removeBindings: ['probe'] })]);
    expect(await ended).toBe('SCOPE_MISSING');
    client.close();
  });
});

describe('levels', () => {
  const flows = async (mapping: string): Promise<string> => {
    const client = dial(FlowServiceClient, { port, certificate: await certificateOf('bob') });
    try {
      await ask(client.listFlows.bind(client), { filter: FlowFilter.fromPartial({ mapping }), limit: 1, windowSeconds: 0 });
      return 'served';
    } catch (error) {
      return describeRefusal(error as ServiceError).reason;
    } finally {
      client.close();
    }
  };

  it('of a mapping serve the requests that name it and no other', async () => {
    await allow(['flows:read'], 'mapping/web');
    expect([await flows('web'), await flows('shop'), await flows('')]).toEqual(['served', 'SCOPE_MISSING', 'SCOPE_MISSING']);
  });

  it('of a mapping let a policy be applied that reaches this mapping alone, and a refusal names what else one reaches', async () => {
    await allow(['mappings:write'], 'mapping/web');
    const client = dial(ConfigServiceClient, { port, certificate: await certificateOf('bob') });
    const apply = async (...names: readonly string[]): Promise<string> => {
      const policyJson = JSON.stringify({ kind: 'Policy', mappings: names.map((name) => ({ name })) });
      const request = { policyJson, planHash: 'cd'.repeat(32), transactionId: 'transaction-1', confirmWithinSeconds: 60, comment: '' };
      try {
        await ask(client.applyConfig.bind(client), ApplyConfigRequest.fromPartial(request));
        return 'served';
      } catch (error) {
        const { reason, message } = describeRefusal(error as ServiceError);
        return `${reason} ${message}`;
      }
    };
    expect(await apply('web')).toBe('served');
    expect(await apply('web', 'shop')).toMatch(/^SCOPE_MISSING .*mapping shop\./);
    expect(await apply('shop')).not.toMatch(/mapping web/);
    expect(await refusalOf(ask(client.getConfig.bind(client), { revision: 0n }))).toMatchObject({ reason: 'SCOPE_MISSING' });
    await access.push([bundle.change(put({ locks: [{ id: 'm', target: 'operator/bob', reason: '', sinceMs: 1n }] }))]);
    expect(await apply('web')).toMatch(/^(REVOKED|CANCELLED| )/);
    client.close();
  });

  it('of a mapping let this mapping be approved and no other, and leave the mode of drift to those who hold the host', async () => {
    const client = dial(ConfigServiceClient, { port, certificate: await certificateOf('bob') });
    const approve = async (mapping: string): Promise<string> => {
      const { reason } = await refusalOf(
        ask(client.approveMapping.bind(client), { mapping, transactionId: 'transaction-1', baseRevision: 999n, ...rest }),
      );
      return reason;
    };
    const rest = { confirmWithinSeconds: 60, comment: '' };
    const setMode = async (): Promise<string> => {
      try {
        await ask(client.setDriftMode.bind(client), { mode: DriftMode.REPORT });
        return 'served';
      } catch (error) {
        return describeRefusal(error as ServiceError).reason;
      }
    };
    await allow(['mappings:write'], 'mapping/web');
    // The scope is asked for before the revision is.
    expect([await approve('web'), await approve('shop'), await approve('')]).toEqual([
      'REVISION_CONFLICT',
      'SCOPE_MISSING',
      'SCOPE_MISSING',
    ]);
    expect(await setMode()).toBe('SCOPE_MISSING');
    // The fake agent has no data path: who holds the host gets so far as to hear it.
    await allow(['mappings:write'], `host/${testAgentId}`);
    expect([await approve('shop'), await setMode()]).toEqual(['REVISION_CONFLICT', 'ENGINE_UNAVAILABLE']);
    client.close();
  });

  it('of a host and of its cluster hold here, those of others do not', async () => {
    await allow(['flows:read'], `host/${testAgentId}`);
    expect(await flows('')).toBe('served');
    await allow(['flows:read'], 'host/01JZ0000000000000000000009');
    expect(await flows('')).toBe('SCOPE_MISSING');
    await access.push([
      bundle.change(
        put({
          clusters: [
            { id: 'ams', title: '', agentIds: [testAgentId] },
            { id: 'fra', title: '', agentIds: [] },
          ],
        }),
      ),
    ]);
    await allow(['flows:read'], 'cluster/ams');
    expect(await flows('')).toBe('served');
    await allow(['flows:read'], 'cluster/fra');
    expect(await flows('')).toBe('SCOPE_MISSING');
  });
});

describe('the question who may do what', () => {
  it('is answered for the caller, for others and for a device, as calls would be', async () => {
    await allow(['flows:read', 'access:read'], 'mapping/web');
    const client = dial(AccessServiceClient, { port, certificate: await certificateOf('ada') });
    const check = async (question: Partial<CheckAccessRequest>): Promise<string> => {
      const { allowed, reason } = await ask(client.checkAccess.bind(client), CheckAccessRequest.fromPartial(question));
      return allowed ? 'allowed' : reason;
    };
    expect(await check({ scope: 'certs:admin' })).toBe('allowed');
    expect(await check({ subject: 'operator/bob', scope: 'flows:read' })).toBe('SCOPE_MISSING');
    expect(await check({ subject: 'operator/bob', scope: 'flows:read', mapping: 'web' })).toBe('allowed');
    await access.push([bundle.change(put({ locks: [{ id: 'd', target: `device/${'ab'.repeat(32)}`, reason: '', sinceMs: 1n }] }))]);
    expect(await check({ subject: 'operator/bob', scope: 'flows:read', mapping: 'web', deviceKeyId: 'ab'.repeat(32) })).toBe('REVOKED');
    const wrong = { ...CheckAccessRequest.fromPartial({ subject: 'nobody', scope: 'flows:read' }) };
    expect(await refusalOf(ask(client.checkAccess.bind(client), wrong))).toMatchObject({ reason: 'INPUT_INVALID' });
    client.close();
  });
});

describe('bundles that must not be believed', () => {
  const push = async (...updates: readonly SignedEnvelope[]): Promise<string> => {
    const client = dial(AccessServiceClient, { port, certificate: await certificateOf('ada') });
    try {
      const { accepted } = await ask(client.pushAccessUpdates.bind(client), { updates: [...updates] });
      return `accepted ${String(accepted)}`;
    } catch (error) {
      return describeRefusal(error as ServiceError).reason;
    } finally {
      client.close();
    }
  };
  const mallory = makeOwner('operator/ada');
  const forged = (change: Partial<Parameters<typeof stepOf>[1]>): SignedEnvelope =>
    stepOf(fleetId, {
      body: bundle.body,
      by: [bundle.owner.signer],
      author: 'operator/ada',
      epoch,
      revision: bundle.updates.length + 1,
      previous: [bundle.head],
      atMs: Date.now(),
      ...change,
    });
  const unchanged = async (refused: Promise<string>, code: string): Promise<void> => {
    const before = access.head();
    expect(await refused).toBe(code);
    expect(access.head()).toEqual(before);
  };

  it('are taken when they are good', async () => {
    expect(await push(bundle.change(put({ operators: [{ subject: 'operator/zoe', title: '' }] })))).toBe('accepted 1');
  });

  it('rolled back', async () => {
    const first = bundle.updates.slice();
    await allow(['hosts:read']);
    await unchanged(push(...first), 'ACCESS_INVALID');
    await unchanged(push(forged({ epoch: epoch - 1, revision: 99 })), epoch === 1 ? 'INPUT_INVALID' : 'ACCESS_INVALID');
  });

  it('leaping ahead', () => unchanged(push(forged({ revision: 1_000_000, previous: [] })), 'ACCESS_INVALID'));
  it('of a wrong signer', () => unchanged(push(forged({ by: [mallory.signer] })), 'ACCESS_INVALID'));
  it('of the root alone', () => unchanged(push(forged({ by: [rootSigner()] })), 'ACCESS_INVALID'));
  it('of a new epoch without the root', () =>
    unchanged(
      push(forged({ body: bodyOf([mallory]), by: [mallory.signer], epoch: epoch + 1, revision: 1, previous: [] })),
      'ACCESS_INVALID',
    ));

  it('that give their author more than he has', async () => {
    const bob = makeOwner('operator/bob');
    await allow(['access:write', 'hosts:read']);
    const owners = [...bundle.body.owners, bob.entry];
    await access.push([bundle.replace({ ...bundle.body, owners }, [bundle.owner.signer, bob.signer])]);
    const bindings = [...bundle.body.bindings, { id: 'mine', subject: 'operator/bob', role: 'admin', level: '*' }];
    await unchanged(push(forged({ body: { ...bundle.body, bindings }, by: [bob.signer], author: 'operator/bob' })), 'ACCESS_INVALID');
  });

  it('forked: the first stays, everybody sees the alarm, a merge ends it', async () => {
    const other = forged({ body: { ...bundle.body, dangerousScopes: ['mappings:write'] } });
    const [before] = [bundle.head];
    const kept = bundle.change(put({ operators: [{ subject: 'operator/zoe', title: '' }] }));
    expect(before).not.toBe(kept);
    await access.push([kept]);
    await unchanged(push(other), 'ACCESS_FORKED');
    expect(raised.get('ACCESS_FORKED')).toContain('Two updates claim number 2');
    const client = dial(AccessServiceClient, { port, certificate: await certificateOf('ada') });
    const { head } = await ask(client.getAccessHead.bind(client), {});
    client.close();
    expect(head?.forks).toMatchObject([{ revision: 2n, refused: { payload: other.payload } }]);
    expect(await push(forged({ previous: [kept, other], body: bundle.body, revision: 3 }))).toBe('accepted 1');
    expect(raised.has('ACCESS_FORKED')).toBe(false);
  });

  it('too old: reading and delivery go on, changes wait with a coded reason', async () => {
    aheadMs = 31 * day;
    // Certificates end before: this test is about the bundle.
    const lasting = await fleet.operator('ada', { notAfter: Date.now() + 90 * day });
    const client = dial(ConfigServiceClient, { port, certificate: lasting });
    expect(await refusalOf(ask(client.confirmConfig.bind(client), { revision: 1n, transactionId: 'x' }))).toMatchObject({
      status: 'FAILED_PRECONDITION',
      reason: 'ACCESS_STALE',
    });
    await ask(client.listRevisions.bind(client), {});
    const deliver = dial(AccessServiceClient, { port, certificate: lasting });
    await ask(deliver.pushAccessUpdates.bind(deliver), { updates: [bundle.change({}, { atMs: Date.now() + aheadMs })] });
    expect(await refusalOf(ask(client.confirmConfig.bind(client), { revision: 1n, transactionId: 'x' }))).toMatchObject({
      reason: 'INPUT_INVALID',
    });
    client.close();
    deliver.close();
  });
});

describe('an API client', () => {
  const call = async (key: string | null): Promise<string> => {
    const client = dial(HostServiceClient, { port, certificate: await certificateOf('backup', 'client') });
    const metadata = new Metadata();
    if (key !== null) metadata.set('authorization', `Bearer ${key}`);
    try {
      await new Promise((resolve, reject) => {
        client.getHost({}, metadata, { deadline: Date.now() + 5000 }, (error, answer) =>
          error === null ? resolve(answer) : reject(error),
        );
      });
      return 'served';
    } catch (error) {
      return describeRefusal(error as ServiceError).reason;
    } finally {
      client.close();
    }
  };

  it('needs one of its two live keys beside its certificate, and waits after five wrong ones', async () => {
    const [first, second] = [1, 2].map((fill) => makeClientKey(Buffer.alloc(32, fill), { createdAtMs: Date.now(), expiresAtMs: 0 }));
    if (first === undefined || second === undefined) throw new Error('no keys');
    const keys = (entries: readonly (typeof first)[]) =>
      put({ clients: [{ subject: 'client/backup', title: '', keys: entries.map(({ entry }) => entry) }] });
    const { put: clients } = keys([first, second]);
    await access.push([
      bundle.change({ put: { ...clients, bindings: [{ id: 'c', subject: 'client/backup', role: 'viewer', level: '*' }] } as never }),
    ]);
    expect([await call(first.text), await call(second.text), await call(null)]).toEqual(['served', 'served', 'SESSION_INVALID']);
    await access.push([bundle.change(keys([second]))]);
    expect([await call(first.text), await call(second.text)]).toEqual(['SESSION_INVALID', 'served']);
    for (let attempt = 0; attempt < 3; attempt++) expect(await call('nestkey1.guess')).toBe('SESSION_INVALID');
    expect([await call('nestkey1.guess'), await call(second.text)]).toEqual(['LIMIT_REACHED', 'LIMIT_REACHED']);
  });
});
