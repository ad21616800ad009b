import { mkdtemp, rm } from 'node:fs/promises';
import { connect as connectTcp } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { SessionServiceClient } from '../../proto/gen/nest/v1/session.ts';
import type { IdentityControl } from '../control/identity/api.ts';
import { createIdentityControl } from '../control/identity/identity-control.ts';
import { createTestFleet } from '../control/identity/test-fleet.ts';
import type { TestCertificate, TestFleet } from '../control/identity/test-fleet.ts';
import type { AuthenticationEvent } from '../lib/authentication-event.ts';
import { systemClock } from '../lib/clock.ts';
import { silentLogger } from '../lib/log.ts';
import { systemRandom } from '../lib/random.ts';
import { createServer } from './api.ts';
import type { AgentServer } from './api.ts';
import { createFakeDomains } from './fake-domains.ts';
import type { FakeDomains } from './fake-domains.ts';
import { ask, dial, enroll, refusalOf } from './test-console.ts';

const fleetId = '01jz000000000000000000000a';
const listen = { address: '127.0.0.1', port: 0 };

describe('authentication events', () => {
  let stateDir: string;
  let identity: IdentityControl;
  let domains: FakeDomains;
  let server: AgentServer;
  let fleet: TestFleet;
  let operator: TestCertificate;
  let port: number;
  const events: AuthenticationEvent[] = [];
  const revoked = new Set<string>();

  beforeEach(async () => {
    events.length = 0;
    stateDir = await mkdtemp(join(tmpdir(), 'nest-authentication-'));
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
      clock: systemClock,
      logger: silentLogger,
      isRevoked: ({ name }) => revoked.has(name),
      onAuthentication: (event) => void events.push(event),
    });
    const token = fleet.token();
    await identity.openEnrollment(token.text);
    await server.settled();
    port = server.grpcPort ?? -1;
    await enroll({ port, fleet, token, operator });
    await server.settled();
  });
  afterEach(async () => {
    await domains.host.close();
    await server.close();
    identity.close();
    await rm(stateDir, { recursive: true });
  });

  const hello = async (certificate: TestCertificate | null, calls = 1): Promise<void> => {
    const client = dial(SessionServiceClient, { port, certificate });
    const request = { consoleVersion: '1', features: [], timeMs: 0n };
    for (let call = 0; call < calls; call++) await ask(client.hello.bind(client), request).catch(() => undefined);
    client.close();
  };
  /** Without what never changes here. */
  const told = (): readonly object[] => {
    for (const { source } of events) expect(source).toBe('127.0.0.1');
    return events.splice(0).map(({ kind, isAccepted, subject, action, code }) => ({ kind, isAccepted, subject, action, code }));
  };
  const subject = `spiffe://${fleetId}/operator/ada`;

  it('tell every step of an enrolment, and the connection it came by', () => {
    const step = (name: string): object => ({
      kind: 'enrollment',
      isAccepted: true,
      subject: '',
      action: `/nest.v1.EnrollmentService/${name}`,
      code: 'OK',
    });
    expect(told()).toEqual([
      { kind: 'connection', isAccepted: true, subject: '', action: 'enrollment', code: 'OK' },
      step('Begin'),
      step('Prove'),
      step('Complete'),
    ]);
  });

  it('tell who connected, once, and not each of its calls', async () => {
    told();
    await hello(operator, 3);
    expect(told()).toEqual([{ kind: 'connection', isAccepted: true, subject, action: 'fleet', code: 'OK' }]);
  });

  it('tell who was refused and why: no certificate, another fleet, no TLS', async () => {
    told();
    await hello(null);
    await hello(await (await createTestFleet('01jz000000000000000000000b')).operator('ada'));
    const socket = connectTcp(port, '127.0.0.1', () => socket.write('GET / HTTP/1.1\r\n\r\n'));
    await new Promise<void>((resolve) => socket.on('error', () => undefined).once('close', () => resolve()));
    const refused = { kind: 'connection', isAccepted: false, subject: '', action: 'fleet' };
    expect(told()).toEqual(['CERTIFICATE_MISSING', 'FLEET_MISMATCH', 'HANDSHAKE_FAILED'].map((code) => ({ ...refused, code })));
  });

  it('tell a call that was refused for who called', async () => {
    const client = dial(SessionServiceClient, { port, certificate: operator });
    const request = { consoleVersion: '1', features: [], timeMs: 0n };
    await ask(client.hello.bind(client), request);
    told();
    revoked.add('ada');
    await refusalOf(ask(client.hello.bind(client), request));
    revoked.clear();
    client.close();
    expect(told()).toEqual([
      { kind: 'call', isAccepted: false, subject, action: '/nest.v1.SessionService/Hello', code: 'CERTIFICATE_INVALID' },
    ]);
  });
});
