import { mkdtemp, rm } from 'node:fs/promises';
import { connect as connectTcp } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { EnrollmentServiceClient } from '../../proto/gen/nest/v1/enrollment.ts';
import { SessionServiceClient } from '../../proto/gen/nest/v1/session.ts';
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
import { ask, dial, enroll, refusalOf } from './test-console.ts';

const fleetId = '01jz000000000000000000000a';
const otherFleetId = '01jz000000000000000000000b';
const listen = { address: '127.0.0.1', port: 0 };

interface Bench {
  readonly identity: IdentityControl;
  readonly server: AgentServer;
  readonly advance: (milliseconds: number) => void;
  close(): Promise<void>;
}

/** An agent on loopback whose wall clock and timers run on, moved by `advance` for the token's life. */
const startAgent = async (stateDir: string): Promise<Bench> => {
  let aheadMs = 0;
  const due: { atMs: number; call: () => void }[] = [];
  const clock = {
    ...systemClock,
    nowMs: () => Date.now() + aheadMs,
    monotonicMs: () => performance.now() + aheadMs,
    after: (delayMs: number, call: () => void) => {
      const entry = { atMs: performance.now() + aheadMs + delayMs, call };
      due.push(entry);
      const timer = systemClock.after(delayMs, call);
      return { cancel: () => (timer.cancel(), void due.splice(due.indexOf(entry) >>> 0, 1)) };
    },
  };
  const identity = await createIdentityControl({ stateDir, clock, random: systemRandom });
  const domains = createFakeDomains();
  const server = await createServer({ ...domains, listen, metrics: listen, agentVersion: '1.2.3', identity, clock, logger: silentLogger });
  return {
    identity,
    server,
    advance: (milliseconds) => {
      aheadMs += milliseconds;
      for (const entry of due.filter(({ atMs }) => atMs <= performance.now() + aheadMs)) entry.call();
    },
    close: async () => {
      await domains.host.close();
      await server.close();
      identity.close();
    },
  };
};

describe('enrolment over TLS', () => {
  let stateDir: string;
  let agent: Bench;
  let fleet: TestFleet;
  let operator: TestCertificate;

  beforeEach(async () => {
    stateDir = await mkdtemp(join(tmpdir(), 'nest-enrollment-'));
    fleet = await createTestFleet(fleetId);
    operator = await fleet.operator('ada');
    agent = await startAgent(stateDir);
  });
  afterEach(async () => {
    await agent.close();
    await rm(stateDir, { recursive: true });
  });

  const open = async (token: { readonly text: string }): Promise<number> => {
    await agent.identity.openEnrollment(token.text);
    await agent.server.settled();
    return agent.server.grpcPort ?? -1;
  };

  it('keeps the port closed until a token is typed on the host', async () => {
    expect(agent.server).toMatchObject({ mode: 'closed', grpcPort: null });
    await open(fleet.token());
    expect(agent.server.mode).toBe('enrolling');
  });

  it('enrols, switches the same port to the fleet, and knows the caller', async () => {
    const token = fleet.token();
    const port = await open(token);
    expect(await enroll({ port, fleet, token, operator })).toBe(testAgentId);
    // The answer came after the switch: the console may dial again at once.
    expect(agent.server).toMatchObject({ mode: 'enrolled', grpcPort: port });
    const client = dial(SessionServiceClient, { port, certificate: operator });
    const hello = await ask(client.hello.bind(client), { consoleVersion: '1', features: [], timeMs: 0n });
    client.close();
    expect(hello).toMatchObject({ agentId: testAgentId, fleetId, agentVersion: '1.2.3', subject: `spiffe://${fleetId}/operator/ada` });
  });

  it('is enrolled again after a restart', async () => {
    const token = fleet.token();
    await enroll({ port: await open(token), fleet, token, operator });
    await agent.close();
    agent = await startAgent(stateDir);
    expect(agent.server.mode).toBe('enrolled');
    expect(agent.identity.identity()).toMatchObject({ agentId: testAgentId, fleetId });
  });

  it('serves nothing but enrolment before it has a fleet', async () => {
    const port = await open(fleet.token());
    const client = dial(SessionServiceClient, { port, certificate: operator });
    const refusal = await refusalOf(ask(client.hello.bind(client), { consoleVersion: '1', features: [], timeMs: 0n }));
    client.close();
    expect(refusal.status).toBe('UNIMPLEMENTED');
  });

  it('refuses a used token, on the wire and on the host', async () => {
    const token = fleet.token();
    const port = await open(token);
    await enroll({ port, fleet, token, operator });
    await agent.server.settled();
    expect(await refusalOf(enroll({ port, fleet, token, operator }))).toMatchObject({ status: 'UNAUTHENTICATED', reason: 'TOKEN_USED' });
    await expect(agent.identity.openEnrollment(token.text)).rejects.toMatchObject({ code: 'TOKEN_USED' });
    await expect(agent.identity.openEnrollment(fleet.token().text)).rejects.toMatchObject({ code: 'ALREADY_ENROLLED' });
  });

  it('closes the port when the ten minutes are over, and refuses the token from then on', async () => {
    const token = fleet.token();
    await open(token);
    agent.advance(10 * 60_000 + 1);
    await agent.server.settled();
    expect(agent.server).toMatchObject({ mode: 'closed', grpcPort: null });
    await expect(agent.identity.openEnrollment(token.text)).rejects.toMatchObject({ code: 'TOKEN_EXPIRED' });
    await expect(agent.identity.openEnrollment(token.text)).rejects.toMatchObject({ code: 'TOKEN_EXPIRED' });
  });

  it('refuses a token of another root although its secret is right', async () => {
    const other = await createTestFleet(otherFleetId);
    const token = fleet.token();
    const port = await open(token);
    expect(await refusalOf(enroll({ port, fleet: other, token, operator: await other.operator('eve') }))).toMatchObject({
      reason: 'FLEET_MISMATCH',
    });
    expect(agent.identity.identity()).toBeNull();
  });

  it('refuses a console that expects another root', async () => {
    const token = fleet.token();
    const port = await open(token);
    const wrongPin = { ...token, rootSpkiHash: Buffer.alloc(32, 7) };
    expect(await refusalOf(enroll({ port, fleet, token: wrongPin, operator, trusting: true }))).toMatchObject({ reason: 'PROOF_INVALID' });
  });

  it('refuses an unknown token id without counting it', async () => {
    const port = await open(fleet.token());
    for (let attempt = 0; attempt < 7; attempt++) {
      expect(await refusalOf(enroll({ port, fleet, token: fleet.token(), operator }))).toMatchObject({ reason: 'TOKEN_INVALID' });
    }
    expect(agent.identity.enrollment()).toMatchObject({ attemptsLeft: 5 });
  });

  it('closes after five wrong proofs, also for the right one, until it is restarted', async () => {
    const token = fleet.token();
    const port = await open(token);
    const flip = (proof: Buffer): Buffer => Buffer.from(proof.map((byte, index) => (index === 31 ? byte ^ 1 : byte)));
    for (let attempt = 1; attempt <= 5; attempt++) {
      expect(await refusalOf(enroll({ port, fleet, token, operator, tamperProof: flip }))).toMatchObject({
        status: 'UNAUTHENTICATED',
        reason: 'PROOF_INVALID',
      });
    }
    await agent.server.settled();
    expect(agent.server.mode).toBe('closed');
    await expect(
      agent.identity.begin({ tokenId: token.id, consoleNonce: Buffer.alloc(32), consoleSpkiHash: operator.spkiHash }),
    ).rejects.toMatchObject({ code: 'ENROLLMENT_CLOSED' });
    await expect(agent.identity.openEnrollment(fleet.token().text)).rejects.toMatchObject({ code: 'ENROLLMENT_CLOSED' });
    await agent.close();
    agent = await startAgent(stateDir);
    await expect(agent.identity.openEnrollment(token.text)).rejects.toMatchObject({ code: 'ENROLLMENT_CLOSED' });
    const fresh = fleet.token();
    expect(await enroll({ port: await open(fresh), fleet, token: fresh, operator })).toBe(testAgentId);
  });

  it('refuses a delivery whose code does not fit, and stays without a fleet', async () => {
    const token = fleet.token();
    const port = await open(token);
    expect(await refusalOf(enroll({ port, fleet, token, operator, tamperMac: () => Buffer.alloc(32) }))).toMatchObject({
      reason: 'PROOF_INVALID',
    });
    expect(await refusalOf(enroll({ port, fleet, token, operator, tamperMac: () => Buffer.alloc(3) }))).toMatchObject({
      reason: 'PROOF_INVALID',
    });
    expect(agent.identity.enrollment()).toMatchObject({ attemptsLeft: 3 });
    expect(agent.identity.identity()).toBeNull();
  });

  it('refuses a console without a certificate, with the reason', async () => {
    const port = await open(fleet.token());
    const client = dial(EnrollmentServiceClient, { port, certificate: null });
    const refusal = await refusalOf(ask(client.begin.bind(client), { tokenId: Buffer.alloc(16), consoleNonce: Buffer.alloc(32) }));
    client.close();
    expect(refusal).toMatchObject({ status: 'UNAUTHENTICATED', reason: 'CERTIFICATE_MISSING' });
  });

  it('drops whoever does not speak TLS', async () => {
    const port = await open(fleet.token());
    const answer = await new Promise<string>((resolve) => {
      const socket = connectTcp(port, '127.0.0.1', () => socket.write('GET / HTTP/1.1\r\n\r\n'));
      let text = '';
      socket.on('data', (bytes) => (text += bytes.toString('latin1')));
      socket.on('error', () => undefined);
      socket.on('close', () => resolve(text));
    });
    expect(answer).not.toContain('HTTP');
  });
});
