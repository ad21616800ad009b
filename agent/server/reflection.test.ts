import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create, createFileRegistry, fromBinary, getExtension, hasExtension } from '@bufbuild/protobuf';
import type { FileRegistry } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import type { FileDescriptorProto } from '@bufbuild/protobuf/wkt';
import { status as Code } from '@grpc/grpc-js';
import type { ServiceError } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { rpcAccess } from '../../proto/gen/access.ts';
import { ServerReflectionClient } from '../../proto/gen/grpc/reflection/v1/reflection.ts';
import type { ServerReflectionRequest, ServerReflectionResponse } from '../../proto/gen/grpc/reflection/v1/reflection.ts';
import { HostServiceClient } from '../../proto/gen/nest/v1/host.ts';
import type { IdentityControl } from '../control/identity/api.ts';
import { createIdentityControl } from '../control/identity/identity-control.ts';
import { createTestFleet } from '../control/identity/test-fleet.ts';
import type { TestCertificate, TestFleet } from '../control/identity/test-fleet.ts';
import { systemClock } from '../lib/clock.ts';
import type { Clock } from '../lib/clock.ts';
import { silentLogger } from '../lib/log.ts';
import type { Logger } from '../lib/log.ts';
import { systemRandom } from '../lib/random.ts';
import { createServer } from './api.ts';
import type { AgentServer } from './api.ts';
import { createFakeDomains } from './fake-domains.ts';
import { ask, describeRefusal, dial, enroll } from './test-console.ts';
import type { Refused } from './test-console.ts';

const fleetId = '01jz000000000000000000000a';
/** The longest life of a stream, milliseconds. */
const streamMsMax = 300_000;
const listen = { address: '127.0.0.1', port: 0 };
/** Runs a hundred times as fast, so that many short connections of this test do not meet the limit per source. */
let endLongestStream = (): void => undefined;
const clock: Clock = {
  ...systemClock,
  monotonicMs: () => performance.now() * 100,
  after: (delayMs, call) => {
    if (delayMs === streamMsMax) endLongestStream = call;
    return systemClock.after(delayMs, call);
  },
};
const served = [
  'grpc.health.v1.Health',
  'grpc.reflection.v1.ServerReflection',
  'nest.v1.AccessService',
  'nest.v1.AuditService',
  'nest.v1.CertService',
  'nest.v1.ConfigService',
  'nest.v1.EnrollmentService',
  'nest.v1.FlowService',
  'nest.v1.HostService',
  'nest.v1.IntentService',
  'nest.v1.RolloutService',
  'nest.v1.SessionService',
  'nest.v1.TrafficService',
];

type Question = NonNullable<ServerReflectionRequest['messageRequest']>;
const listServices: Question = { $case: 'listServices', value: '' };
const symbol = (value: string): Question => ({ $case: 'fileContainingSymbol', value });

interface Heard {
  readonly responses: readonly ServerReflectionResponse[];
  /** Null: the stream ended with OK. */
  readonly refusal: Refused | null;
}

describe('reflection', () => {
  let stateDir: string;
  let identity: IdentityControl;
  let fleet: TestFleet;
  let operator: TestCertificate;
  let server: AgentServer;
  let silent: AgentServer;
  const revoked = new Set<string>();
  const failures: unknown[] = [];
  const logger: Logger = { ...silentLogger, error: (message, fields) => void failures.push([message, fields]) };

  const start = (reflection: boolean): Promise<AgentServer> =>
    createServer({
      ...createFakeDomains(),
      listen,
      metrics: listen,
      agentVersion: '1.2.3',
      reflection,
      identity,
      clock,
      logger,
      isRevoked: ({ name }) => revoked.has(name),
    });

  beforeAll(async () => {
    stateDir = await mkdtemp(join(tmpdir(), 'nest-reflection-'));
    fleet = await createTestFleet(fleetId);
    operator = await fleet.operator('ada');
    identity = await createIdentityControl({ stateDir, clock: systemClock, random: systemRandom });
    server = await start(true);
    const token = fleet.token();
    await identity.openEnrollment(token.text);
    await server.settled();
    expect(await converse({ certificate: operator, questions: [listServices] })).toMatchObject({ refusal: { status: 'UNIMPLEMENTED' } });
    await enroll({ port: server.grpcPort ?? -1, fleet, token, operator });
    await server.settled();
    silent = await start(false);
  });
  afterAll(async () => {
    await server.close();
    await silent.close();
    identity.close();
    await rm(stateDir, { recursive: true });
  });

  const listenTo = (client: ServerReflectionClient, requests: readonly ServerReflectionRequest[]): Promise<Heard> =>
    new Promise((resolve) => {
      const responses: ServerReflectionResponse[] = [];
      const stream = client.serverReflectionInfo();
      stream.on('data', (response: ServerReflectionResponse) => responses.push(response));
      stream.on('error', (error) => resolve({ responses, refusal: describeRefusal(error as ServiceError) }));
      stream.on('end', () => resolve({ responses, refusal: null }));
      for (const request of requests) stream.write(request);
      stream.end();
    });
  const converse = async (options: {
    readonly certificate: TestCertificate | null;
    readonly questions: readonly (Question | undefined)[];
    readonly to?: AgentServer;
  }): Promise<Heard> => {
    const client = dial(ServerReflectionClient, { port: (options.to ?? server).grpcPort ?? -1, certificate: options.certificate });
    try {
      return await listenTo(
        client,
        options.questions.map((messageRequest) => ({ host: 'edge-1', ...(messageRequest === undefined ? {} : { messageRequest }) })),
      );
    } finally {
      client.close();
    }
  };
  const answersTo = async (...questions: (Question | undefined)[]): Promise<ServerReflectionResponse['messageResponse'][]> => {
    const { responses, refusal } = await converse({ certificate: operator, questions });
    expect(refusal).toBeNull();
    return responses.map(({ messageResponse }) => messageResponse);
  };
  /** Decoded with a library that the agent does not use for this. */
  const filesOf = (answer: ServerReflectionResponse['messageResponse']): readonly FileDescriptorProto[] => {
    if (answer?.$case !== 'fileDescriptorResponse') throw new Error(`no files but ${JSON.stringify(answer)}`);
    return answer.value.fileDescriptorProto.map((bytes) => fromBinary(FileDescriptorProtoSchema, bytes));
  };
  const namesOf = (answer: ServerReflectionResponse['messageResponse']): readonly string[] => filesOf(answer).map(({ name }) => name);
  /** Links the files, imports first; throws when one is missing. */
  const registryOf = (files: readonly FileDescriptorProto[]): FileRegistry => {
    const ordered = new Set<FileDescriptorProto>();
    const add = (file: FileDescriptorProto): void => {
      for (const name of file.dependency) files.filter((candidate) => candidate.name === name).forEach(add);
      ordered.add(file);
    };
    files.forEach(add);
    return createFileRegistry(create(FileDescriptorSetSchema, { file: [...ordered] }));
  };

  it('is not there unless it is switched on', async () => {
    expect(await converse({ certificate: operator, questions: [listServices], to: silent })).toMatchObject({
      responses: [],
      refusal: { status: 'UNIMPLEMENTED' },
    });
  });

  it('lists what is served, in the words of the request', async () => {
    const request = { host: 'edge-1', messageRequest: listServices };
    expect(await converse({ certificate: operator, questions: [listServices] })).toEqual({
      responses: [
        {
          validHost: 'edge-1',
          originalRequest: request,
          messageResponse: { $case: 'listServicesResponse', value: { service: served.map((name) => ({ name })) } },
        },
      ],
      refusal: null,
    });
  });

  it('describes every service it lists so that a tool can link it, with the methods the agent checks', async () => {
    const methods: string[] = [];
    for (const name of served) {
      const [answer] = await answersTo(symbol(name));
      const service = registryOf(filesOf(answer)).getService(name);
      for (const method of service?.methods ?? []) methods.push(`/${name}/${method.name}`);
    }
    expect(methods.filter((path) => path.startsWith('/nest.')).sort()).toEqual(Object.keys(rpcAccess).sort());
    expect(methods.filter((path) => path.startsWith('/grpc.')).sort()).toEqual([
      '/grpc.health.v1.Health/Check',
      '/grpc.health.v1.Health/Watch',
      '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo',
    ]);
  });

  it('keeps the access options of the methods', async () => {
    const [answer] = await answersTo(symbol('nest.v1.ConfigService'));
    const registry = registryOf(filesOf(answer));
    const access = registry.getExtension('nest.v1.access');
    const options = registry.getService('nest.v1.ConfigService')?.method['applyConfig']?.proto.options;
    if (access === undefined || options === undefined) throw new Error('the option was lost');
    expect(hasExtension(options, access)).toBe(true);
    expect(getExtension(options, access)).toMatchObject({ scope: 'mappings:write', dangerous: true, maxDeadlineMs: 60_000 });
  });

  it.each([
    ['a method', 'nest.v1.HostService.GetHost', 'nest/v1/host.proto'],
    ['a message', 'nest.v1.PlanConfigRequest', 'nest/v1/config.proto'],
    ['a field', 'nest.v1.PlanConfigRequest.base_revision', 'nest/v1/config.proto'],
    ['a nested enum', 'grpc.health.v1.HealthCheckResponse.ServingStatus', 'grpc/health/v1/health.proto'],
    ['a value of a nested enum', 'grpc.health.v1.HealthCheckResponse.SERVING', 'grpc/health/v1/health.proto'],
    ['a choice', 'grpc.reflection.v1.ServerReflectionRequest.message_request', 'grpc/reflection/v1/reflection.proto'],
    ['a value', 'nest.v1.ERROR_CODE_INTERNAL', 'nest/v1/error.proto'],
    ['an extension', 'nest.v1.access', 'nest/v1/options.proto'],
    ['what errors carry', 'google.rpc.ErrorInfo', 'google/rpc/status.proto'],
  ])('finds the file of %s', async (_what, name, file) => {
    const [answer] = await answersTo(symbol(name));
    expect(namesOf(answer)[0]).toBe(file);
  });

  it('sends what a file imports once in a stream, and what is asked for each time', async () => {
    const byName: Question = { $case: 'fileByFilename', value: 'nest/v1/options.proto' };
    const [first, again] = await answersTo(byName, byName);
    expect([first, again].map(namesOf)).toEqual([['nest/v1/options.proto', 'google/protobuf/descriptor.proto'], ['nest/v1/options.proto']]);
  });

  it('knows the extensions of a message', async () => {
    const containingType = 'google.protobuf.MethodOptions';
    const [numbers, none, file] = await answersTo(
      { $case: 'allExtensionNumbersOfType', value: containingType },
      { $case: 'allExtensionNumbersOfType', value: 'nest.v1.Access' },
      { $case: 'fileContainingExtension', value: { containingType, extensionNumber: 50_001 } },
    );
    expect([numbers, none]).toEqual([
      { $case: 'allExtensionNumbersResponse', value: { baseTypeName: containingType, extensionNumber: [50_001] } },
      { $case: 'allExtensionNumbersResponse', value: { baseTypeName: 'nest.v1.Access', extensionNumber: [] } },
    ]);
    expect(namesOf(file)[0]).toBe('nest/v1/options.proto');
  });

  it('answers what it does not know with an error, and goes on', async () => {
    const answers = await answersTo(
      symbol('nest.v1.NoSuch'),
      { $case: 'fileByFilename', value: '../../etc/passwd' },
      { $case: 'fileByFilename', value: '__proto__' },
      { $case: 'fileContainingExtension', value: { containingType: 'nest.v1.Access', extensionNumber: 1 } },
      { $case: 'allExtensionNumbersOfType', value: 'nest.v1.HostService' },
      undefined,
      listServices,
    );
    expect(answers.map((answer) => (answer?.$case === 'errorResponse' ? answer.value.errorCode : answer?.$case))).toEqual([
      ...Array.from({ length: 5 }, () => Code.NOT_FOUND),
      Code.INVALID_ARGUMENT,
      'listServicesResponse',
    ]);
  });

  it('ends a stream that asks without end', async () => {
    const { responses, refusal } = await converse({
      certificate: operator,
      questions: Array.from({ length: 1001 }, () => symbol('nest.v1.NoSuch')),
    });
    expect([responses.length, refusal]).toMatchObject([1000, { status: 'RESOURCE_EXHAUSTED', reason: 'LIMIT_REACHED' }]);
  });

  it('echoes no endless names', async () => {
    expect(await converse({ certificate: operator, questions: [symbol('x'.repeat(1025))] })).toMatchObject({
      responses: [],
      refusal: { status: 'INVALID_ARGUMENT', reason: 'INPUT_INVALID' },
    });
  });

  it('refuses a caller without a certificate', async () => {
    expect(await converse({ certificate: null, questions: [listServices] })).toMatchObject({
      responses: [],
      refusal: { status: 'UNAUTHENTICATED', reason: 'CERTIFICATE_MISSING' },
    });
  });

  it('refuses a client of the fleet that is no operator, and serves it what it may have', async () => {
    const certificate = await fleet.operator('ci', { uris: [`spiffe://${fleetId}/client/ci`] });
    expect(await converse({ certificate, questions: [listServices] })).toMatchObject({
      responses: [],
      refusal: { status: 'PERMISSION_DENIED', reason: 'SCOPE_MISSING' },
    });
    const client = dial(HostServiceClient, { port: server.grpcPort ?? -1, certificate });
    await ask(client.getHost.bind(client), {});
    client.close();
  });

  it('refuses an operator on a live connection from the moment it is locked out', async () => {
    const client = dial(ServerReflectionClient, { port: server.grpcPort ?? -1, certificate: await fleet.operator('eve') });
    const requests = [{ host: '', messageRequest: listServices }];
    expect((await listenTo(client, requests)).refusal).toBeNull();
    revoked.add('eve');
    expect(await listenTo(client, requests)).toMatchObject({ responses: [], refusal: { reason: 'CERTIFICATE_INVALID' } });
    client.close();
  });

  it('ends an idle stream when its caller cancels, its time is over or the agent stops, without calling it a failure', async () => {
    const stopping = await start(true);
    const client = dial(ServerReflectionClient, { port: stopping.grpcPort ?? -1, certificate: operator });
    const open = async () => {
      const stream = client.serverReflectionInfo();
      const ended = new Promise<ServiceError>((resolve) => stream.on('error', (error) => resolve(error as ServiceError)));
      const answered = new Promise((resolve) => stream.once('data', resolve));
      stream.write({ host: '', messageRequest: listServices });
      await answered;
      return { stream, ended };
    };
    const cancelled = await open();
    cancelled.stream.cancel();
    expect((await cancelled.ended).code).toBe(Code.CANCELLED);
    const late = await open();
    endLongestStream();
    expect(describeRefusal(await late.ended)).toMatchObject({ status: 'DEADLINE_EXCEEDED', reason: 'TIMED_OUT' });
    const idle = await open();
    const closing = stopping.close();
    expect(describeRefusal(await idle.ended)).toMatchObject({ status: 'UNAVAILABLE', reason: 'HOST_UNREACHABLE' });
    await closing;
    client.close();
    expect(failures).toEqual([]);
  });
});
