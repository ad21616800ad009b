import { execFileSync } from 'node:child_process';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { AccessView } from '../bridge/model.ts';
import { openTestConsole } from './test-console.ts';
import type { TestConsole } from './test-console.ts';

let opened: TestConsole;
const nest: TestConsole['nest'] = (args) => opened.nest(args);
const done = async (...args: readonly string[]): Promise<string> => {
  const { code, out, notes } = await nest(['access', ...args]);
  expect(`${args.join(' ')}: ${String(code)} ${notes}`).toBe(`${args.join(' ')}: 0 `);
  return out;
};
const refused = async (...args: readonly string[]): Promise<string> => {
  const { code, out, notes } = await nest(['access', ...args]);
  return `${String(code)} ${notes}${out}`;
};

beforeEach(async () => {
  opened = await openTestConsole('');
  await nest(['fleet', 'init', 'Test', '--operator', 'Ada']);
});
afterEach(() => opened.close());

describe('nest access', () => {
  it('shows the bundle that a new fleet begins with', async () => {
    expect(await done('show')).toMatch(/^Bundle {7}epoch 1, revision 1, [0-9a-f]{12}\nSigned .*by operator\/ada\n/);
    const view = JSON.parse(await done('show', '--json')) as AccessView;
    expect(view).toMatchObject({ head: { revision: 1 }, self: { isOwner: true }, forks: [], hosts: [] });
  });

  it('makes people, roles and bindings, and tells who may do what', { timeout: 60_000 }, async () => {
    await done('operators', 'put', 'bob', '--title', 'Bob');
    await done('roles', 'put', 'flow-reader', 'flows:read', 'telemetry:*');
    await done('bindings', 'add', 'operator/bob', 'flow-reader', 'mapping/web');
    expect(await done('operators')).toMatch(/operator\/bob +flow-reader@mapping\/web +no +Bob/);
    expect(await done('roles')).toMatch(/flow-reader +custom +flows:read telemetry:\*/);
    expect(await done('check', 'operator/bob', 'flows:read', '--mapping', 'web')).toBe('allowed');
    expect(await refused('check', 'operator/bob', 'flows:read')).toBe('1 refused: SCOPE_MISSING');
    await done('lock', 'operator/bob', '--reason', 'lost laptop');
    expect(await refused('check', 'operator/bob', 'flows:read', '--mapping', 'web')).toBe('1 refused: REVOKED');
    await done('unlock', 'operator/bob');
    expect(await done('check', 'operator/bob', 'flows:read', '--mapping', 'web')).toBe('allowed');
    expect(await refused('bindings', 'add', 'operator/nobody', 'viewer')).toMatch(/^1 error ACCESS_INVALID: .*neither operator nor client/);
    expect(await refused('roles', 'put', 'odd', 'flows:own')).toMatch(/^1 error INPUT_INVALID/);
    expect(await refused('roles', 'rm', 'flow-reader')).toMatch(/^1 error INPUT_INVALID: .*bound/);
  });

  it('shows a key of a client once, and rotates it', { timeout: 60_000 }, async () => {
    await done('clients', 'put', 'backup');
    const key = /nestkey1\.[\w-]{43}/.exec(await done('clients', 'key', 'backup', '--days', '30'))?.[0];
    expect(key).toBeDefined();
    const answer = JSON.parse(await done('clients', 'key', 'backup', '--json')) as {
      readonly clientKey: string;
      readonly view: AccessView;
    };
    expect(answer.clientKey).not.toBe(key);
    expect(await refused('clients', 'key', 'backup')).toMatch(/^1 error LIMIT_REACHED/);
    const [old] = answer.view.clients[0]?.keys ?? [];
    await done('clients', 'revoke-key', 'backup', old?.keyId ?? '');
    expect(await done('clients')).not.toContain(old?.keyId);
    expect(await done('clients', '--json')).not.toContain(key);
  });

  it('writes the certificate of a client into a file of its own, once', async () => {
    const file = join(opened.folder, 'backup.pem');
    await done('clients', 'put', 'backup');
    await done('clients', 'certificate', 'backup', file);
    const text = await readFile(file, 'utf8');
    // Its key, its certificate, that of the authority for operators and clients, and the fleet root's.
    expect(text.match(/^-----BEGIN [A-Z ]+-----$/gm)).toEqual([
      '-----BEGIN PRIVATE KEY-----',
      '-----BEGIN CERTIFICATE-----',
      '-----BEGIN CERTIFICATE-----',
      '-----BEGIN CERTIFICATE-----',
    ]);
    const judged = execFileSync('openssl', ['x509', '-in', file, '-noout', '-ext', 'subjectAltName'], { encoding: 'utf8' });
    expect(judged).toMatch(/URI:spiffe:\/\/[0-9a-z]{26}\/client\/backup\n/);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect(await refused('clients', 'certificate', 'backup', file)).toMatch(/^1 error INPUT_INVALID/);
    expect(await refused('clients', 'certificate', 'nobody', `${file}2`)).toMatch(/^1 error NOT_FOUND/);
  });

  it('refuses what is no proposal, no side and no owner key, each with its code', async () => {
    await writeFile(join(opened.folder, 'proposal'), 'AAAA');
    expect(await refused('cosign', join(opened.folder, 'proposal'))).toMatch(/^1 error (INPUT_INVALID|ACCESS_INVALID)/);
    expect(await refused('merge', '--keep', 'mine')).toMatch(/^2 error: --keep is one of ours, theirs/);
    expect(await refused('merge', '--keep', 'ours')).toMatch(/^1 error NOT_FOUND/);
    expect(await refused('owners', 'add', 'bob', 'AAAA')).toMatch(/^1 error INPUT_INVALID/);
    expect(await refused('epoch')).toMatch(/^2 error: .*--yes/);
    expect(await done('epoch', '--yes')).toMatch(/^A new epoch has begun\./);
    expect(await done('key')).toMatch(/^operator\/ada\nKey id {6}[0-9a-f]{64}\nPublic key {2}\S+/);
  });
});
