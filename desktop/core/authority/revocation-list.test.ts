import { spawnSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemRandom } from '../../lib/api.ts';
import { pemCertificates } from './certificate-maker.ts';
import { createFleetKeys, operatorChain } from './fleet-authority.ts';
import type { FleetKeys } from './fleet-authority.ts';
import { emptyRevocation as empty, listEndsAt, refreshRevocation } from './revocation-list.ts';
import type { RevocationRecord, Revoked } from './revocation-list.ts';

const now = 1_790_000_000_000;
const dayMs = 86_400_000;
const context = { now, random: systemRandom };

let folder: string;
let fleet: FleetKeys;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nest-revocation-'));
  fleet = await createFleetKeys({ fleetId: '01jz0000000000000000000001', fleetName: 'Test', operatorName: 'ada' }, context);
});
afterEach(() => rm(folder, { recursive: true }));

const openssl = (...args: string[]): string => {
  const { stdout, stderr } = spawnSync('openssl', args, { encoding: 'utf8' });
  return stdout + stderr;
};
/** What OpenSSL says about the operator's chain with these lists, all of the chain checked. */
const verify = async (record: RevocationRecord, names: readonly (keyof RevocationRecord['lists'])[] = ['root', 'operators']) => {
  const path = (name: string): string => join(folder, name);
  const [leaf = '', authority = ''] = pemCertificates(fleet.operator.certificate);
  await writeFile(path('root.pem'), fleet.root.certificate);
  await writeFile(path('leaf.pem'), leaf);
  await writeFile(path('authority.pem'), authority);
  const lists = names.map((name) => Buffer.from(record.lists[name] ?? '', 'base64'));
  for (const [index, list] of lists.entries()) await writeFile(path(`${String(index)}.der`), list);
  const pem = lists.map((_list, index) => openssl('crl', '-inform', 'DER', '-in', path(`${String(index)}.der`)));
  await writeFile(path('lists.pem'), pem.join(''));
  const chain = ['-CAfile', path('root.pem'), '-untrusted', path('authority.pem'), '-CRLfile', path('lists.pem')];
  return openssl('verify', '-x509_strict', '-crl_check_all', '-attime', String(now / 1000), ...chain, path('leaf.pem'));
};
const entry = (issuer: Revoked['issuer'], certificate: X509Certificate): Revoked => ({
  issuer,
  serial: certificate.serialNumber.toLowerCase(),
  name: 'ada',
  at: now,
  endsAt: certificate.validToDate.getTime(),
});

describe('lists of revoked certificates', () => {
  it('let OpenSSL check a whole chain, refuse the leaf or its authority when they are on one, and need every list', async () => {
    const record = await refreshRevocation(fleet, empty, context);
    expect(await verify(record)).toContain('leaf.pem: OK');
    expect(await verify(record, ['operators'])).toContain('unable to get certificate CRL');
    const [leaf, authority] = operatorChain(fleet).map((der) => new X509Certificate(Buffer.from(der)));
    if (leaf === undefined || authority === undefined) throw new Error('the operator has no chain');
    for (const revoked of [[entry('operators', leaf)], [entry('root', authority)]])
      expect(await verify(await refreshRevocation(fleet, { revoked, lists: {} }, context))).toContain('certificate revoked');
  });

  it('are made anew when a third of their life is used or something changed, as far as the keys are here', async () => {
    const record = await refreshRevocation(fleet, empty, context);
    expect(await refreshRevocation(fleet, record, context)).toBe(record);
    const later = { ...context, now: now + 31 * dayMs };
    const renewed = await refreshRevocation({ ...fleet, root: { ...fleet.root, privateKey: null } }, record, later);
    expect(renewed.lists.root).toBe(record.lists.root);
    expect(listEndsAt(Buffer.from(renewed.lists.agents ?? '', 'base64'))).toBe(later.now + 90 * dayMs);
    const changed = await refreshRevocation(fleet, record, { ...context, isChanged: (issuer) => issuer === 'root' });
    expect([changed.lists.root === record.lists.root, changed.lists.agents]).toEqual([false, record.lists.agents]);
    const gone = await refreshRevocation({ root: { ...fleet.root, privateKey: null } }, empty, context);
    expect(gone).toBe(empty);
  });

  it('forget what has ended by itself, and take a thousand', async () => {
    const revoked = Array.from({ length: 1_000 }, (_nothing, index) => ({
      issuer: 'agents' as const,
      serial: (0x4000 + index).toString(16),
      name: '',
      at: now,
      endsAt: index === 0 ? now - 1 : now + dayMs,
    }));
    const record = await refreshRevocation(fleet, { revoked, lists: {} }, context);
    await writeFile(join(folder, 'agents.der'), Buffer.from(record.lists.agents ?? '', 'base64'));
    const text = openssl('crl', '-inform', 'DER', '-in', join(folder, 'agents.der'), '-noout', '-text');
    expect(text.match(/Serial Number/g)).toHaveLength(999);
    expect(text).toContain('X509v3 CRL Number');
  });
});
