import { spawnSync } from 'node:child_process';
import { X509Certificate, createHash, webcrypto } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
// Decorator metadata must be loaded before the X.509 library.
import 'reflect-metadata';
import * as x509 from '@peculiar/x509';
import { beforeAll, describe, expect, it } from 'vitest';
import { checkCertificatePath } from '../../../proto/model/certificate-path.ts';
import { systemRandom } from '../../lib/api.ts';
import {
  createFleetKeys,
  isOperatorRenewalDue,
  issueOperator,
  operatorChain,
  operatorEndsAt,
  operatorSlug,
  refreshFleetKeys,
  rootSpkiHash,
  signAgent,
} from './fleet-authority.ts';
import type { FleetKeys } from './fleet-authority.ts';

const now = 1_790_000_000_000;
const dayMs = 86_400_000;
const context = { now, random: systemRandom };
const agentId = '01JZ0000000000000000000000';
const p256 = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };

let fleet: FleetKeys;

const requestOf = async (algorithm: {
  readonly name: string;
  readonly namedCurve: string;
  readonly hash: string;
}): Promise<{ readonly signingRequest: Uint8Array; readonly spkiSha256: string }> => {
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  // The names asked for must not matter.
  const request = await x509.Pkcs10CertificateRequestGenerator.create({
    name: 'CN=root',
    keys,
    signingAlgorithm: algorithm,
    extensions: [new x509.BasicConstraintsExtension(true)],
  });
  const spki = new Uint8Array(await webcrypto.subtle.exportKey('spki', keys.publicKey));
  return { signingRequest: new Uint8Array(request.rawData), spkiSha256: createHash('sha256').update(spki).digest('hex') };
};

beforeAll(async () => {
  fleet = await createFleetKeys({ fleetId: '01jz0000000000000000000001', fleetName: 'Test', operatorName: 'Åsa Öberg (night)' }, context);
});

/** What OpenSSL says about a leaf under the fleet's root. */
const verify = async ({ chain, purpose }: { readonly chain: readonly Uint8Array[]; readonly purpose: string }): Promise<string> => {
  const folder = await mkdtemp(join(tmpdir(), 'nest-authority-'));
  try {
    const pem = chain.map((der) => new X509Certificate(Buffer.from(der)).toString());
    const path = (name: string): string => join(folder, name);
    await writeFile(path('root.pem'), fleet.root.certificate);
    await writeFile(path('leaf.pem'), pem[0] ?? '');
    await writeFile(path('authorities.pem'), pem.slice(1).join(''));
    const untrusted = pem.length > 1 ? ['-untrusted', path('authorities.pem')] : [];
    const options = ['-x509_strict', '-attime', String(now / 1000), '-purpose', purpose, '-CAfile', path('root.pem'), ...untrusted];
    const referee = spawnSync('openssl', ['verify', ...options, path('leaf.pem')], { encoding: 'utf8' });
    return `${referee.stdout}${referee.stderr}`;
  } finally {
    await rm(folder, { recursive: true });
  }
};

describe('the fleet authority', () => {
  it('makes a root for ten years and an operator for thirty days, each with the one name it should have', () => {
    const root = new X509Certificate(fleet.root.certificate);
    const operator = new X509Certificate(fleet.operator.certificate);
    expect({ ca: root.ca, days: Math.round((root.validToDate.getTime() - now) / dayMs), names: root.subjectAltName }).toEqual({
      ca: true,
      days: 3650,
      names: undefined,
    });
    expect({
      ca: operator.ca,
      days: Math.round((operatorEndsAt(fleet) - now) / dayMs),
      names: operator.subjectAltName,
      usage: operator.keyUsage,
    }).toEqual({
      ca: false,
      days: 30,
      names: 'URI:spiffe://01jz0000000000000000000001/operator/a-sa-o-berg-night',
      usage: ['1.3.6.1.5.5.7.3.2'],
    });
    expect(Buffer.from(rootSpkiHash(fleet)).toString('hex')).toBe(
      createHash('sha256')
        .update(root.publicKey.export({ type: 'spki', format: 'der' }))
        .digest('hex'),
    );
  });

  it('signs an agent for a year with its own names, whatever the request asks for, and OpenSSL agrees', async () => {
    const signed = await signAgent(fleet, { agentId, hostName: 'edge-1', ...(await requestOf(p256)) }, context);
    const leaf = new X509Certificate(Buffer.from(signed.chain[0] ?? []));
    expect({ names: leaf.subjectAltName, ca: leaf.ca, usage: leaf.keyUsage, days: Math.round((signed.endsAt - now) / dayMs) }).toEqual({
      names: `URI:spiffe://01jz0000000000000000000001/agent/${agentId}, DNS:${agentId.toLowerCase()}.agent.nest.internal`,
      ca: false,
      usage: ['1.3.6.1.5.5.7.3.1'],
      days: 365,
    });
    expect(await verify({ chain: signed.chain, purpose: 'sslserver' })).toContain('leaf.pem: OK');
    expect(await verify({ chain: operatorChain(fleet), purpose: 'sslclient' })).toContain('leaf.pem: OK');
  });

  it('issues nothing from the wrong authority that OpenSSL or our own judgement would take', async () => {
    const { authorities } = fleet;
    if (authorities === undefined) throw new Error('the fleet has no authorities');
    const swapped = { ...fleet, authorities: { agents: authorities.operators, operators: authorities.agents } };
    const request = { agentId, hostName: 'edge-1', ...(await requestOf(p256)) };
    const { chain } = await signAgent(swapped, request, context);
    expect(await verify({ chain, purpose: 'sslserver' })).toMatch(/uns(upported|uitable) certificate purpose/);
    const operator = await issueOperator(swapped, context);
    const judge = (path: readonly Uint8Array[], roots = [new X509Certificate(fleet.root.certificate)]) =>
      checkCertificatePath(path, { roots, fleetId: fleet.fleetId, nowMs: now });
    for (const path of [chain, operatorChain({ operator })])
      expect(() => judge(path)).toThrow(expect.objectContaining({ code: 'CERTIFICATE_INVALID' }) as Error);
    expect(judge(operatorChain(fleet)).identity).toMatchObject({ kind: 'operator', name: 'a-sa-o-berg-night' });
    const other = await createFleetKeys({ fleetId: '01jz0000000000000000000002', fleetName: 'Other', operatorName: 'ada' }, context);
    const foreign = new X509Certificate(other.root.certificate);
    expect(() => judge(operatorChain(fleet), [foreign])).toThrow(expect.objectContaining({ code: 'CERTIFICATE_INVALID' }) as Error);
    expect(() => judge(operatorChain(other), [foreign])).toThrow(expect.objectContaining({ code: 'FLEET_MISMATCH' }) as Error);
  });

  it('judges dates by the clock it is given: ten minutes of skew are taken, more than an hour is not', () => {
    const judge = (nowMs: number) =>
      checkCertificatePath(operatorChain(fleet), { roots: [new X509Certificate(fleet.root.certificate)], fleetId: fleet.fleetId, nowMs });
    expect([judge(now - 10 * 60_000).identity.kind, judge(now + 10 * 60_000).identity.kind]).toEqual(['operator', 'operator']);
    for (const wrong of [now - 61 * 60_000, now + 31 * dayMs])
      expect(() => judge(wrong)).toThrow(expect.objectContaining({ code: 'CERTIFICATE_INVALID' }) as Error);
  });

  it('gives an old fleet its authorities and moves the operator under them; leaves of the root stay good', async () => {
    const { authorities: _none, ...bare } = fleet;
    const old = { ...bare, operator: await issueOperator(bare, context) };
    const agent = await signAgent(old, { agentId, hostName: 'edge-1', ...(await requestOf(p256)) }, context);
    expect([agent.chain.length, operatorChain(old).length]).toEqual([1, 1]);
    const next = await refreshFleetKeys(old, context);
    expect(operatorChain(next).length).toBe(2);
    expect(await refreshFleetKeys(next, context)).toBe(next);
    expect(await verify({ chain: agent.chain, purpose: 'sslserver' })).toContain('leaf.pem: OK');
    expect(await verify({ chain: operatorChain(next), purpose: 'sslclient' })).toContain('leaf.pem: OK');
  });

  it('signs without the root, renews authorities for their own keys, and cuts no leaf short', async () => {
    const offline = { ...fleet, root: { ...fleet.root, privateKey: null } };
    const request = { agentId, hostName: 'edge-1', ...(await requestOf(p256)) };
    await expect(signAgent(offline, request, context)).resolves.toMatchObject({ endsAt: now + 365 * dayMs });
    const late = { ...context, now: now + 300 * dayMs };
    const stuck = await refreshFleetKeys(offline, late);
    expect(stuck.authorities?.operators).toEqual(fleet.authorities?.operators);
    const renewed = await refreshFleetKeys({ ...stuck, root: fleet.root }, late);
    expect(
      new X509Certificate(renewed.authorities?.operators.certificate ?? '').checkIssued(new X509Certificate(fleet.root.certificate)),
    ).toBe(true);
    expect(new X509Certificate(renewed.authorities?.operators.certificate ?? '').validToDate.getTime()).toBe(late.now + 365 * dayMs);
    expect(renewed.authorities?.operators.privateKey).toBe(fleet.authorities?.operators.privateKey);
    const nobody = { ...offline, authorities: undefined };
    await expect(signAgent(nobody, request, context)).rejects.toMatchObject({ code: 'SCOPE_MISSING' });
  });

  it('refuses a request for another key than the approved one, one that is damaged, and one off the curve', async () => {
    const request = await requestOf(p256);
    const wanted = { agentId, hostName: 'edge-1' };
    await expect(signAgent(fleet, { ...wanted, ...request, spkiSha256: 'ab'.repeat(32) }, context)).rejects.toMatchObject({
      code: 'PROOF_INVALID',
    });
    const damaged = request.signingRequest.slice();
    damaged[damaged.length - 1] = (damaged.at(-1) ?? 0) ^ 1;
    await expect(signAgent(fleet, { ...wanted, ...request, signingRequest: damaged }, context)).rejects.toMatchObject({
      code: 'PROOF_INVALID',
    });
    await expect(signAgent(fleet, { ...wanted, ...request, signingRequest: new Uint8Array(7) }, context)).rejects.toMatchObject({
      code: 'PROOF_INVALID',
    });
    await expect(signAgent(fleet, { ...wanted, ...(await requestOf({ ...p256, namedCurve: 'P-384' })) }, context)).rejects.toMatchObject({
      code: 'PROOF_INVALID',
    });
  });

  it('never uses a serial number twice and renews an operator after a third of its life', async () => {
    const serials = await Promise.all(
      Array.from({ length: 16 }, async () => new X509Certificate((await issueOperator(fleet, context)).certificate).serialNumber),
    );
    expect(new Set(serials).size).toBe(16);
    expect([isOperatorRenewalDue(fleet, now + 9 * dayMs), isOperatorRenewalDue(fleet, now + 11 * dayMs)]).toEqual([false, true]);
  });

  it('makes a path of any name', () => {
    expect([operatorSlug('../../x'), operatorSlug('日本'), operatorSlug('Night.Shift_2')]).toEqual(['x', 'operator', 'night.shift_2']);
  });
});
