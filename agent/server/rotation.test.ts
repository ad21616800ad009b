import { X509Certificate, createHash, createPublicKey, verify } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:tls';
// Decorator metadata must be loaded before the X.509 library.
import 'reflect-metadata';
import { Pkcs10CertificateRequest } from '@peculiar/x509';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CertServiceClient } from '../../proto/gen/nest/v1/certificate.ts';
import { HostServiceClient } from '../../proto/gen/nest/v1/host.ts';
import { keyChangeInput } from '../../proto/model/enrollment.ts';
import { generateAgentKey } from '../control/identity/agent-key.ts';
import type { IdentityControl } from '../control/identity/api.ts';
import { createSigningRequest } from '../control/identity/bootstrap-certificate.ts';
import { createIdentityControl } from '../control/identity/identity-control.ts';
import { createTestFleet } from '../control/identity/test-fleet.ts';
import type { TestCertificate, TestFleet } from '../control/identity/test-fleet.ts';
import type { Clock } from '../lib/clock.ts';
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
const day = 86_400_000;

let stateDir: string;
let identity: IdentityControl;
let domains: FakeDomains;
let server: AgentServer;
let fleet: TestFleet;
let operator: TestCertificate;
let port: number;
let aheadMs = 0;
const clients: { close(): void }[] = [];
const clock: Clock = { ...systemClock, nowMs: () => Date.now() + aheadMs };

beforeEach(async () => {
  aheadMs = 0;
  stateDir = await mkdtemp(join(tmpdir(), 'nest-rotation-'));
  fleet = await createTestFleet(fleetId);
  operator = await fleet.operator('ada', { under: 'operators' });
  identity = await createIdentityControl({ stateDir, clock, random: systemRandom });
  domains = createFakeDomains();
  server = await createServer({ ...domains, listen, metrics: listen, agentVersion: '1.2.3', identity, clock, logger: silentLogger });
  const token = fleet.token();
  await identity.openEnrollment(token.text);
  await server.settled();
  port = server.grpcPort ?? -1;
  await enroll({ port, fleet, token, operator });
  await server.settled();
});
afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  await domains.host.close();
  await server.close();
  identity.close();
  await rm(stateDir, { recursive: true });
});

const certsOf = (certificate = operator): CertServiceClient => {
  const client = dial(CertServiceClient, { port, certificate });
  clients.push(client);
  return client;
};
const hostOf = (certificate = operator): HostServiceClient => {
  const client = dial(HostServiceClient, { port, certificate });
  clients.push(client);
  return client;
};
const renew = async (client: CertServiceClient, freshKey = false, options: Parameters<TestFleet['signAgent']>[1] = {}) => {
  const { signingRequest } = await ask(client.getSigningRequest.bind(client), { freshKey });
  const certificateChain = await fleet.signAgent(signingRequest, { under: 'agents', ...options });
  return ask(client.installCertificate.bind(client), { certificateChain });
};
/** What a new connection sees. */
const shown = (): Promise<X509Certificate> =>
  new Promise((resolve, reject) => {
    const { certificatePem: cert, keyPem: key } = operator;
    const socket = connect({ host: '127.0.0.1', port, cert, key, rejectUnauthorized: false, ALPNProtocols: ['h2'] }, () => {
      const certificate = new X509Certificate(socket.getPeerCertificate().raw);
      socket.destroy();
      resolve(certificate);
    });
    socket.once('error', reject);
  });

describe('rotation of the certificate', () => {
  it('drops no stream and fails no call: 1,000 calls and open streams across ten rotations, two of them with a new key', async () => {
    const [certs, ...hosts] = [certsOf(), hostOf(), hostOf(), hostOf()];
    const statuses = hosts.map(() => 0);
    const ended: string[] = [];
    const streams = hosts.map((host, index) => {
      const stream = host.watchStatus({});
      stream.on('data', () => (statuses[index] = (statuses[index] ?? 0) + 1));
      stream.on('error', (error) => ended.push(error.message)).on('end', () => ended.push('end'));
      return stream;
    });
    const serials = new Set<string>();
    for (let round = 0; round < 10; round++) {
      const calls = Array.from({ length: 100 }, (_nothing, call) => {
        const host = hosts[call % hosts.length] ?? hostOf();
        return ask(host.getHost.bind(host), {});
      });
      const [renewed] = await Promise.all([renew(certs, round % 5 === 4), ...calls]);
      const certificate = await shown();
      serials.add(certificate.serialNumber);
      const spki = certificate.publicKey.export({ type: 'spki', format: 'der' });
      expect(createHash('sha256').update(spki).digest().equals(renewed.spkiSha256)).toBe(true);
    }
    expect([serials.size, ended]).toEqual([10, []]);
    const before = [...statuses];
    domains.tick();
    await expect.poll(() => statuses.every((count, index) => count > (before[index] ?? 0))).toBe(true);
    for (const stream of streams) stream.cancel();
    identity.close();
    const again = await createIdentityControl({ stateDir, clock, random: systemRandom });
    expect(again.identity()?.certificate).toBe((await shown()).toString());
    again.close();
  });

  it('signs for a fresh key with the present one', async () => {
    const certs = certsOf();
    const present = (await shown()).publicKey;
    const { signingRequest, presentKeySignature } = await ask(certs.getSigningRequest.bind(certs), { freshKey: true });
    const spki = Buffer.from(new Pkcs10CertificateRequest(new Uint8Array(signingRequest)).publicKey.rawData);
    expect(createPublicKey({ key: spki, format: 'der', type: 'spki' }).equals(present)).toBe(false);
    const agentId = identity.identity()?.agentId ?? '';
    const input = keyChangeInput(agentId, spki);
    expect(verify('sha256', input, { key: present, dsaEncoding: 'ieee-p1363' }, presentKeySignature)).toBe(true);
    expect((await ask(certs.getSigningRequest.bind(certs), { freshKey: false })).presentKeySignature).toHaveLength(0);
  });

  it('takes no certificate of another agent, fleet, authority, key or time, and none that is older', async () => {
    const certs = certsOf();
    const serial = (await shown()).serialNumber;
    const other = await createTestFleet('01jz000000000000000000000b');
    const refused = (options: Parameters<TestFleet['signAgent']>[1]) => refusalOf(renew(certs, false, options));
    const otherAgent = '01JZ0000000000000000000009';
    const uris = [`spiffe://${fleetId}/agent/${otherAgent}`];
    expect(await refused({ uris, dnsNames: [`${otherAgent.toLowerCase()}.agent.nest.internal`] })).toMatchObject({
      reason: 'IDENTITY_MISMATCH',
    });
    for (const options of [
      { under: 'operators' as const },
      { notAfter: Date.now() - 1000 },
      { notBefore: Date.now() + day },
      { notBefore: Date.now() - 3 * day },
      { uris: [`spiffe://${fleetId}/agent/x`, `spiffe://${fleetId}/agent/y`] },
      { usages: ['1.3.6.1.5.5.7.3.2'] },
    ])
      expect(await refused(options)).toMatchObject({ reason: 'CERTIFICATE_INVALID' });
    const foreign = await other.signAgent((await ask(certs.getSigningRequest.bind(certs), { freshKey: false })).signingRequest);
    expect(await refusalOf(ask(certs.installCertificate.bind(certs), { certificateChain: foreign }))).toMatchObject({
      reason: 'CERTIFICATE_INVALID',
    });
    const stranger = await fleet.signAgent(await createSigningRequest(generateAgentKey()));
    expect(await refusalOf(ask(certs.installCertificate.bind(certs), { certificateChain: stranger }))).toMatchObject({
      reason: 'CERTIFICATE_INVALID',
    });
    expect(await refusalOf(ask(certs.installCertificate.bind(certs), { certificateChain: [] }))).toMatchObject({
      reason: 'CERTIFICATE_INVALID',
    });
    expect((await shown()).serialNumber).toBe(serial);
  });
});

describe('lists of revoked certificates', () => {
  const authorities = (): Buffer[] =>
    [fleet.authorities.operators, fleet.authorities.agents].map(({ certificate }) => Buffer.from(certificate.rawData));
  const install = async (lists: readonly Buffer[], known = authorities()) => {
    const certs = certsOf();
    return (await ask(certs.installRevocationLists.bind(certs), { revocationLists: [...lists], authorities: known })).taken;
  };
  const all = async (serials: readonly string[], options: { readonly thisUpdate?: number; readonly nextUpdate?: number } = {}) =>
    Promise.all([
      fleet.revocationList('root', options),
      fleet.revocationList('agents', options),
      fleet.revocationList('operators', { serials, ...options }),
    ]);
  const call = (certificate: TestCertificate) => {
    const host = hostOf(certificate);
    return ask(host.getHost.bind(host), {});
  };
  const serialOf = ({ certificateDer }: TestCertificate): string => new X509Certificate(certificateDer).serialNumber;

  it('cut the live connections of who is on one, refuse it at the handshake, and let everybody else go on', async () => {
    const eve = await fleet.operator('eve', { under: 'operators' });
    const [stream, other] = [hostOf(eve).watchStatus({}), hostOf().watchStatus({})];
    const cut = new Promise((resolve) => stream.once('error', resolve));
    const ended: unknown[] = [];
    other.on('error', (error) => ended.push(error));
    await Promise.all([stream, other].map((each) => new Promise((resolve) => each.once('data', resolve))));
    expect(await install(await all([serialOf(eve)]))).toBe(3);
    await cut;
    expect(await refusalOf(call(eve))).toMatchObject({ reason: 'REVOKED' });
    await call(operator);
    expect(identity.revocation()).toMatchObject({ isChecked: true, missing: [] });
    expect([ended, await install(await all([serialOf(eve)]))]).toEqual([[], 0]);
    other.cancel();
  });

  it('that are over, or miss one issuer, lock nobody out and are a warning; what they revoked stays revoked', async () => {
    const eve = await fleet.operator('eve', { under: 'operators' });
    expect(identity.problem()).toBeNull();
    await install(await all([serialOf(eve)]));
    expect(identity.problem()).toBeNull();
    aheadMs = 25 * day;
    expect(identity.problem()).toMatchObject({ severity: 'warning' });
    const later = await fleet.operator('ada', { under: 'operators', notAfter: Date.now() + 60 * day });
    aheadMs = 31 * day;
    // OpenSSL goes by its own clock: what the context holds is what counts there.
    expect((await identity.tls()).revocationLists).toBeNull();
    expect(identity.problem()).toMatchObject({ severity: 'critical' });
    await call(later);
    expect(identity.isCertificateRevoked({ issuer: new X509Certificate(eve.certificateDer).issuer, serial: serialOf(eve) })).toBe(true);
  });

  it('of an authority the agent has no list of: the chain is judged without OpenSSL, and only a good one passes', async () => {
    const [root, agents] = await all([]);
    await install([root, agents], [Buffer.from(fleet.authorities.agents.certificate.rawData)]);
    expect((await identity.tls()).revocationLists).toHaveLength(2);
    await call(operator);
    const impostor = await createTestFleet(fleetId);
    for (const wrong of [
      await impostor.operator('ada', { under: 'operators' }),
      await impostor.operator('ada'),
      await fleet.operator('ada', { under: 'operators', usages: ['1.3.6.1.5.5.7.3.1'] }),
      await fleet.operator('ada', { under: 'operators', notAfter: Date.now() - 1000 }),
      await fleet.operator('ada', { under: 'agents' }),
    ])
      expect(await refusalOf(call(wrong))).toMatchObject({ reason: 'CERTIFICATE_INVALID' });
  });

  it('revoke an authority: nobody under it passes any more', async () => {
    const serials = [fleet.authorities.operators.certificate.serialNumber];
    const [, agents, operators] = await all([]);
    await install([await fleet.revocationList('root', { serials }), agents, operators]);
    expect(await refusalOf(call(operator))).toMatchObject({ reason: 'REVOKED' });
  });

  it('are refused when they are forged, from the future, of nobody known, too many, or damaged', async () => {
    const impostor = await createTestFleet(fleetId);
    const forged = [await impostor.revocationList('root')];
    const refused = (lists: readonly Buffer[], known = authorities()) => refusalOf(install(lists, known));
    expect(await refused(forged)).toMatchObject({ reason: 'CERTIFICATE_INVALID' });
    expect(await refused([await fleet.revocationList('root', { thisUpdate: Date.now() + day })])).toMatchObject({
      reason: 'CERTIFICATE_INVALID',
    });
    expect(await refused([await fleet.revocationList('operators')], [])).toMatchObject({ reason: 'CERTIFICATE_INVALID' });
    expect(await refused([], [Buffer.from(impostor.authorities.operators.certificate.rawData)])).toMatchObject({
      reason: 'CERTIFICATE_INVALID',
    });
    expect(await refused([Buffer.from('no list')])).toMatchObject({ reason: 'CERTIFICATE_INVALID' });
    expect(await refused(Array.from({ length: 17 }, () => Buffer.alloc(1)))).toMatchObject({ reason: 'LIMIT_REACHED' });
    expect(identity.revocation().isKnown).toBe(false);
  });
});
