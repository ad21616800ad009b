import { createHash, X509Certificate } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeGenericClientConstructor } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AuditServiceClient } from '../../proto/gen/nest/v1/audit.ts';
import type { ListEntriesResponse } from '../../proto/gen/nest/v1/audit.ts';
import { ApplyConfigRequest, ConfigServiceClient, PlanConfigRequest } from '../../proto/gen/nest/v1/config.ts';
import { SignedEnvelope } from '../../proto/gen/nest/v1/envelope.ts';
import { HostServiceClient } from '../../proto/gen/nest/v1/host.ts';
import { TrafficServiceClient, TrafficServiceService } from '../../proto/gen/nest/v1/traffic.ts';
import { auditGenesis, auditHeadType, decodeAuditEntry, emptyFact, extendChain, readAuditHead } from '../../proto/model/audit.ts';
import type { AuditEntry } from '../../proto/model/audit.ts';
import { verifyEnvelope } from '../../proto/model/envelope.ts';
import { NestError } from '../../proto/model/error.ts';
import type { AuditControl, AuditFact } from '../control/audit/api.ts';
import { createAuditControl } from '../control/audit/audit-control.ts';
import { createHeadSigner } from '../control/audit/head-signer.ts';
import type { IdentityControl } from '../control/identity/api.ts';
import { createIdentityControl } from '../control/identity/identity-control.ts';
import { createTestFleet } from '../control/identity/test-fleet.ts';
import type { TestCertificate, TestFleet } from '../control/identity/test-fleet.ts';
import { systemClock } from '../lib/clock.ts';
import { silentLogger } from '../lib/log.ts';
import { systemRandom } from '../lib/random.ts';
import { createServer } from './api.ts';
import { createCallAudit } from './call-audit.ts';
import type { AgentServer } from './api.ts';
import { createFakeDomains } from './fake-domains.ts';
import type { FakeDomains } from './fake-domains.ts';
import { ask, dial, enroll, refusalOf } from './test-console.ts';

const fleetId = '01jz000000000000000000000a';
const listen = { address: '127.0.0.1', port: 0 };

let stateDir: string;
let fleet: TestFleet;
let operator: TestCertificate;
let identity: IdentityControl;
let audit: AuditControl;
let domains: FakeDomains;
let server: AgentServer;
/** What appends raise instead of writing. */
let failure: NestError | null;
let noted: string[];

beforeEach(async () => {
  failure = null;
  noted = [];
  stateDir = await mkdtemp(join(tmpdir(), 'nest-call-audit-'));
  fleet = await createTestFleet(fleetId);
  operator = await fleet.operator('ada');
  identity = await createIdentityControl({ stateDir, clock: systemClock, random: systemRandom });
  const sign = createHeadSigner(() => identity.identity());
  const log = await createAuditControl({ stateDir, clock: systemClock, log: silentLogger, sign, raise: () => undefined });
  audit = {
    append: (fact, options) => (failure === null ? log.append(fact, options) : Promise.reject(failure)),
    refused: (fact) => (failure === null ? log.refused(fact) : Promise.reject(failure)),
    note: (fact) => {
      noted.push(`${fact.action} ${fact.result}`);
      log.note(fact);
    },
    head: () => log.head(),
    end: () => log.end(),
    extent: () => log.extent(),
    broken: () => log.broken(),
    entries: (after, max) => log.entries(after, max),
    verify: () => log.verify(),
    close: () => log.close(),
  };
  domains = createFakeDomains();
  server = await createServer({
    ...domains,
    audit,
    listen,
    metrics: listen,
    agentVersion: '1',
    identity,
    clock: systemClock,
    logger: silentLogger,
  });
  const token = fleet.token();
  await identity.openEnrollment(token.text);
  await server.settled();
  await enroll({ port: server.grpcPort ?? -1, fleet, token, operator });
  await server.settled();
});
afterEach(async () => {
  await domains.host.close();
  await server.close();
  await audit.close();
  identity.close();
  await rm(stateDir, { recursive: true });
});

const entries = async (): Promise<AuditEntry[]> => {
  const found: AuditEntry[] = [];
  for await (const piece of audit.entries(0, 1_000_000)) found.push(...piece.map(decodeAuditEntry));
  return found;
};
const port = (): number => server.grpcPort ?? -1;

const apply = (more: Partial<ApplyConfigRequest> = {}): ApplyConfigRequest =>
  ApplyConfigRequest.fromPartial({
    policyJson: '{}',
    planHash: 'cd'.repeat(32),
    transactionId: 'transaction-1',
    confirmWithinSeconds: 60,
    comment: 'why not',
    ...more,
  });

describe('the audit of calls', () => {
  it('says who enrolled the host, before the first operator is known', async () => {
    expect(await entries()).toMatchObject([
      {
        action: '/nest.v1.EnrollmentService/Complete',
        actor: '',
        device: operator.spkiHash.toString('hex'),
        result: 'started',
        opening: 0,
      },
      { action: '/nest.v1.EnrollmentService/Complete', result: 'OK', opening: 1 },
    ]);
  });

  it('has unknown methods with their paths cut short, and counts them when they are many', async () => {
    const pass = (bytes: Buffer): Buffer => bytes;
    const client = dial(makeGenericClientConstructor({}, 'probe'), { port: port(), certificate: operator });
    const call = (path: string) => {
      const ask = client.makeUnaryRequest.bind(client, path, pass, pass, Buffer.alloc(0));
      return refusalOf(
        new Promise(
          (resolve, reject) =>
            void ask({ deadline: Date.now() + 5000 }, (error, answer) => (error === null ? resolve(answer) : reject(error))),
        ),
      );
    };
    const before = (await entries()).length;
    for (let index = 0; index < 12; index++)
      expect(await call(`/nest.v1.Nobody/Call${String(index)}${'x'.repeat(500)}`)).toMatchObject({
        status: 'UNIMPLEMENTED',
        reason: 'METHOD_UNKNOWN',
      });
    client.close();
    const written = (await entries()).slice(before);
    expect(written).toHaveLength(10);
    expect(written[0]).toMatchObject({
      action: 'unknown method',
      result: 'METHOD_UNKNOWN',
      actor: expect.stringContaining('/operator/ada') as string,
    });
    expect(written[0]?.target).toMatch(/^\/nest\.v1\.Nobody\/Call0x+$/);
    expect(written[0]?.target).toHaveLength(128);
  });

  it('has a dangerous call durable before its handler runs, then its end', async () => {
    const seenByHandler: number[] = [];
    const takePlan = domains.traffic.takePlan.bind(domains.traffic);
    domains.traffic.takePlan = async (...args) => {
      seenByHandler.push(audit.extent().last);
      return takePlan(...args);
    };
    const client = dial(ConfigServiceClient, { port: port(), certificate: operator });
    const request = apply();
    const outcome = await ask(client.applyConfig.bind(client), request).then(
      () => 'OK',
      () => 'refused',
    );
    client.close();
    const [started, ended] = (await entries()).slice(2);
    expect(seenByHandler).toEqual([3]);
    expect(started).toMatchObject({
      number: 3,
      actor: `spiffe://${fleetId}/operator/ada`,
      device: operator.spkiHash.toString('hex'),
      source: '127.0.0.1',
      action: '/nest.v1.ConfigService/ApplyConfig',
      target: `planHash=${'cd'.repeat(32)} transactionId=transaction-1 comment=why not`,
      result: 'started',
      revisionBefore: 3,
      revisionAfter: null,
    });
    expect(started?.requestHash).toEqual(createHash('sha256').update(ApplyConfigRequest.encode(request).finish()).digest());
    expect(ended).toMatchObject({ number: 4, opening: 3, revisionBefore: 3, revisionAfter: 3 });
    expect(ended?.result === 'OK').toBe(outcome === 'OK');
  });

  it('does not let a dangerous call reach its handler without an entry', async () => {
    const changed: unknown[] = [];
    const updateDenyList = domains.traffic.updateDenyList.bind(domains.traffic);
    domains.traffic.updateDenyList = (update) => {
      changed.push(update);
      return updateDenyList(update);
    };
    const client = dial(TrafficServiceClient, { port: port(), certificate: operator });
    const update = { name: 'feed', add: ['198.18.0.1'], remove: [], expiresAtMs: 0n, delete: false };
    failure = new NestError('AUDIT_FAILED', 'The audit entry could not be written (ENOSPC).');
    expect(await refusalOf(ask(client.updateDenyList.bind(client), update))).toMatchObject({ status: 'INTERNAL', reason: 'AUDIT_FAILED' });
    expect([changed, noted]).toEqual([[], []]);
    failure = null;
    await ask(client.updateDenyList.bind(client), update);
    client.close();
    expect(changed).toHaveLength(1);
    expect((await entries()).slice(2)).toMatchObject([
      { target: 'name=feed', result: 'started' },
      { target: 'name=feed', result: 'OK', opening: 3 },
    ]);
  });

  it('fails a change whose entry could not be written afterwards, and keeps that entry', async () => {
    const client = dial(ConfigServiceClient, { port: port(), certificate: operator });
    failure = new NestError('AUDIT_FAILED', 'The audit entry could not be written (ENOSPC).');
    const request = { revision: 3n, transactionId: 'transaction-1' };
    const refusal = await refusalOf(ask(client.confirmConfig.bind(client), request));
    client.close();
    expect(refusal).toMatchObject({ reason: 'AUDIT_FAILED' });
    expect(refusal.message).toMatch(/^The call ended with .+, but its audit entry could not be written yet\./);
    expect(noted).toEqual([expect.stringContaining('/nest.v1.ConfigService/ConfirmConfig')]);
  });

  it('lets nobody who lost his rights wait for the disk to hear why, and keeps the entry until it can be written', async () => {
    const { promise: disk, reject } = Promise.withResolvers<void>();
    const facts: string[] = [];
    const note = ({ action, result }: AuditFact): void => void facts.push(`${action} ${result}`);
    const calls = createCallAudit({ audit: { append: () => Promise.resolve(1), refused: () => disk, note }, revision: () => 1 });
    const access = { scope: 'hosts:read', idempotent: true, dangerous: false, maxDeadlineMs: 0 };
    const call = () => calls.begin({ path: '/nest.v1.HostService/WatchStatus', access, subject: 'ada', device: '', source: '' });
    expect([call().finished('REVOKED', true), call().finished('OK', true)]).toEqual([null, null]);
    const refusal = call().finished('REVOKED');
    expect(refusal).toBeInstanceOf(Promise);
    reject(new NestError('AUDIT_FAILED', 'The disk is full.'));
    await expect(refusal).rejects.toMatchObject({ code: 'AUDIT_FAILED' });
    await expect.poll(() => facts).toEqual(['/nest.v1.HostService/WatchStatus REVOKED']);
  });

  it('has an entry for what is refused, and none for what only reads', async () => {
    const host = dial(HostServiceClient, { port: port(), certificate: operator });
    await ask(host.getHost.bind(host), {});
    expect(await refusalOf(ask(host.getHost.bind(host), {}, null))).toMatchObject({ reason: 'DEADLINE_MISSING' });
    host.close();
    const Raw = makeGenericClientConstructor(
      { send: { ...TrafficServiceService.updateDenyList, requestSerialize: (bytes: Buffer) => bytes } as never },
      'raw',
    );
    const raw = dial(Raw as never, { port: port(), certificate: operator }) as unknown as {
      send: (...args: never[]) => unknown;
      close(): void;
    };
    expect(await refusalOf(ask(raw.send.bind(raw) as never, Buffer.from('ffffffff', 'hex')))).toMatchObject({ reason: 'INPUT_INVALID' });
    raw.close();
    const config = dial(ConfigServiceClient, { port: port(), certificate: operator });
    const plan = PlanConfigRequest.fromPartial({ baseRevision: 3n, policyJson: '{}', flowWindowMinutes: 61 });
    expect(await refusalOf(ask(config.planConfig.bind(config), plan))).toMatchObject({ reason: 'INPUT_INVALID' });
    config.close();
    const requestHash = createHash('sha256').update(PlanConfigRequest.encode(plan).finish()).digest();
    expect((await entries()).slice(2)).toMatchObject([
      { action: '/nest.v1.HostService/GetHost', result: 'DEADLINE_MISSING', actor: `spiffe://${fleetId}/operator/ada` },
      { action: '/nest.v1.TrafficService/UpdateDenyList', result: 'INPUT_INVALID', opening: 0 },
      { action: '/nest.v1.ConfigService/PlanConfig', result: 'INPUT_INVALID', target: 'baseRevision=3', requestHash },
    ]);
  });
});

describe('the audit log on the wire', () => {
  const list = async (client: AuditServiceClient, after: number, max = 0): Promise<Buffer[]> => {
    const found: Buffer[] = [];
    for await (const { entries: piece } of client.listEntries({ after: BigInt(after), max }) as AsyncIterable<ListEntriesResponse>)
      found.push(...piece);
    return found;
  };

  it('gives a head that the key of the agent signed, and entries that end in it', async () => {
    await Promise.all(Array.from({ length: 700 }, () => audit.append({ ...emptyFact, actor: 'agent', action: 'test' })));
    const client = dial(AuditServiceClient, { port: port(), certificate: operator });
    const { head, firstNumber, brokenNumber } = await ask(client.getHead.bind(client), {});
    const envelope = head ?? SignedEnvelope.fromPartial({});
    const stated = readAuditHead(SignedEnvelope.encode(envelope).finish());
    const bytes = await list(client, 0);
    let end = auditGenesis;
    for (const entry of bytes) end = extendChain(end, entry);
    expect([bytes.length, end.number, stated.number, firstNumber, brokenNumber]).toEqual([702, 702, 702, 1n, 0n]);
    expect(stated).toMatchObject({ hash: end.hash, fleetId, agentId: identity.identity()?.agentId });
    const holding = verifyEnvelope(envelope, auditHeadType, (signature) => {
      const [leaf] = signature.certificateChain;
      return leaf === undefined ? null : new X509Certificate(leaf).publicKey;
    });
    expect([...holding]).toEqual([identity.fingerprint()]);
    expect((await list(client, 700, 5)).map((entry) => decodeAuditEntry(entry).number)).toEqual([701, 702]);
    expect(await ask(client.verifyRange.bind(client), {})).toEqual({ firstNumber: 1n, lastNumber: 702n, brokenNumber: 0n, message: '' });
    client.close();
  });

  it('says which entry was changed in its file', async () => {
    const path = join(stateDir, 'audit', 'segment-0000000000000001.log');
    const content = await readFile(path);
    content[40] = (content[40] ?? 0) ^ 4;
    await writeFile(path, content);
    const client = dial(AuditServiceClient, { port: port(), certificate: operator });
    expect(await ask(client.verifyRange.bind(client), {})).toMatchObject({ brokenNumber: 1n, message: expect.stringContaining('Entry 1') });
    await expect(list(client, 0)).rejects.toMatchObject({ code: 15, details: expect.stringContaining('Entry 1 cannot be read') });
    expect((await ask(client.getHead.bind(client), {})).brokenNumber).toBe(1n);
    client.close();
  });
});
