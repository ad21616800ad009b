import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { CertificateList } from '../bridge/model.ts';
import { openTestConsole } from './test-console.ts';
import type { TestConsole } from './test-console.ts';

let opened: TestConsole;
const nest = (...args: readonly string[]) => opened.nest(args);
beforeEach(async () => {
  opened = await openTestConsole('');
  await nest('fleet', 'init', 'Test', '--operator', 'ada');
});
afterEach(() => opened.close());

describe('nest fleet certificates and revoke', () => {
  it('say of this device, when it is named, how it is revoked', async () => {
    const { rows } = JSON.parse((await nest('fleet', 'certificates', '--json')).out) as CertificateList;
    const own = rows.find(({ name }) => name === 'ada (this device)');
    const { code, notes } = await nest('fleet', 'revoke', 'ada', '--yes');
    expect([code, notes]).toEqual([1, expect.stringContaining(`ada is this device`)]);
    expect(notes).toContain(`revoke its serial number ${own?.serial ?? 'missing'} on the console of another owner`);
    expect((await nest('fleet', 'revoke', 'nobody', '--yes')).notes).toContain('There is no certificate nobody.');
  });

  it('list the access bundle with who renews it, programs and their keys, and revoke a program', async () => {
    await nest('access', 'clients', 'put', 'backup');
    const pem = join(opened.folder, 'backup.pem');
    for (const file of [pem, `${pem}2`]) await nest('access', 'clients', 'certificate', 'backup', file);
    await nest('access', 'clients', 'key', 'backup', '--days', '5');
    const list = async () => (JSON.parse((await nest('fleet', 'certificates', '--json')).out) as CertificateList).rows;
    const rows = await list();
    expect(rows.find(({ kind }) => kind === 'access-bundle')).toMatchObject({
      name: 'access bundle, epoch 1, revision 3',
      alert: 'none',
      note: expect.stringContaining('"nest access renew"'),
    });
    expect(rows.find(({ kind }) => kind === 'client-key')).toMatchObject({
      name: expect.stringMatching(/^client\/backup key [0-9a-f]{8}$/),
      alert: 'week',
      note: expect.stringContaining('"nest access clients key backup"'),
    });
    const [older, newer] = rows.filter(({ kind }) => kind === 'client');
    expect([older?.note, newer?.note]).toEqual([
      expect.stringContaining('A newer one'),
      expect.stringContaining('"nest access clients certificate backup <file>"'),
    ]);
    const serial = new X509Certificate(await readFile(`${pem}2`)).serialNumber.toLowerCase();
    expect(newer).toMatchObject({ name: 'client/backup', serial, alert: 'none', isRevoked: false });
    expect(await nest('fleet', 'revoke', serial, '--yes')).toMatchObject({ code: 0 });
    expect((await list()).filter(({ kind, isRevoked }) => kind === 'client' && isRevoked).map((row) => row.serial)).toEqual([serial]);
  });
});
