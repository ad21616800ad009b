/** `nest snapshot` as a person uses it, on files on a disk, with openssl as the judge of the signature. */
import { execFile } from 'node:child_process';
import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { X509Certificate } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openTestConsole } from '../../desktop/cli/test-console.ts';
import type { TestConsole } from '../../desktop/cli/test-console.ts';
import { openFleetCache } from '../../desktop/core/cache/sqlite-fleet-cache.ts';
import { testPolicyText } from '../../desktop/core/snapshot/test-snapshot.ts';
import { SignedEnvelope } from '../../proto/gen/nest/v1/envelope.ts';
import { SnapshotHeader } from '../../proto/gen/nest/v1/snapshot.ts';
import { signedBytes } from '../../proto/model/envelope.ts';

const run = promisify(execFile);
let opened: TestConsole;
let words: readonly string[];
const at = (name: string): string => join(opened.folder, name);

beforeEach(async () => {
  opened = await openTestConsole('');
  await writeFile(at('words'), 'some eleven words\n');
  words = ['--snapshot-passphrase-file', at('words')];
  await opened.nest(['fleet', 'init', 'Test']);
  expect((await opened.addHost(['--yes'])).code).toBe(0);
});
afterEach(() => opened.close());

/** The agent of the test console has none worth a trace. */
const keepPolicy = (): void => {
  const { cache } = openFleetCache(at('fleet.sqlite'), Date.now());
  const [host] = cache.hosts();
  if (host === undefined) throw new Error('the fleet is empty');
  const { hostId } = host;
  const now = Date.now();
  const revision = {
    hostId,
    revision: 4,
    policy: testPolicyText(),
    generation: 'ab',
    state: 'confirmed',
    author: 'ada',
    comment: '',
    settledReason: '',
    at: now,
  };
  cache.putDocuments([
    { hostId, kind: 'policy', at: now, content: revision },
    { hostId, kind: 'revisions', at: now, content: [] },
  ]);
  cache.close();
};

const snapshot = (...args: string[]) => opened.nest(['snapshot', ...args]);

describe('nest snapshot', () => {
  it('writes a file, tells whose it is, looks into it, compares it, and refuses it changed', async () => {
    const file = at('one.nestsnap');
    keepPolicy();
    const made = await snapshot('create', file, '--profile', 'diagnostic', ...words);
    expect([made.code, made.out]).toEqual([0, expect.stringMatching(/^1 host, profile diagnostic, \d+ bytes in /)]);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect((await snapshot('create', at('fresh.nestsnap'), '--fresh', ...words)).code).toBe(0);
    expect(await snapshot('create', file, ...words)).toMatchObject({ code: 1, notes: expect.stringContaining('STATE_FAILED') });

    const info = await snapshot('info', file);
    expect(info.out).toMatch(
      /^Fleet +Test .*\nMade .*\nAuthor +operator\/.*\nDevice .*\nRoot +[0-9a-f]{64}, of this console’s own fleet\nHolds +1 host, profile diagnostic\nOpens with +a passphrase/,
    );
    expect((await snapshot('verify', file)).code).toBe(0);
    expect((await snapshot('hosts', file, '--where', 'edge', ...words)).out).toMatch(/^NAME .*\nedge-1 /);
    expect(JSON.parse((await snapshot('hosts', file, '--where', 'nothing', '--json', ...words)).out)).toMatchObject({
      matched: 0,
      total: 1,
    });
    expect((await snapshot('show', file, 'edge-1', ...words)).out).toMatch(/^Host +edge-1 \([0-9A-Z]{26}\)\nAddress +127\.0\.0\.1/);
    const policy = await snapshot('show', file, 'edge-1', '--policy', ...words);
    expect([policy.code, Object.keys(JSON.parse(policy.out) as object)]).toEqual([0, expect.arrayContaining(['mappings'])]);
    const trace = await snapshot(
      'trace',
      file,
      'edge-1',
      '--interface',
      'eth0',
      '--source',
      '198.18.3.4',
      '--destination',
      '198.19.1.9',
      '--port',
      '443',
      ...words,
    );
    expect([trace.code, trace.out]).toEqual([0, expect.stringMatching(/^ALLOWED .*\(to-web\)\n/)]);
    const changed = await snapshot('compare', file, ...words);
    expect([changed.code, changed.out]).toEqual([1, expect.stringMatching(/~ edge-1\n(.*\n)* +policy: [0-9a-f]{12} > [0-9a-f]{12}\n/)]);
    expect((await snapshot('compare', file, file, ...words)).out).toContain('1 the same');
    expect(await snapshot('show', file, 'edge-9', ...words)).toMatchObject({ code: 1, notes: expect.stringContaining('HOST_UNKNOWN') });
    await writeFile(at('other'), 'not those words\n');
    expect(await snapshot('hosts', file, '--snapshot-passphrase-file', at('other'))).toMatchObject({
      code: 1,
      notes: expect.stringContaining('PASSPHRASE_WRONG'),
    });

    const bytes = await readFile(file);
    bytes[bytes.length - 40] = (bytes.at(-40) ?? 0) ^ 1;
    await writeFile(at('two.nestsnap'), bytes);
    for (const command of [['verify'], ['info'], ['hosts', ...words]])
      expect(await snapshot(command[0] ?? '', at('two.nestsnap'), ...command.slice(1))).toMatchObject({
        code: 1,
        notes: expect.stringContaining('SNAPSHOT_INVALID'),
      });
    expect(await opened.nest(['--data', file, 'hosts', 'ls'])).toMatchObject({ code: 1, notes: expect.stringContaining('READ_ONLY') });
  });

  it('makes a file for a key, which opens on a machine that knows no fleet', async () => {
    const key = at('key.json');
    const unlocks = ['--identity', key, '--identity-passphrase-file', at('words')];
    const { out } = await snapshot('keygen', key, '--identity-passphrase-file', at('words'));
    const [recipient = ''] = out.split('\n');
    expect(recipient).toMatch(/^nestrcpt1\.[\w-]{48}$/);
    expect((await stat(key)).mode & 0o777).toBe(0o600);
    expect((await snapshot('recipients', 'add', 'field', recipient)).out).toContain('field');
    expect(await snapshot('recipients', 'add', 'other', recipient.slice(0, -1))).toMatchObject({
      code: 1,
      notes: expect.stringContaining('INPUT_INVALID'),
    });
    const file = at('field.nestsnap');
    const { info } = JSON.parse((await snapshot('create', file, '--to', 'field', '--json')).out) as {
      info: { rootSha256: string; hasPassphrase: boolean };
    };
    expect(info.hasPassphrase).toBe(false);
    expect((await snapshot('hosts', file, ...unlocks)).out).toContain('edge-1');
    expect(await snapshot('hosts', file, ...words)).toMatchObject({ code: 1, notes: expect.stringContaining('PROOF_INVALID') });

    const elsewhere = await openTestConsole('');
    try {
      expect(await elsewhere.nest(['snapshot', 'verify', file])).toMatchObject({
        code: 1,
        notes: expect.stringContaining(info.rootSha256),
      });
      expect(await elsewhere.nest(['snapshot', 'hosts', file, ...unlocks])).toMatchObject({
        code: 1,
        notes: expect.stringContaining('SNAPSHOT_FOREIGN'),
      });
      expect((await elsewhere.nest(['snapshot', 'hosts', file, ...unlocks, '--root-sha256', info.rootSha256])).out).toContain('edge-1');
    } finally {
      await elsewhere.close();
    }
    expect((await snapshot('recipients', 'rm', 'field')).out).toBe('NAME  RECIPIENT');
  });

  it('has a signature that openssl accepts, over hashes that sha256sum finds', async () => {
    const file = at('one.nestsnap');
    await snapshot('create', file, ...words);
    const bytes = await readFile(file);
    const length = bytes.readUInt32BE(12);
    const envelope = SignedEnvelope.decode(bytes.subarray(16, 16 + length));
    const [signature] = envelope.signatures;
    if (signature === undefined) throw new Error('the file is not signed');
    const header = SnapshotHeader.decode(envelope.payload);
    const pem = (der: Uint8Array): string => new X509Certificate(Buffer.from(der)).toString();
    await writeFile(at('root.pem'), pem(header.fleetRoot));
    await writeFile(at('chain.pem'), signature.certificateChain.map(pem).join(''));
    await writeFile(at('signed'), signedBytes(envelope.payloadType, envelope.payload));
    await writeFile(at('signature'), derOf(signature.signature));
    expect((await run('openssl', ['verify', '-CAfile', at('root.pem'), '-untrusted', at('chain.pem'), at('chain.pem')])).stdout).toContain(
      'OK',
    );
    await writeFile(at('key.pem'), (await run('openssl', ['x509', '-in', at('chain.pem'), '-noout', '-pubkey'])).stdout);
    expect(
      (await run('openssl', ['dgst', '-sha256', '-verify', at('key.pem'), '-signature', at('signature'), at('signed')])).stdout,
    ).toContain('Verified OK');
    await writeFile(at('chunk'), bytes.subarray(16 + length, 16 + length + (header.chunks[0]?.sealedBytes ?? 0)));
    expect((await run('sha256sum', [at('chunk')])).stdout.split(' ')[0]).toBe(Buffer.from(header.chunks[0]?.sha256 ?? []).toString('hex'));
  });
});

/** A sequence of two integers, as openssl expects it. */
const derOf = (signature: Uint8Array): Buffer => {
  const integer = (part: Uint8Array): Buffer => {
    const trimmed = part.subarray(
      Math.max(
        0,
        part.findIndex((byte) => byte !== 0),
      ),
    );
    const value = (trimmed[0] ?? 0) >= 128 ? Buffer.concat([Buffer.alloc(1), trimmed]) : Buffer.from(trimmed);
    return Buffer.concat([Buffer.from([2, value.length]), value]);
  };
  const body = Buffer.concat([integer(signature.subarray(0, 32)), integer(signature.subarray(32))]);
  return Buffer.concat([Buffer.from([48, body.length]), body]);
};
