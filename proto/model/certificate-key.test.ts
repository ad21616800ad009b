import { X509Certificate } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { subjectPublicKeyInfo } from './certificate-key.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'nest-certificate-key-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const certificateOf = (key: readonly string[]): X509Certificate => {
  const path = join(folder, 'certificate.pem');
  execFileSync(
    'openssl',
    ['req', '-x509', ...key, '-nodes', '-keyout', join(folder, 'key.pem'), '-out', path, '-subj', '/O=Nest/CN=test', '-days', '2'],
    { stdio: 'pipe' },
  );
  return new X509Certificate(readFileSync(path));
};

it('finds the key that OpenSSL finds, of every kind', () => {
  const keys = [
    ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1'],
    ['-newkey', 'rsa:2048'],
    ['-newkey', 'ed25519'],
  ];
  for (const key of keys) {
    const certificate = certificateOf(key);
    const found = subjectPublicKeyInfo(certificate.raw);
    expect(found && Buffer.from(found).equals(certificate.publicKey.export({ type: 'spki', format: 'der' }))).toBe(true);
  }
});

it('finds nothing in what is cut off, longer than it says, or written with other lengths than the shortest', () => {
  const { raw } = certificateOf(['-newkey', 'ed25519']);
  expect(subjectPublicKeyInfo(Buffer.concat([raw, Buffer.of(0)]))).toBe(null);
  for (let length = 0; length < raw.length; length += 1) expect(subjectPublicKeyInfo(raw.subarray(0, length))).toBe(null);
  // The outermost length with a digit more, and as an indefinite one.
  expect(raw[1]).toBe(0x82);
  expect(subjectPublicKeyInfo(Buffer.concat([Buffer.of(0x30, 0x83, 0), raw.subarray(2)]))).toBe(null);
  expect(subjectPublicKeyInfo(Buffer.concat([Buffer.of(0x30, 0x80), raw.subarray(4), Buffer.of(0, 0)]))).toBe(null);
});
