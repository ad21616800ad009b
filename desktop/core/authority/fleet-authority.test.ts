import { spawnSync } from 'node:child_process';
import { X509Certificate, createHash, webcrypto } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
// Decorator metadata must be loaded before the X.509 library.
import 'reflect-metadata';
import * as x509 from '@peculiar/x509';
import { beforeAll, describe, expect, it } from 'vitest';
import { systemRandom } from '../../lib/api.ts';
import {
  createFleetKeys,
  isOperatorRenewalDue,
  issueOperator,
  operatorEndsAt,
  operatorSlug,
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
    expect(operator.verify(root.publicKey)).toBe(true);
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
    const folder = await mkdtemp(join(tmpdir(), 'nest-authority-'));
    try {
      await writeFile(join(folder, 'root.pem'), fleet.root.certificate);
      await writeFile(join(folder, 'leaf.pem'), leaf.toString());
      const referee = spawnSync(
        'openssl',
        [
          'verify',
          '-x509_strict',
          '-attime',
          String(now / 1000),
          '-purpose',
          'sslserver',
          '-CAfile',
          join(folder, 'root.pem'),
          join(folder, 'leaf.pem'),
        ],
        { encoding: 'utf8' },
      );
      expect(`${referee.stdout}${referee.stderr}`).toContain('leaf.pem: OK');
    } finally {
      await rm(folder, { recursive: true });
    }
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
