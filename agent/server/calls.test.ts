import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect as connectHttp2 } from 'node:http2';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeGenericClientConstructor, Metadata } from '@grpc/grpc-js';
import type { ServiceError } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { HealthClient, HealthCheckResponse_ServingStatus } from '../../proto/gen/grpc/health/v1/health.ts';
import { ApplyConfigRequest, ConfigRevision_State, ConfigServiceClient } from '../../proto/gen/nest/v1/config.ts';
import { HostServiceClient, PolicyStatus_Mode } from '../../proto/gen/nest/v1/host.ts';
import type { WatchStatusResponse } from '../../proto/gen/nest/v1/host.ts';
import { Reason } from '../../proto/gen/nest/v1/reason.ts';
import { TrafficServiceClient } from '../../proto/gen/nest/v1/traffic.ts';
import { messageBytesMax, policyBytesMax } from '../../proto/model/limits.ts';
import type { IdentityControl } from '../control/identity/api.ts';
import { createIdentityControl } from '../control/identity/identity-control.ts';
import { createTestFleet } from '../control/identity/test-fleet.ts';
import type { TestCertificate, TestFleet } from '../control/identity/test-fleet.ts';
import { systemClock } from '../lib/clock.ts';
import { silentLogger } from '../lib/log.ts';
import { systemRandom } from '../lib/random.ts';
import { createServer } from './api.ts';
import type { AgentServer } from './api.ts';
import { createFakeDomains } from './fake-domains.ts';
import type { FakeDomains } from './fake-domains.ts';
import { ask, describeRefusal, dial, enroll, refusalOf } from './test-console.ts';
import { uploadWindowBytes } from './upload-window.ts';

const fleetId = '01jz000000000000000000000a';
const listen = { address: '127.0.0.1', port: 0 };
const day = 86_400_000;
/** Runs a hundred times as fast, so that many short connections of this test do not meet the limit per source. */
let aheadMs = 0;
const clock = { ...systemClock, monotonicMs: () => performance.now() * 100, nowMs: () => Date.now() + aheadMs };
const planHash = 'cd'.repeat(32);

describe('calls to an enrolled agent', () => {
  let stateDir: string;
  let identity: IdentityControl;
  let domains: FakeDomains;
  let server: AgentServer;
  let fleet: TestFleet;
  let operator: TestCertificate;
  let port: number;
  const revoked = new Set<string>();

  beforeAll(async () => {
    stateDir = await mkdtemp(join(tmpdir(), 'nest-calls-'));
    fleet = await createTestFleet(fleetId);
    operator = await fleet.operator('ada');
    identity = await createIdentityControl({ stateDir, clock: systemClock, random: systemRandom });
    domains = createFakeDomains();
    server = await createServer({
      ...domains,
      listen,
      metrics: listen,
      agentVersion: '1.2.3',
      identity,
      clock,
      logger: silentLogger,
      isRevoked: ({ name }) => revoked.has(name),
    });
    const token = fleet.token();
    await identity.openEnrollment(token.text);
    await server.settled();
    port = server.grpcPort ?? -1;
    await enroll({ port, fleet, token, operator });
    await server.settled();
  });
  afterAll(async () => {
    await domains.host.close();
    await server.close();
    identity.close();
    await rm(stateDir, { recursive: true });
  });

  const trace = async (certificate: TestCertificate | null, packet = Buffer.alloc(4), deadlineMs: number | null = 5000) => {
    const client = dial(TrafficServiceClient, { port, certificate });
    try {
      return await refusalOf(ask(client.tracePacket.bind(client), { interface: 'lan0', packet }, deadlineMs));
    } finally {
      client.close();
    }
  };
  const withConfig = async <T>(work: (client: ConfigServiceClient) => Promise<T>): Promise<T> => {
    const client = dial(ConfigServiceClient, { port, certificate: operator });
    try {
      return await work(client);
    } finally {
      client.close();
    }
  };

  it('carries the code, the message and the reason of a refusal', async () => {
    expect(await trace(operator)).toEqual({
      status: 'INVALID_ARGUMENT',
      reason: 'PACKET_INVALID',
      message: 'The packet is shorter than an Ethernet header. Send at least 14 bytes.',
    });
  });

  it('keeps the inside of a defect inside', async () => {
    const refusal = await trace(operator, Buffer.alloc(1));
    expect(refusal).toMatchObject({ status: 'INTERNAL', reason: 'INTERNAL' });
    expect(refusal.message).not.toContain('secret');
  });

  it('refuses a caller without a certificate', async () => {
    expect(await trace(null)).toMatchObject({ status: 'UNAUTHENTICATED', reason: 'CERTIFICATE_MISSING' });
  });

  it.each([
    ['expired', { notAfter: Date.now() - day / 2 }],
    ['not valid yet', { notBefore: Date.now() + day }],
    ['with two URI names', { uris: [`spiffe://${fleetId}/operator/ada`, `spiffe://${fleetId}/operator/eve`] }],
    ['without a URI name', { uris: [] }],
    ['with a foreign URI', { uris: ['https://example.net/operator/ada'] }],
    ['of an agent', { uris: [`spiffe://${fleetId}/agent/01JZ0000000000000000000001`] }],
    ['for a server only', { usages: ['1.3.6.1.5.5.7.3.1'] }],
    ['on another curve', { curve: 'P-384' as const }],
    ['from the authority for agents', { under: 'agents' as const }],
  ])('refuses a certificate %s', async (_what, options) => {
    expect(await trace(await fleet.operator('ada', options))).toMatchObject({ status: 'UNAUTHENTICATED', reason: 'CERTIFICATE_INVALID' });
  });

  it('serves an operator under the authority for operators, also one whose clock runs ten minutes ahead', async () => {
    const certificate = await fleet.operator('ada', { under: 'operators', notBefore: Date.now() + 10 * 60_000 - 3_600_000 });
    const client = dial(HostServiceClient, { port, certificate });
    await expect(ask(client.getHost.bind(client), {})).resolves.toBeDefined();
    client.close();
  });

  it('refuses a caller on a live connection from the moment it is locked out', async () => {
    const client = dial(HostServiceClient, { port, certificate: await fleet.operator('eve') });
    await ask(client.getHost.bind(client), {});
    revoked.add('eve');
    expect(await refusalOf(ask(client.getHost.bind(client), {}))).toMatchObject({
      status: 'UNAUTHENTICATED',
      reason: 'CERTIFICATE_INVALID',
    });
    client.close();
  });

  it('refuses a caller on a live connection from the moment its certificate ends', async () => {
    const client = dial(HostServiceClient, { port, certificate: await fleet.operator('bob', { notAfter: Date.now() + day }) });
    await ask(client.getHost.bind(client), {});
    aheadMs = day;
    expect(await refusalOf(ask(client.getHost.bind(client), {}))).toMatchObject({
      status: 'UNAUTHENTICATED',
      reason: 'CERTIFICATE_INVALID',
    });
    aheadMs = 0;
    client.close();
  });

  it('refuses the seventeenth connection of one caller, with the reason', async () => {
    const certificate = await fleet.operator('greedy');
    const clients = Array.from({ length: 17 }, () => dial(HostServiceClient, { port, certificate }));
    for (const client of clients.slice(0, 16)) await ask(client.getHost.bind(client), {});
    const last = clients[16];
    if (last === undefined) throw new Error('no client');
    expect(await refusalOf(ask(last.getHost.bind(last), {}))).toMatchObject({ status: 'RESOURCE_EXHAUSTED', reason: 'LIMIT_REACHED' });
    for (const client of clients) client.close();
  });

  it('refuses a call without a deadline', async () => {
    expect(await trace(operator, Buffer.alloc(4), null)).toMatchObject({ status: 'INVALID_ARGUMENT', reason: 'DEADLINE_MISSING' });
  });

  it('refuses a message over 4 MB with a code, and serves the next call', async () => {
    expect(await trace(operator, Buffer.alloc(messageBytesMax + 1))).toMatchObject({
      status: 'RESOURCE_EXHAUSTED',
      reason: 'MESSAGE_TOO_LARGE',
    });
    expect(await trace(operator)).toMatchObject({ reason: 'PACKET_INVALID' });
  });

  it('refuses bytes that are not the message', async () => {
    const raw = {
      path: '/nest.v1.TrafficService/TracePacket',
      requestStream: false,
      responseStream: false,
      requestSerialize: (value: Buffer) => value,
      requestDeserialize: (value: Buffer) => value,
      responseSerialize: (value: Buffer) => value,
      responseDeserialize: (value: Buffer) => value,
    };
    const client = dial(makeGenericClientConstructor({ raw }, 'raw'), { port, certificate: operator });
    const refusal = await new Promise<ServiceError>((resolve) => {
      client.makeUnaryRequest(
        raw.path,
        raw.requestSerialize,
        raw.responseDeserialize,
        Buffer.from([0x12, 0xff, 0xff, 0xff, 0xff]),
        new Metadata(),
        { deadline: Date.now() + 5000 },
        (error) => resolve(error as ServiceError),
      );
    });
    client.close();
    expect(describeRefusal(refusal)).toMatchObject({ status: 'INVALID_ARGUMENT', reason: 'INPUT_INVALID' });
  });

  it('answers an unknown method without falling over', async () => {
    const client = dial(TrafficServiceClient, { port, certificate: operator });
    const refusal = await new Promise<ServiceError>((resolve) => {
      client.makeUnaryRequest(
        '/nest.v1.TrafficService/Explode',
        () => Buffer.alloc(0),
        (bytes: Buffer) => bytes,
        null,
        new Metadata(),
        { deadline: Date.now() + 5000 },
        (error) => resolve(error as ServiceError),
      );
    });
    client.close();
    expect(describeRefusal(refusal)).toMatchObject({ status: 'UNIMPLEMENTED', reason: 'METHOD_UNKNOWN' });
  });

  it('opens its upload window wide', async () => {
    const session = connectHttp2(`https://127.0.0.1:${port}`, {
      cert: operator.certificatePem,
      key: operator.keyPem,
      rejectUnauthorized: false,
    });
    const windowBytes = await new Promise((resolve, reject) => {
      session.on('remoteSettings', ({ initialWindowSize }) => initialWindowSize === 65_535 || resolve(initialWindowSize));
      session.on('error', reject);
    });
    session.destroy();
    expect(windowBytes).toBe(uploadWindowBytes);
  });

  it('plans with the address of the caller and refuses another base', async () => {
    await withConfig(async (client) => {
      const plan = await ask(client.planConfig.bind(client), { baseRevision: 3n, policyJson: '{}', flowWindowMinutes: 0 });
      expect(plan).toMatchObject({
        planHash,
        baseRevision: 3n,
        managementReachable: true,
        canApply: true,
        problems: [{ code: 'MAPPING_SHADOWED', path: 'mappings[1]' }],
      });
      expect(domains.planned.at(-1)).toMatchObject({
        flowWindowMinutes: 15,
        base: { revision: 3, etag: 'etag-3' },
        management: { callerAddress: '127.0.0.1', localAddress: '127.0.0.1', localPort: port },
      });
      expect(
        await refusalOf(ask(client.planConfig.bind(client), { baseRevision: 2n, policyJson: '{}', flowWindowMinutes: 0 })),
      ).toMatchObject({ status: 'ABORTED', reason: 'REVISION_CONFLICT' });
    });
  });

  it('applies a plan in the name of the caller', async () => {
    const applied = await withConfig((client) =>
      ask(client.applyConfig.bind(client), {
        planHash,
        transactionId: '01JZ0000000000000000000009',
        confirmWithinSeconds: 0,
        comment: 'cut',
        policyJson: '{}',
        rolloutId: '',
        rolloutTerm: 0n,
        withoutDocument: false,
        policySha256: Buffer.alloc(0),
      }),
    );
    expect(applied).toMatchObject({
      remainingMs: 60_000,
      config: {
        revision: 4n,
        state: ConfigRevision_State.PENDING,
        author: `spiffe://${fleetId}/operator/ada`,
        comment: 'cut 01JZ0000000000000000000009',
      },
    });
  });

  it('leaves the document out of its answers for who asks so', async () => {
    const request = { planHash, transactionId: '01JZ0000000000000000000009', policyJson: '{}' };
    const answers = await withConfig((client) =>
      Promise.all(
        [true, false].map((withoutDocument) =>
          ask(client.applyConfig.bind(client), ApplyConfigRequest.fromPartial({ ...request, withoutDocument })),
        ),
      ),
    );
    expect(answers.map(({ config }) => config?.policyJson)).toEqual(['', '{}']);
  });

  it('applies the document of a plan for who names its hash, and no other', async () => {
    const request = { planHash, transactionId: '01JZ0000000000000000000009' };
    const sha256 = (text: string): Buffer => createHash('sha256').update(text).digest();
    const applied = await withConfig(async (client) => {
      const apply = (more: object): Promise<unknown> =>
        ask(client.applyConfig.bind(client), ApplyConfigRequest.fromPartial({ ...request, ...more })).then(
          ({ config }) => config?.policyJson,
          (error: unknown) => describeRefusal(error as ServiceError).reason,
        );
      const plan = await ask(client.planConfig.bind(client), { baseRevision: 3n, policyJson: '{"a":1}', flowWindowMinutes: 0 });
      return [
        plan.documentKept,
        await apply({ policySha256: sha256('{"a":1}') }),
        await apply({ policySha256: sha256('{"a":2}') }),
        await apply({ policySha256: sha256('{"a":1}'), policyJson: '{"a":1}' }),
        await apply({ policySha256: sha256('{"a":1}'), planHash: '00'.repeat(32) }),
      ];
    });
    expect(applied).toEqual([true, '{"a":1}', 'PLAN_MISMATCH', 'INPUT_INVALID', 'PLAN_EXPIRED']);
  });

  it.each([
    ['a confirm time out of bounds', { confirmWithinSeconds: 4 }, 'INPUT_INVALID'],
    ['no transaction id', { transactionId: '' }, 'INPUT_INVALID'],
    ['a plan hash that is none', { planHash: '../../x' }, 'INPUT_INVALID'],
    ['an unknown plan', { planHash: '00'.repeat(32) }, 'PLAN_EXPIRED'],
    ['an endless comment', { comment: 'x'.repeat(501) }, 'INPUT_INVALID'],
    ['a policy over 3 MB', { policyJson: ' '.repeat(policyBytesMax + 1) }, 'POLICY_TOO_LARGE'],
  ])('refuses to apply with %s', async (_what, change, reason) => {
    const request = {
      planHash,
      transactionId: '01JZ0000000000000000000009',
      confirmWithinSeconds: 60,
      comment: '',
      policyJson: '{}',
      rolloutId: '',
      rolloutTerm: 0n,
      withoutDocument: false,
      policySha256: Buffer.alloc(0),
      ...change,
    };
    expect(await withConfig((client) => refusalOf(ask(client.applyConfig.bind(client), request)))).toMatchObject({ reason });
  });

  it('refuses revision numbers beyond what it can count', async () => {
    expect(await withConfig((client) => refusalOf(ask(client.getConfig.bind(client), { revision: 2n ** 63n })))).toMatchObject({
      reason: 'INPUT_INVALID',
    });
    expect(await withConfig((client) => refusalOf(ask(client.getConfig.bind(client), { revision: 9n })))).toMatchObject({
      status: 'NOT_FOUND',
      reason: 'REVISION_UNKNOWN',
    });
  });

  it('describes itself with the first status to who asks, and by its hash alone to who knows it', async () => {
    const client = dial(HostServiceClient, { port, certificate: operator });
    const firstOf = (knownDescription?: Buffer): Promise<WatchStatusResponse> =>
      new Promise((resolve, reject) => {
        const stream = client.watchStatus({ knownDescription });
        stream.on('error', reject);
        stream.once('data', (first: WatchStatusResponse) => {
          resolve(first);
          stream.cancel();
        });
      });
    const { description } = await firstOf(Buffer.alloc(0));
    const { facts, engines } = await ask(client.getHost.bind(client), {});
    expect(description).toEqual({ facts, engines, hash: description?.hash });
    expect(description?.hash).toHaveLength(32);
    expect((await firstOf(description?.hash)).description).toEqual({ facts: undefined, engines: [], hash: description?.hash });
    expect((await firstOf()).description).toBeUndefined();
    client.close();
  });

  it('joins host, data path and policy into one status, at once and then each second', async () => {
    const client = dial(HostServiceClient, { port, certificate: operator });
    const stream = client.watchStatus({});
    const samples: WatchStatusResponse[] = [];
    await new Promise<void>((resolve, reject) => {
      stream.on('error', reject);
      stream.on('data', (sample: WatchStatusResponse) => {
        samples.push(sample);
        if (samples.length < 3) domains.tick();
        else resolve();
      });
    });
    stream.on('error', () => undefined);
    stream.cancel();
    client.close();
    expect(samples.map(({ position }) => position)).toEqual([1n, 2n, 3n].map((sequence) => ({ sequence, lost: 0n })));
    expect(samples[0]?.status).toMatchObject({
      cpuBusy: 0.25,
      flows: 7n,
      policy: { mode: PolicyStatus_Mode.ENFORCE, revision: 3n, generation: 'ab'.repeat(32) },
      interfaces: [
        {
          name: 'lan0',
          virtualFunctions: 2,
          virtualFunctionsMax: 8,
          xdpMode: 'native',
          receivedPackets: 10n,
          reasons: { [Reason.POLICY_DENY]: { packets: 12n, bytes: 1200n } },
        },
      ],
    });
    expect(samples[0]?.status?.policy?.pending).toBeUndefined();
  });

  it('keeps counters exact beyond 2^32', async () => {
    const client = dial(TrafficServiceClient, { port, certificate: operator });
    const counters = await ask(client.getCounters.bind(client), {});
    client.close();
    expect(counters).toMatchObject({
      revision: 3n,
      mappings: [{ mapping: 'web', allow: false, count: { packets: 2n ** 40n } }],
      reasons: [{ reason: Reason.POLICY_DENY, dropped: true }],
    });
  });

  it('speaks the health protocol, also without a deadline', async () => {
    const client = dial(HealthClient, { port, certificate: operator });
    expect(await ask(client.check.bind(client), { service: '' }, null)).toEqual({ status: HealthCheckResponse_ServingStatus.SERVING });
    expect(await refusalOf(ask(client.check.bind(client), { service: 'no.such.Service' }))).toMatchObject({ status: 'NOT_FOUND' });
    domains.host.raise('TEST', { title: 'Broken', message: 'Repair it.', severity: 'critical' });
    expect(await ask(client.check.bind(client), { service: 'nest.v1.HostService' })).toEqual({
      status: HealthCheckResponse_ServingStatus.NOT_SERVING,
    });
    domains.host.raise('TEST', null);
    client.close();
  });

  it('ends watching consoles at once when it stops, with a code that asks them to come back', async () => {
    const other = createFakeDomains();
    const stopping = await createServer({ ...other, listen, metrics: listen, agentVersion: '1', identity, clock, logger: silentLogger });
    const client = dial(HostServiceClient, { port: stopping.grpcPort ?? -1, certificate: operator });
    const stream = client.watchStatus({});
    const ended = new Promise<ServiceError>((resolve) => stream.on('error', (error) => resolve(error as ServiceError)));
    await new Promise((resolve) => stream.once('data', resolve));
    const closing = stopping.close();
    expect(describeRefusal(await ended)).toMatchObject({ status: 'UNAVAILABLE', reason: 'HOST_UNREACHABLE' });
    await closing;
    client.close();
  });

  describe('HTTP', () => {
    const get = (path: string, init?: RequestInit): Promise<Response> => fetch(`http://127.0.0.1:${server.httpPort}${path}`, init);

    it('answers /healthz by the critical warnings', async () => {
      const healthy = await get('/healthz');
      expect([healthy.status, await healthy.json()]).toEqual([
        200,
        { status: 'ok', version: '1.2.3', enrolled: true, mode: 'enforce', revision: 3, pending: false },
      ]);
      domains.host.raise('TEST', { title: 'Broken', message: 'Repair it.', severity: 'critical' });
      const failing = await get('/healthz');
      expect([failing.status, await failing.json()]).toMatchObject([
        503,
        { status: 'failing', reasons: [{ code: 'TEST', message: 'Broken: Repair it.' }] },
      ]);
      domains.host.raise('TEST', null);
    });

    it('exposes what the kernel counts, calls and requests, and no number it does not know', async () => {
      await get('/healthz');
      const text = await (await get('/metrics')).text();
      expect(text).toContain('nest_packets_total{reason="POLICY_DENY",verdict="drop"} 12');
      expect(text).toContain('nest_interface_packets_total{interface="lan0",reason="POLICY_DENY",verdict="drop"} 12');
      expect(text).toContain('nest_mapping_packets_total{mapping="web",action="deny"} 1099511627776');
      expect(text).toContain('nest_host_cpu_busy_ratio 0.25');
      expect(text).toContain('nest_flows 7');
      expect(text).toContain('nest_revision 3');
      expect(text).toMatch(/http_requests_total\{method="GET",endpoint="\/healthz"\} [1-9]/);
      expect(text).toMatch(/http_request_duration_seconds_count\{method="GET",endpoint="\/healthz"\} [1-9]/);
      expect(text).toContain('nest_grpc_calls_total{path="/nest.v1.TrafficService/TracePacket",outcome="PACKET_INVALID"}');
    });

    it('serves nothing else', async () => {
      expect((await get('/')).status).toBe(404);
      expect((await get('/../../etc/passwd')).status).toBe(404);
      expect((await get('/healthz', { method: 'DELETE' })).status).toBe(405);
    });
  });
});
