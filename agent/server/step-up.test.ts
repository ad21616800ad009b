/** Second factors, sessions and break-glass against a real agent over real TLS. */
import { createPrivateKey, createPublicKey } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Metadata } from '@grpc/grpc-js';
import type { Client, ServiceError } from '@grpc/grpc-js';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { rpcAccess } from '../../proto/gen/access.ts';
import { ApplyConfigRequest, ConfigServiceClient } from '../../proto/gen/nest/v1/config.ts';
import { HostServiceClient } from '../../proto/gen/nest/v1/host.ts';
import { SessionServiceClient } from '../../proto/gen/nest/v1/session.ts';
import type { AuthenticateResponse, StepUpResponse } from '../../proto/gen/nest/v1/session.ts';
import { TrafficServiceClient } from '../../proto/gen/nest/v1/traffic.ts';
import { put, signerOf, TestBundle } from '../../proto/model/access/test-bundle.ts';
import { sealGrant } from '../../proto/model/break-glass.ts';
import { readStepUp, sealStepUp, sessionMetadata, stepUpLifeMs } from '../../proto/model/step-up.ts';
import { makeRecoverySet, totpCode, totpStepAt, totpStepMs } from '../../proto/model/totp.ts';
import { createAccessControl } from '../control/access/access-control.ts';
import type { AccessControl } from '../control/access/api.ts';
import type { IdentityControl } from '../control/identity/api.ts';
import { createIdentityControl } from '../control/identity/identity-control.ts';
import { createTestFleet, testAgentId } from '../control/identity/test-fleet.ts';
import type { TestCertificate, TestFleet } from '../control/identity/test-fleet.ts';
import type { SessionControl } from '../control/session/api.ts';
import { createSessionControl } from '../control/session/session-control.ts';
import { wrongCodesMax } from '../control/session/factor-store.ts';
import { systemClock } from '../lib/clock.ts';
import { silentLogger } from '../lib/log.ts';
import { systemRandom } from '../lib/random.ts';
import { createServer } from './api.ts';
import type { AgentServer } from './api.ts';
import { createFakeDomains } from './fake-domains.ts';
import type { FakeDomains } from './fake-domains.ts';
import { ask, describeRefusal, dial, enroll } from './test-console.ts';

const fleetId = '01jz000000000000000000000a';
const listen = { address: '127.0.0.1', port: 0 };
const factorId = '01JZ000000000000000000000F';
const secret = Buffer.alloc(20, 3);
const recovery = makeRecoverySet((bytes) => systemRandom.bytes(bytes));
let aheadMs = 0;
const clock = { ...systemClock, nowMs: () => Date.now() + aheadMs };

let stateDir: string;
let identity: IdentityControl;
let access: AccessControl;
let sessions: SessionControl;
let domains: FakeDomains;
let server: AgentServer;
let fleet: TestFleet;
let port: number;
let bundle: TestBundle;
let ada: TestCertificate;
let thief: TestCertificate;
let bob: TestCertificate;
const clients: Client[] = [];

const rootSigner = (): ReturnType<typeof signerOf> => {
  const privateKey = createPrivateKey(fleet.root.keyPem);
  return signerOf({ privateKey, publicKey: createPublicKey(privateKey) });
};

/** Everything that a start of the agent makes anew. */
const start = async (): Promise<void> => {
  sessions = await createSessionControl({
    stateDir,
    identity,
    access,
    audit: domains.audit,
    clock,
    log: silentLogger,
    raise: (code, warning) => domains.host.raise(code, warning),
  });
  server = await createServer({
    ...domains,
    access,
    sessions,
    listen,
    metrics: listen,
    agentVersion: '1.2.3',
    identity,
    // Many short connections must not meet the limit per source.
    clock: { ...clock, monotonicMs: () => performance.now() * 100 },
    logger: silentLogger,
  });
  port = server.grpcPort ?? -1;
};
const stop = async (): Promise<void> => {
  for (const client of clients.splice(0)) client.close();
  await server.close();
  sessions.close();
};

const open = <T extends Client>(type: Parameters<typeof dial<T>>[0], certificate = ada): T => {
  const client = dial(type, { port, certificate });
  clients.push(client);
  return client;
};

/** The code that refused, or OK. */
const outcome = async (call: Promise<unknown>): Promise<string> => {
  try {
    await call;
    return 'OK';
  } catch (error) {
    return describeRefusal(error as ServiceError).reason;
  }
};

/** A dangerous call. */
const deny = (token = '', certificate = ada): Promise<string> => {
  const client = open(TrafficServiceClient, certificate);
  const metadata = new Metadata();
  if (token !== '') metadata.set(sessionMetadata, token);
  const request = { name: 'scanners', add: ['198.18.4.8'], remove: [], expiresAtMs: 0n, delete: false };
  return outcome(
    new Promise((resolve, reject) => {
      client.updateDenyList(request, metadata, { deadline: Date.now() + 5_000 }, (error, answer) =>
        error === null ? resolve(answer) : reject(error),
      );
    }),
  );
};

const codeNow = (): string => totpCode(secret, totpStepAt(clock.nowMs()));
const stepUp = (code = codeNow(), certificate = ada, timeMs = clock.nowMs()): Promise<StepUpResponse> => {
  const client = open(SessionServiceClient, certificate);
  const nothing = Buffer.alloc(0);
  const request = { factorId, code, actionHash: nothing, hostSetHash: nothing, timeMs: BigInt(Math.round(timeMs)) };
  return ask(client.stepUp.bind(client), request);
};
const authenticate = async (certificate = ada): Promise<AuthenticateResponse> => {
  const { statement } = await stepUp();
  const client = open(SessionServiceClient, certificate);
  const request = { statements: statement === undefined ? [] : [statement], grant: undefined, timeMs: BigInt(Math.round(clock.nowMs())) };
  return ask(client.authenticate.bind(client), request);
};
/** Every test has codes of its own. */
const nextCode = (): void => void (aheadMs += 2 * totpStepMs);

beforeAll(async () => {
  stateDir = await mkdtemp(join(tmpdir(), 'nest-step-up-'));
  fleet = await createTestFleet(fleetId);
  const person = (name: string): Promise<TestCertificate> => fleet.operator(name, { uris: [`spiffe://${fleetId}/operator/${name}`] });
  // The thief has a certificate of the same operator, and another key.
  [ada, thief, bob] = [await person('ada'), await person('ada'), await person('bob')];
  identity = await createIdentityControl({ stateDir, clock: systemClock, random: systemRandom });
  domains = createFakeDomains();
  access = await createAccessControl({ stateDir, fleet: () => identity.identity(), clock, log: silentLogger, raise: () => undefined });
  await start();
  const token = fleet.token();
  await identity.openEnrollment(token.text);
  await server.settled();
  port = server.grpcPort ?? -1;
  await enroll({ port, fleet, token, operator: ada });
  await server.settled();
  await access.refresh();
  const enrolling = open(SessionServiceClient);
  const offer = { factorId, secret, recoverySalt: recovery.salt, recoveryHashes: [...recovery.hashes] };
  await ask(enrolling.enrollFactor.bind(enrolling), offer);
  const factor = { id: factorId, witnesses: [identity.identity()?.agentId ?? testAgentId], enrolledAtMs: 1n };
  bundle = new TestBundle(
    { fleetId, root: rootSigner() },
    { body: { operators: [{ subject: 'operator/bob', title: '', factor: undefined }] } },
  );
  bundle.change(put({ operators: [{ subject: 'operator/ada', title: '', factor }] }));
  await access.push(bundle.updates);
});
beforeEach(nextCode);
afterEach(() => {
  for (const client of clients.splice(0)) client.close();
});
afterAll(async () => {
  await domains.host.close();
  await stop();
  access.close();
  identity.close();
  await rm(stateDir, { recursive: true });
});

describe('a dangerous call of who has a second factor', () => {
  it('is refused without a session, served with one, and refused again when five minutes are over', async () => {
    expect(await deny()).toBe('MFA_REQUIRED');
    const { token, lifeMs, freshMs } = await authenticate();
    expect([lifeMs, freshMs <= stepUpLifeMs, freshMs > stepUpLifeMs - 10_000]).toEqual([900_000, true, true]);
    expect(await deny(token)).toBe('OK');
    aheadMs += stepUpLifeMs + 1_000;
    expect(await deny(token)).toBe('MFA_REQUIRED');
    aheadMs += 600_000;
    expect(await deny(token)).toBe('SESSION_INVALID');
  });

  it('is refused with a stolen token, whether its thief has another key or is another operator', async () => {
    const { token } = await authenticate();
    expect([await deny(token), await deny(token, thief), await deny(token, bob)]).toEqual(['OK', 'SESSION_INVALID', 'SCOPE_MISSING']);
    const reading = open(HostServiceClient, thief);
    const metadata = new Metadata();
    metadata.set(sessionMetadata, token);
    const read = new Promise((resolve, reject) => {
      reading.getHost({}, metadata, { deadline: Date.now() + 5_000 }, (error, answer) =>
        error === null ? resolve(answer) : reject(error),
      );
    });
    expect(await outcome(read)).toBe('SESSION_INVALID');
    expect(domains.audit.facts.filter(({ result }) => result === 'SESSION_INVALID').length).toBeGreaterThan(0);
  });

  it('is not asked for a code where it gets the host safe again', async () => {
    const client = open(ConfigServiceClient);
    const transactionId = '01JZ0000000000000000000009';
    expect(await outcome(ask(client.confirmConfig.bind(client), { revision: 3n, transactionId }))).toBe('NOTHING_TO_CONFIRM');
    const back = { toRevision: 0n, comment: '', confirmWithinSeconds: 0, transactionId };
    expect(await outcome(ask(client.rollbackConfig.bind(client), back))).toBe('OK');
    expect(await outcome(ask(client.rollbackConfig.bind(client), { ...back, toRevision: 1n }))).toBe('MFA_REQUIRED');
    const apply = ApplyConfigRequest.fromPartial({ planHash: 'cd'.repeat(32), transactionId, policyJson: '{}', rolloutTerm: 1n });
    expect(await outcome(ask(client.applyConfig.bind(client), { ...apply, rolloutId: '' }))).toBe('MFA_REQUIRED');
    // A name of a rollout is no approval of one.
    expect(await outcome(ask(client.applyConfig.bind(client), { ...apply, rolloutId: '01JZ0000000000000000000009' }))).toBe('MFA_REQUIRED');
  });

  it('leaves its refusal in the audit log, and neither codes nor secrets', () => {
    const texts = JSON.stringify(domains.audit.facts.map((fact) => ({ ...fact, requestHash: '' })));
    expect(texts).toContain('MFA_REQUIRED');
    expect(texts).toContain(`factorId=${factorId}`);
    for (const code of [...recovery.codes, secret.toString('base64')]) expect(texts).not.toContain(code);
  });
});

describe('a code', () => {
  it('counts once', async () => {
    const code = codeNow();
    expect(await outcome(stepUp(code))).toBe('OK');
    expect(await outcome(stepUp(code))).toBe('MFA_WRONG');
  });

  it('counts for the device that shows it alone', async () => {
    const { statement } = await stepUp();
    const client = open(SessionServiceClient, thief);
    const request = { statements: statement === undefined ? [] : [statement], grant: undefined, timeMs: BigInt(Math.round(clock.nowMs())) };
    expect(await outcome(ask(client.authenticate.bind(client), request))).toBe('MFA_REQUIRED');
    expect(await outcome(stepUp(codeNow(), bob))).toBe('SCOPE_MISSING');
  });

  it('is worth nothing five minutes later, nor when somebody else than the witness has signed for it', async () => {
    const { statement } = await stepUp();
    const show = (shown: typeof statement): Promise<string> => {
      const client = open(SessionServiceClient);
      const request = { statements: shown === undefined ? [] : [shown], grant: undefined, timeMs: BigInt(Math.round(clock.nowMs())) };
      return outcome(ask(client.authenticate.bind(client), request));
    };
    const privateKey = createPrivateKey(ada.keyPem);
    const own = { privateKey, publicKey: createPublicKey(privateKey), certificateChain: [ada.certificateDer] };
    const forged = sealStepUp(readStepUp(statement as NonNullable<typeof statement>), own);
    expect([await show(forged), await show(statement)]).toEqual(['CERTIFICATE_INVALID', 'OK']);
    aheadMs += stepUpLifeMs;
    expect(await show(statement)).toBe('MFA_REQUIRED');
  });

  it('is refused for the clock when console and host are ten minutes apart', async () => {
    expect(await outcome(stepUp(codeNow(), ada, clock.nowMs() - 600_000))).toBe('CLOCK_SKEWED');
  });

  it('waits for a quarter of an hour after five wrong ones, also when the agent is started again', async () => {
    for (let attempt = 0; attempt < wrongCodesMax; attempt++) expect(await outcome(stepUp('000000'))).toBe('MFA_WRONG');
    await stop();
    await start();
    expect([await outcome(stepUp()), await outcome(stepUp(recovery.codes[0]))]).toEqual(['LIMIT_REACHED', 'LIMIT_REACHED']);
    aheadMs += 15 * 60_000 + 1_000;
    expect(await outcome(stepUp(recovery.codes[0]))).toBe('OK');
  });
});

describe('a break-glass grant', () => {
  it('lets in who holds nothing, for its time, with every call of it in the audit log', async () => {
    const grant = {
      grantId: '01JZ000000000000000000000G',
      fleetId,
      holder: 'operator/bob',
      level: `host/${identity.identity()?.agentId ?? ''}`,
      reason: 'all witnesses are gone',
      notBeforeMs: Math.round(clock.nowMs()),
      expiresAtMs: Math.round(clock.nowMs()) + 1_800_000,
    };
    expect(await deny('', bob)).toBe('SCOPE_MISSING');
    const present = (certificate: TestCertificate): Promise<string> => {
      const client = open(SessionServiceClient, certificate);
      const request = { statements: [], grant: sealGrant(grant, [bundle.owner.signer]), timeMs: BigInt(Math.round(clock.nowMs())) };
      return outcome(ask(client.authenticate.bind(client), request));
    };
    expect([await present(ada), await present(bob)]).toEqual(['SCOPE_MISSING', 'OK']);
    expect(await deny('', bob)).toBe('OK');
    expect(domains.audit.facts.at(-1)).toMatchObject({ detail: `break-glass ${grant.grantId}`, result: 'OK' });
    const reading = open(HostServiceClient, bob);
    const { status } = await ask(reading.getHost.bind(reading), {});
    expect(status?.breakGlass).toMatchObject([{ operator: `spiffe://${fleetId}/operator/bob`, reason: grant.reason }]);
    expect(status?.warnings.map(({ code }) => code)).toContain('BREAK_GLASS');
    // A change of the bundle cuts who holds nothing, but not who works under a grant.
    await access.push([bundle.change(put({ roles: [{ name: 'probe', scopes: ['flows:read'], title: '' }] }))]);
    expect(await deny('', bob)).toBe('OK');
    aheadMs += 1_800_000;
    expect(await deny('', bob)).toBe('SCOPE_MISSING');
  });
});

describe('every rpc', () => {
  it('that is public needs a certificate of the fleet all the same, once there is a fleet', async () => {
    const open1 = Object.entries(rpcAccess).filter(([, { scope }]) => scope === 'public');
    expect(open1.map(([path]) => path.split('/')[1])).toEqual(
      expect.arrayContaining(['nest.v1.EnrollmentService', 'nest.v1.SessionService']),
    );
    const client = dial(SessionServiceClient, { port, certificate: null });
    clients.push(client);
    const request = { statements: [], grant: undefined, timeMs: 0n };
    expect(await outcome(ask(client.authenticate.bind(client), request))).not.toBe('OK');
  });
});
