/**
 * Abuse of a fleet: each line below is refused with a code, is in the audit log of the host with who it was, and tells nothing of the
 * inside; the agent serves its operator afterwards.
 *
 * | Abuse                                    | Test                                                                     |
 * | ---------------------------------------- | ------------------------------------------------------------------------ |
 * | man in the middle at enrolment           | "a man in the middle ..."                                                |
 * | replayed and expired tokens              | "a token that was used ...", "a recorded proof ...", "an expired token"  |
 * | wrong root                               | "another root ...", "a certificate that claims this fleet ..."           |
 * | certificate of another fleet             | "the certificate of another fleet"                                       |
 * | operator certificate used as agent       | "an operator's certificate ..." (three tests), "an agent's certificate"  |
 * | stripped scopes                          | "an operator whose scopes were taken ...", "a bundle that was changed"   |
 * | stale and forked access bundle           | "an older bundle", "a forked bundle", "a bundle past its end"            |
 * | clock skew of ten minutes                | "clocks ten minutes apart" (four tests)                                  |
 * | stolen session token without its key     | agent/server/step-up.test.ts: "is refused with a stolen token ..."       |
 * | oversize and slow-loris streams          | transport.test.ts                                                        |
 * | 10,000 malformed messages                | transport.test.ts: 8,000 messages and 2,000 frames                       |
 */
import { createPrivateKey, createPublicKey, randomBytes } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import { connect as connectTls, createServer as createTlsServer } from 'node:tls';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createTestFleet, testAgentId } from '../../agent/control/identity/test-fleet.ts';
import type { IssueOptions, TestCertificate, TestFleet } from '../../agent/control/identity/test-fleet.ts';
import { ask, dial, enroll, refusalOf } from '../../agent/server/test-console.ts';
import { createAgentLink } from '../../desktop/grpc/agent-link.ts';
import { createHandshakePace } from '../../desktop/grpc/handshake-pace.ts';
import { createOperatorIdentity } from '../../desktop/grpc/operator-identity.ts';
import { createGate, systemClock, systemRandom } from '../../desktop/lib/api.ts';
import { AccessServiceClient } from '../../proto/gen/nest/v1/access.ts';
import type { SignedEnvelope } from '../../proto/gen/nest/v1/envelope.ts';
import { CertServiceClient } from '../../proto/gen/nest/v1/certificate.ts';
import { ConfigServiceClient } from '../../proto/gen/nest/v1/config.ts';
import { HostServiceClient } from '../../proto/gen/nest/v1/host.ts';
import { IntentServiceClient } from '../../proto/gen/nest/v1/intent.ts';
import { makeClientKey } from '../../proto/model/access/client-key.ts';
import { put, signerOf, stepOf, TestBundle } from '../../proto/model/access/test-bundle.ts';
import { sealEnvelope } from '../../proto/model/envelope.ts';
import { encodeIntent, intentType } from '../../proto/model/intent.ts';
import { startAbusedAgent } from './abused-agent.ts';
import type { AbusedAgent } from './abused-agent.ts';
import { auditedOnDisk, auditOnDisk, inside } from './refusals.ts';

const fleetId = '01jz000000000000000000000a';
const otherFleetId = '01jz000000000000000000000b';
const [minute, day] = [60_000, 86_400_000];
const path = (name: string): string => `/nest.v1.${name}`;

let agent: AbusedAgent;
let fleet: TestFleet;
let ada: TestCertificate;

interface Expected {
  readonly code: string;
  /** Of the audit entry: path of the rpc, or "connection". */
  readonly action: string;
  /** Whose key it was. */
  readonly by?: TestCertificate;
  readonly actor?: string;
}

/** The attempt is refused with this code, the log of the host says so, and nothing of the inside is told. */
const expectRefused = async (attempt: () => Promise<unknown>, { code, action, by, actor }: Expected): Promise<void> => {
  const before = (await auditOnDisk(agent.stateDir)).at(-1)?.number ?? 0;
  const refusal = await refusalOf(attempt());
  expect(refusal.reason).toBe(code);
  expect(refusal.message).not.toMatch(inside);
  expect(refusal.message.length).toBeGreaterThan(20);
  const [entry] = await auditedOnDisk(agent.stateDir, (one) => one.number > before && one.result === code && one.action === action);
  expect(entry?.source).toBe('127.0.0.1');
  if (by !== undefined) expect(entry?.device).toBe(by.spkiHash.toString('hex'));
  if (actor !== undefined) expect(entry?.actor).toBe(actor);
  expect(JSON.stringify([entry?.target, entry?.detail])).not.toMatch(inside);
};

const callHost = async (port: number, certificate: TestCertificate | null): Promise<unknown> => {
  const client = dial(HostServiceClient, { port, certificate });
  try {
    return await ask(client.getHost.bind(client), {});
  } finally {
    client.close();
  }
};

const expectSoundLog = async (): Promise<void> => {
  expect((await agent.system.audit.verify()).problem).toBeNull();
};

describe('at the enrolment', () => {
  beforeEach(async () => {
    fleet = await createTestFleet(fleetId);
    ada = await fleet.operator('ada');
    agent = await startAbusedAgent();
  });
  afterEach(async () => {
    await expectSoundLog();
    await agent[Symbol.asyncDispose]();
  });

  it('a man in the middle who ends TLS with keys of his own is seen by the console, and refused by the agent', async () => {
    const token = fleet.token();
    const port = await agent.join(token);
    const thief = await (await createTestFleet(otherFleetId)).operator('mallory');
    const tls = { cert: thief.certificatePem, key: thief.keyPem, rejectUnauthorized: false, ALPNProtocols: ['h2'] };
    const proxy = createTlsServer({ ...tls, requestCert: true }, (near) => {
      const far = connectTls({ ...tls, host: '127.0.0.1', port });
      near.pipe(far).pipe(near);
      for (const socket of [near, far]) socket.on('error', () => socket.destroy());
    });
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
    const through = (proxy.address() as AddressInfo).port;
    try {
      await expect(enroll({ port: through, fleet, token, operator: ada })).rejects.toThrow('somebody is in between');
      await expectRefused(() => enroll({ port: through, fleet, token, operator: ada, trusting: true }), {
        code: 'PROOF_INVALID',
        action: path('EnrollmentService/Prove'),
        by: thief,
      });
      expect(agent.system.identity.identity()).toBeNull();
    } finally {
      proxy.close();
    }
  });

  it('a token that was used is refused to everybody, also to who used it', async () => {
    const token = fleet.token();
    const port = await agent.join(token);
    await enroll({ port, fleet, token, operator: ada });
    await expectRefused(() => enroll({ port, fleet, token, operator: ada }), {
      code: 'TOKEN_USED',
      action: path('EnrollmentService/Begin'),
      by: ada,
    });
    await callHost(port, ada);
  });

  it('a recorded proof fits no other conversation', async () => {
    const token = fleet.token();
    const port = await agent.join(token);
    let recorded: Buffer = Buffer.alloc(0);
    const record = (proof: Buffer): Buffer => {
      recorded = proof;
      // The console is cut off: its proof was heard, and never arrived.
      return Buffer.alloc(proof.length, 1);
    };
    await refusalOf(enroll({ port, fleet, token, operator: ada, tamperProof: record }));
    const mallory = await fleet.operator('mallory');
    await expectRefused(() => enroll({ port, fleet, token, operator: mallory, tamperProof: () => recorded }), {
      code: 'PROOF_INVALID',
      action: path('EnrollmentService/Prove'),
      by: mallory,
    });
    expect(await enroll({ port, fleet, token, operator: ada })).toBe(testAgentId);
  });

  it('an expired token is refused, and setting the clock back does not help', async () => {
    const token = fleet.token();
    const port = await agent.join(token);
    agent.laterMs = 10 * minute + 1;
    agent.skewMs = -10 * minute;
    await expectRefused(() => enroll({ port, fleet, token, operator: ada }), {
      code: 'TOKEN_EXPIRED',
      action: path('EnrollmentService/Begin'),
      by: ada,
    });
    await expect(agent.join(token)).rejects.toMatchObject({ code: 'TOKEN_EXPIRED' });
    await auditedOnDisk(agent.stateDir, ({ action, result }) => action === 'enrollment.join' && result === 'TOKEN_EXPIRED');
  });

  it('another root than the one the token names is refused, however right the secret', async () => {
    const other = await createTestFleet(otherFleetId);
    const token = fleet.token();
    const port = await agent.join(token);
    await expectRefused(() => enroll({ port, fleet, token, operator: ada, deliverRoot: other.root.certificateDer }), {
      code: 'FLEET_MISMATCH',
      action: path('EnrollmentService/Complete'),
      by: ada,
    });
    expect(agent.system.identity.identity()).toBeNull();
  });

  it("an operator's certificate is not taken as the agent's own", async () => {
    const token = fleet.token();
    const port = await agent.join(token);
    const asOperator: TestFleet = {
      ...fleet,
      signAgent: (request) => fleet.signAgent(request, { uris: [`spiffe://${fleetId}/operator/eve`], dnsNames: [] }),
    };
    await expectRefused(() => enroll({ port, fleet: asOperator, token, operator: ada }), {
      code: 'CERTIFICATE_INVALID',
      action: path('EnrollmentService/Complete'),
      by: ada,
    });
    expect(agent.system.identity.identity()).toBeNull();
  });
});

describe('of an enrolled host', () => {
  let port: number;
  let bundle: TestBundle;
  let epoch = 0;
  const clients: { close(): void }[] = [];

  const root = () => {
    const privateKey = createPrivateKey(fleet.root.keyPem);
    return signerOf({ privateKey, publicKey: createPublicKey(privateKey) });
  };
  const push = async (updates: readonly SignedEnvelope[]): Promise<unknown> => {
    const client = dial(AccessServiceClient, { port, certificate: ada });
    clients.push(client);
    return ask(client.pushAccessUpdates.bind(client), { updates: [...updates] });
  };
  const config = (certificate: TestCertificate): ConfigServiceClient => {
    const client = dial(ConfigServiceClient, { port, certificate });
    clients.push(client);
    return client;
  };
  const confirm = (certificate: TestCertificate): Promise<unknown> => {
    const client = config(certificate);
    return ask(client.confirmConfig.bind(client), { revision: 1n, transactionId: 'abuse-transaction', withoutDocument: false });
  };
  const subject = (name: string): string => `spiffe://${fleetId}/operator/${name}`;

  beforeAll(async () => {
    fleet = await createTestFleet(fleetId);
    ada = await fleet.operator('ada');
    agent = await startAbusedAgent();
    const token = fleet.token();
    port = await agent.join(token);
    await enroll({ port, fleet, token, operator: ada });
    await agent.system.server.settled();
  }, 60_000);
  beforeEach(async () => {
    epoch += 1;
    bundle = new TestBundle({ fleetId, root: root() }, { epoch, body: { operators: [{ subject: 'operator/bob', title: '' }] } });
    await push(bundle.updates);
  });
  afterEach(async () => {
    agent.skewMs = 0;
    for (const client of clients.splice(0)) client.close();
    await callHost(port, ada);
    await expectSoundLog();
    // Twenty handshakes a second of one source are let in: these tests are about something else.
    await sleep(250);
  });
  afterAll(() => agent[Symbol.asyncDispose]());

  it('the certificate of another fleet', async () => {
    const other = await (await createTestFleet(otherFleetId)).operator('ada');
    await expectRefused(() => callHost(port, other), { code: 'FLEET_MISMATCH', action: 'connection' });
  });

  it('a certificate that claims this fleet under another root', async () => {
    const forged = await (await createTestFleet(fleetId)).operator('ada');
    await expectRefused(() => callHost(port, forged), { code: 'CERTIFICATE_INVALID', action: 'connection' });
  });

  it('no certificate at all', () => expectRefused(() => callHost(port, null), { code: 'CERTIFICATE_MISSING', action: 'connection' }));

  it("an agent's certificate may not manage hosts", async () => {
    const options: IssueOptions = { uris: [`spiffe://${fleetId}/agent/${testAgentId}`] };
    const asAgent = await fleet.operator('agent', options);
    await expectRefused(() => callHost(port, asAgent), { code: 'CERTIFICATE_INVALID', action: 'connection' });
  });

  it("an operator's certificate cannot be installed as the agent's", async () => {
    const client = dial(CertServiceClient, { port, certificate: ada });
    clients.push(client);
    const { signingRequest } = await ask(client.getSigningRequest.bind(client), { freshKey: false });
    const certificateChain = await fleet.signAgent(signingRequest, { uris: [`spiffe://${fleetId}/operator/eve`] });
    await expectRefused(() => ask(client.installCertificate.bind(client), { certificateChain }), {
      code: 'CERTIFICATE_INVALID',
      action: path('CertService/InstallCertificate'),
      by: ada,
      actor: subject('ada'),
    });
  });

  it("an operator's certificate at an agent's address is refused by the console, which sends nothing", async () => {
    const eve = await fleet.operator('eve', { usages: ['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2'] });
    let heard = 0;
    const posing = createTlsServer({ cert: eve.certificatePem, key: eve.keyPem, ALPNProtocols: ['h2'] }, (socket) => {
      socket.on('data', ({ length }: Buffer) => (heard += length));
      socket.on('error', () => socket.destroy());
    });
    posing.on('tlsClientError', () => undefined);
    await new Promise<void>((resolve) => posing.listen(0, '127.0.0.1', resolve));
    const stop = new AbortController();
    const link = createAgentLink({
      endpoint: { address: '127.0.0.1', port: (posing.address() as AddressInfo).port },
      identity: { fleetId, agentId: testAgentId, spkiSha256: eve.spkiHash.toString('hex') },
      operator: createOperatorIdentity({
        fleetRoot: fleet.root.certificatePem,
        certificate: ada.certificatePem,
        privateKey: ada.keyPem,
      }),
      consoleVersion: '0.0.0',
      clock: systemClock(),
      random: systemRandom,
      gate: createGate({ inFlightMax: 1, waitingMax: 1 }),
      pace: createHandshakePace(),
    });
    const upkeep = link.maintain(() => Promise.resolve(), stop.signal).catch(() => undefined);
    try {
      for await (const state of link.follow(AbortSignal.timeout(10_000))) {
        if (state.kind !== 'down') continue;
        expect(state.error.code).toBe('IDENTITY_MISMATCH');
        expect(state.error.message).not.toMatch(inside);
        break;
      }
      expect([link.state.kind, heard]).toEqual(['down', 0]);
    } finally {
      stop.abort();
      await upkeep;
      posing.close();
    }
  });

  it('an operator whose scopes were taken is refused what he could do a moment ago', async () => {
    const bob = await fleet.operator('bob');
    const role = { name: 'probe', scopes: ['mappings:write'], title: '' };
    await push([bundle.change(put({ roles: [role], bindings: [{ id: 'b', subject: 'operator/bob', role: 'probe', level: '*' }] }))]);
    expect((await refusalOf(confirm(bob))).reason).toBe('NOTHING_TO_CONFIRM');
    await push([bundle.change(put({ roles: [{ ...role, scopes: ['mappings:read'] }] }))]);
    await expectRefused(() => confirm(bob), {
      code: 'SCOPE_MISSING',
      action: path('ConfigService/ConfirmConfig'),
      by: bob,
      actor: subject('bob'),
    });
  });

  describe('bundles', () => {
    const refused = (updates: readonly SignedEnvelope[], code: string): Promise<void> =>
      expectRefused(() => push(updates), { code, action: path('AccessService/PushAccessUpdates'), by: ada, actor: subject('ada') });

    it('a bundle that was changed after it was signed', async () => {
      const good = bundle.change(put({ operators: [{ subject: 'operator/zoe', title: '' }] }));
      const payload = Buffer.from(good.payload);
      payload[payload.length - 1] = (payload.at(-1) ?? 0) ^ 1;
      await refused([{ ...good, payload }], 'ACCESS_INVALID');
      await push([good]);
    });

    it('an older bundle', async () => {
      const old = [...bundle.updates];
      await push([bundle.change(put({ operators: [{ subject: 'operator/zoe', title: '' }] }))]);
      await refused(old, 'ACCESS_INVALID');
    });

    it('a forked bundle', async () => {
      const other = stepOf(fleetId, {
        body: { ...bundle.body, dangerousScopes: ['mappings:write'] },
        by: [bundle.owner.signer],
        author: 'operator/ada',
        epoch,
        revision: 2,
        previous: [bundle.head],
        atMs: Date.now(),
      });
      await push([bundle.change(put({ operators: [{ subject: 'operator/zoe', title: '' }] }))]);
      await refused([other], 'ACCESS_FORKED');
      expect(agent.system.host.warnings().map(({ code }) => code)).toContain('ACCESS_FORKED');
    });

    it('a bundle past its end lets nobody change anything', async () => {
      const lasting = await fleet.operator('ada', { notAfter: Date.now() + 90 * day });
      agent.skewMs = 31 * day;
      await expectRefused(() => confirm(lasting), {
        code: 'ACCESS_STALE',
        action: path('ConfigService/ConfirmConfig'),
        by: lasting,
        actor: subject('ada'),
      });
      await callHost(port, lasting);
    });
  });

  describe('clocks ten minutes apart', () => {
    it('a certificate that is not valid yet for a host that is behind', async () => {
      const fresh = await fleet.operator('ada', { notBefore: Date.now() - minute });
      agent.skewMs = -10 * minute;
      await expectRefused(() => callHost(port, fresh), { code: 'CERTIFICATE_INVALID', action: 'connection' });
      agent.skewMs = 0;
      await callHost(port, fresh);
    });

    it('a certificate that is over for a host that is ahead', async () => {
      const ending = await fleet.operator('ada', { notAfter: Date.now() + 5 * minute });
      agent.skewMs = 10 * minute;
      await expectRefused(() => callHost(port, ending), { code: 'CERTIFICATE_INVALID', action: 'connection' });
    });

    const deliver = (notBeforeMs: number): Promise<unknown> => {
      const privateKey = createPrivateKey(ada.keyPem);
      const intent = {
        intentId: '01JZ0000000000000000000030',
        fleetId,
        hostId: testAgentId,
        baseRevision: 0,
        sequence: notBeforeMs,
        notBeforeMs,
        expiresAtMs: notBeforeMs + 5 * minute,
        confirmWithinSeconds: 60,
        comment: '',
        policy: '{}',
      };
      const signer = { privateKey, publicKey: createPublicKey(privateKey), certificateChain: [ada.certificateDer] };
      const client = dial(IntentServiceClient, { port, certificate: ada });
      clients.push(client);
      return ask(client.deliverIntent.bind(client), { intent: sealEnvelope(intentType, encodeIntent(intent), [signer]) });
    };
    const ofIntent = { code: 'INTENT_EXPIRED', action: path('IntentService/DeliverIntent') };

    it('an intent of a console that is ahead', () =>
      expectRefused(() => deliver(Date.now() + 10 * minute), { ...ofIntent, by: ada, actor: subject('ada') }));

    it('an intent that has expired by then', () => expectRefused(() => deliver(Date.now() - 10 * minute), { ...ofIntent, by: ada }));
  });

  it('wrong keys of an API client end in a wait that the log shows', async () => {
    // Random ids keep the counter of another run apart.
    const name = `backup-${randomBytes(4).toString('hex')}`;
    const certificate = await fleet.operator(name, { uris: [`spiffe://${fleetId}/client/${name}`] });
    const keys = [makeClientKey(randomBytes(32), { createdAtMs: Date.now(), expiresAtMs: 0 }).entry];
    const bindings = [{ id: 'c', subject: `client/${name}`, role: 'viewer', level: '*' }];
    await push([bundle.change(put({ clients: [{ subject: `client/${name}`, title: '', keys }], bindings }))]);
    for (let attempt = 0; attempt < 5; attempt += 1) expect((await refusalOf(callHost(port, certificate))).reason).toBe('SESSION_INVALID');
    await expectRefused(() => callHost(port, certificate), {
      code: 'LIMIT_REACHED',
      action: path('HostService/GetHost'),
      by: certificate,
      actor: `spiffe://${fleetId}/client/${name}`,
    });
  });
});
