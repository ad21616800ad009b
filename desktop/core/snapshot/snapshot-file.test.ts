/** Files of people who mean harm: nothing of them is believed, nothing of them takes much time or memory. */
import { createCipheriv, createHash, createPublicKey, generateKeyPairSync } from 'node:crypto';
import { brotliCompressSync, constants } from 'node:zlib';
import { beforeAll, describe, expect, it } from 'vitest';
import { SnapshotHeader as WireHeader } from '../../../proto/gen/nest/v1/snapshot.ts';
import { SignedEnvelope } from '../../../proto/gen/nest/v1/envelope.ts';
import { sealEnvelope } from '../../../proto/model/envelope.ts';
import type { EnvelopeSigner } from '../../../proto/model/envelope.ts';
import { toErrorShape } from '../../../proto/model/error.ts';
import { encodeSnapshotHeader, snapshotBytesMax, snapshotType } from '../../../proto/model/snapshot.ts';
import type { SnapshotHeader } from '../../../proto/model/snapshot.ts';
import { systemRandom } from '../../lib/api.ts';
import type { FleetKeys } from '../authority/fleet-authority.ts';
import { operatorSigner } from '../authority/operator-signer.ts';
import { chunkKeyOf } from './snapshot-chunk.ts';
import { readSnapshotFile, writeSnapshotFile } from './snapshot-file.ts';
import { keyCommitmentOf, makeIdentity, openIdentity, parseRecipient, recipientText, wrapFileKey } from './snapshot-key.ts';
import { SnapshotReader } from './snapshot-reader.ts';
import { testEntry, testFile, testFleetKeys, testHostId, testNow, testPolicyText, testTitle } from './test-snapshot.ts';

const words = 'correct horse battery';
let keys: FleetKeys;
/** Opens with `holder`, without a passphrase: key derivation is slow on purpose. */
let small: Buffer;
const holder = generateKeyPairSync('x25519');
const holderKey = holder.publicKey.export({ type: 'spki', format: 'der' }).subarray(-32);
const identity = { kind: 'identity', key: holder.privateKey } as const;
const byKey = { passphrase: null, keys: [holderKey] };

beforeAll(async () => {
  keys = await testFleetKeys();
  small = await testFile({ keys, readers: byKey });
});

const codeOf = (work: () => unknown): string => {
  try {
    work();
    return 'accepted';
  } catch (error) {
    return toErrorShape(error).code;
  }
};
const codeOfAsync = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'accepted',
    (error: unknown) => toErrorShape(error).code,
  );
const refused = /^SNAPSHOT_(INVALID|FOREIGN)$/;

describe('a snapshot file', () => {
  it('opens for the holder of a key and for who knows the words, and holds what went in', async () => {
    const policy = testPolicyText();
    const entries = [1, 2, 3].map((index) => testEntry(index, { policy, documents: { host: { at: testNow, content: { index } } } }));
    const file = await testFile({
      keys,
      readers: { passphrase: words, keys: [holderKey] },
      entries,
      imageOf: () => new Uint8Array([1, 2, 3]),
    });
    for (const secret of [identity, { kind: 'passphrase', passphrase: words } as const]) {
      const reader = await SnapshotReader.open(readSnapshotFile(file, testNow), secret);
      expect(reader.hosts.map(({ row }) => row.name)).toEqual(['edge-1', 'edge-2', 'edge-3']);
      const host = reader.host(testHostId(2));
      expect([await reader.policy(host), await reader.image(host)]).toEqual([policy, new Uint8Array([1, 2, 3])]);
      expect((await reader.documents(host)).host?.content).toEqual({ index: 2 });
      expect(reader.policyHash(host)).toBe(createHash('sha256').update(policy).digest('hex'));
      expect(codeOf(() => reader.host(testHostId(9)))).toBe('HOST_UNKNOWN');
    }
  });

  it('is refused after any one byte of it was changed, without a key', () => {
    expect(small.length).toBeLessThan(6_000);
    const accepted: number[] = [];
    for (let place = 0; place < small.length; place += 1) {
      const flipped = Buffer.from(small);
      flipped[place] = (flipped[place] ?? 0) ^ (1 << (place % 8));
      if (!refused.test(codeOf(() => readSnapshotFile(flipped, testNow)))) accepted.push(place);
    }
    expect(accepted).toEqual([]);
    // Two seconds of a processor: eight times that when others want it, too.
  }, 60_000);

  it('is refused when it is cut short anywhere, or has something behind its end', () => {
    for (let length = 0; length < small.length; length += 97)
      expect(codeOf(() => readSnapshotFile(small.subarray(0, length), testNow))).toBe('SNAPSHOT_INVALID');
    expect(codeOf(() => readSnapshotFile(small.subarray(0, -1), testNow))).toBe('SNAPSHOT_INVALID');
    expect(codeOf(() => readSnapshotFile(Buffer.concat([small, Buffer.alloc(1)]), testNow))).toBe('SNAPSHOT_INVALID');
    expect(codeOf(() => readSnapshotFile(Buffer.alloc(snapshotBytesMax + 1), testNow))).toBe('SNAPSHOT_INVALID');
  });

  it('opens with no other words and no other key', async () => {
    const file = await testFile({ keys, readers: { passphrase: words, keys: [] } });
    const signed = readSnapshotFile(file, testNow);
    expect(await codeOfAsync(SnapshotReader.open(signed, { kind: 'passphrase', passphrase: 'correct horse batteries' }))).toBe(
      'PASSPHRASE_WRONG',
    );
    expect(await codeOfAsync(SnapshotReader.open(signed, identity))).toBe('PROOF_INVALID');
    const stranger = { kind: 'identity', key: generateKeyPairSync('x25519').privateKey } as const;
    const closed = readSnapshotFile(small, testNow);
    expect(await codeOfAsync(SnapshotReader.open(closed, stranger))).toBe('PROOF_INVALID');
    expect(await codeOfAsync(SnapshotReader.open(closed, { kind: 'passphrase', passphrase: words }))).toBe('PROOF_INVALID');
    expect(await codeOfAsync(testFile({ keys, readers: { passphrase: 'short', keys: [] } }))).toBe('PASSPHRASE_WEAK');
    expect(await codeOfAsync(testFile({ keys, readers: { passphrase: null, keys: [] } }))).toBe('INPUT_INVALID');
  });

  it('outlives the certificate of its author, but is not of the future', () => {
    expect(readSnapshotFile(small, testNow + 400 * 86_400_000).author.subject).toBe(`spiffe://${keys.fleetId}/operator/ada`);
    expect(codeOf(() => readSnapshotFile(small, testNow - 11 * 60_000))).toBe('SNAPSHOT_INVALID');
  });
});

/** A file whose header says what `change` makes of it, signed by who it says. */
const forged = async (
  change: (header: SnapshotHeader) => Partial<SnapshotHeader>,
  signer: EnvelopeSigner,
  chunks?: readonly Buffer[],
): Promise<Buffer> => {
  const { header, chunks: own } = readSnapshotFile(small, testNow);
  return writeSnapshotFile({ ...header, ...change(header) }, chunks ?? own, signer);
};

describe('the author of a snapshot', () => {
  it('is an operator of the fleet whose root the file names, and nobody else', async () => {
    const other = await testFleetKeys('01j00000000000000000000009');
    const root = operatorSigner(() => ({ root: keys.root, operator: { ...keys.root, privateKey: keys.root.privateKey ?? '' } }));
    const bare = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
    const authority = keys.authorities?.operators ?? keys.root;
    const signers: Readonly<Record<string, EnvelopeSigner>> = {
      'an operator of another fleet': operatorSigner(() => other),
      'the chain of another, with a key of its own': { ...operatorSigner(() => keys), privateKey: bare.privateKey },
      'a key without a certificate': { ...bare, certificateChain: [] },
      'an authority': operatorSigner(() => ({
        root: keys.root,
        operator: { certificate: authority.certificate, privateKey: authority.privateKey ?? '' },
      })),
      'the root itself': { ...root, certificateChain: [] },
    };
    for (const [who, signer] of Object.entries(signers))
      expect([
        who,
        codeOf(() => readSnapshotFile(small, testNow)),
        await codeOfAsync(forged(() => ({}), signer).then((file) => readSnapshotFile(file, testNow))),
      ]).toEqual([who, 'accepted', 'SNAPSHOT_FOREIGN']);
    // The whole of another fleet is sound in itself: whose root it is, is for the reader to say.
    const foreign = await testFile({ keys: other, readers: byKey });
    expect(readSnapshotFile(foreign, testNow).rootSha256).not.toBe(readSnapshotFile(small, testNow).rootSha256);
    expect(
      await codeOfAsync(
        forged(
          () => ({ author: `spiffe://${keys.fleetId}/operator/bob` }),
          operatorSigner(() => keys),
        ).then((file) => readSnapshotFile(file, testNow)),
      ),
    ).toBe('SNAPSHOT_FOREIGN');
  });

  it('signs nothing that is for another use, or that is written in two ways', () => {
    const { header, chunks } = readSnapshotFile(small, testNow);
    const rewritten = (envelope: Uint8Array): Buffer => {
      const prefix = Buffer.from(small.subarray(0, 16));
      prefix.writeUInt32BE(envelope.length, 12);
      return Buffer.concat([prefix, envelope, ...chunks]);
    };
    const sealed = sealEnvelope(snapshotType, encodeSnapshotHeader(header), [operatorSigner(() => keys)]);
    const bytes = SignedEnvelope.encode(sealed).finish();
    expect(codeOf(() => readSnapshotFile(rewritten(bytes), testNow))).toBe('accepted');
    // An unknown field: 15, one byte.
    expect(codeOf(() => readSnapshotFile(rewritten(Buffer.concat([bytes, Buffer.from([0x78, 1])])), testNow))).toBe('SNAPSHOT_INVALID');
    const other = sealEnvelope('nest.intent.v1', encodeSnapshotHeader(header), [operatorSigner(() => keys)]);
    expect(codeOf(() => readSnapshotFile(rewritten(SignedEnvelope.encode(other).finish()), testNow))).toBe('SNAPSHOT_INVALID');
    const twice = { ...sealed, signatures: [...sealed.signatures, ...sealed.signatures] };
    expect(codeOf(() => readSnapshotFile(rewritten(SignedEnvelope.encode(twice).finish()), testNow))).toBe('SNAPSHOT_INVALID');
  });
});

/** One chunk of what `plain` compresses to, that says it holds `plainBytes`. */
const bombed = async (packed: Buffer, plainBytes: number): Promise<Buffer> => {
  const snapshotId = Buffer.alloc(16, 7);
  const fileKey = Buffer.alloc(32, 9);
  const cipher = createCipheriv('aes-256-gcm', chunkKeyOf(fileKey, snapshotId).key, Buffer.alloc(12));
  cipher.setAAD(Buffer.concat([snapshotId, Buffer.alloc(4), Buffer.from('index')]));
  const bytes = Buffer.concat([cipher.update(packed), cipher.final(), cipher.getAuthTag()]);
  const chunk = { kind: 'index', plainBytes, sealedBytes: bytes.length, sha256: createHash('sha256').update(bytes).digest() } as const;
  const recipients = await wrapFileKey({ key: fileKey, snapshotId }, byKey, systemRandom);
  return writeSnapshotFile(
    { ...testTitle(keys), snapshotId, hosts: 0, recipients, keyCommitment: keyCommitmentOf(fileKey), chunks: [chunk] },
    [bytes],
    operatorSigner(() => keys),
  );
};

describe('a signed file of an author who means harm', () => {
  it('that decompresses without an end stops at what it said', async () => {
    // A thousand times what it says, at the lowest quality.
    const bomb = brotliCompressSync(Buffer.alloc(64 << 20), { params: { [constants.BROTLI_PARAM_QUALITY]: 1 } });
    expect(bomb.length).toBeLessThan(100_000);
    const before = process.memoryUsage.rss();
    for (const plainBytes of [100, 64 << 10])
      expect(await codeOfAsync(SnapshotReader.open(readSnapshotFile(await bombed(bomb, plainBytes), testNow), identity))).toBe(
        'SNAPSHOT_INVALID',
      );
    expect(process.memoryUsage.rss() - before).toBeLessThan(48 << 20);
  });

  it('that holds less than it says, no index, or an index of something else is refused', async () => {
    const open = async (text: string, more = 0): Promise<string> => {
      const plain = Buffer.from(text);
      return codeOfAsync(
        SnapshotReader.open(readSnapshotFile(await bombed(brotliCompressSync(plain), plain.length + more), testNow), identity),
      );
    };
    const left = { flows: 0, images: 0, documents: 0 };
    const none = ['v', []];
    expect(await open(JSON.stringify({ hosts: none, blobs: none, left }))).toBe('accepted');
    expect(await open(JSON.stringify({ hosts: none, blobs: none, left }), 1)).toBe('SNAPSHOT_INVALID');
    for (const text of [
      '[]',
      '{"hosts":[]}',
      '['.repeat(100_000),
      '{"hosts":[{}],"blobs":[],"left":{}}',
      '{"__proto__":{}}',
      JSON.stringify({ hosts: ['c', 4e9, {}], blobs: none, left }),
    ])
      expect(await open(text)).toBe('SNAPSHOT_INVALID');
  });

  it('with huge counts is refused before anything is made of them', async () => {
    const { header } = readSnapshotFile(small, testNow);
    const wire = WireHeader.decode(encodeSnapshotHeader(header));
    const [chunk] = wire.chunks;
    const [recipient] = wire.recipients;
    if (chunk === undefined || recipient === undefined) throw new Error('the test file is empty');
    const passphrase = { salt: Buffer.alloc(16), memoryKib: 4_194_304, passes: 1, lanes: 1 };
    const changes: readonly Partial<WireHeader>[] = [
      { hosts: 4_000_000_000 },
      { chunks: Array.from({ length: 5_000 }, () => chunk) },
      { chunks: [{ ...chunk, plainBytes: 4_000_000_000 }] },
      { chunks: [{ ...chunk, sealedBytes: 4_000_000_000 }] },
      { chunks: Array.from({ length: 100 }, () => ({ ...chunk, kind: 'index', plainBytes: 8 << 20 })) },
      { chunks: [] },
      { recipients: Array.from({ length: 1_000 }, () => recipient) },
      { recipients: [] },
      { recipients: [{ ...recipient, recipient: { $case: 'passphrase', value: passphrase } }] },
      {
        recipients: [
          { ...recipient, recipient: { $case: 'passphrase', value: { ...passphrase, memoryKib: 65_536, passes: 4_000_000_000 } } },
        ],
      },
      { recipients: [{ ...recipient, recipient: undefined }] },
      { createdAtMs: 2n ** 63n },
      { fleetName: 'x'.repeat(10_000) },
      { codec: 'none' },
      { profile: 'everything' },
      { version: 2 },
    ];
    for (const change of changes) {
      const payload = WireHeader.encode(WireHeader.fromPartial({ ...wire, ...change })).finish();
      const envelope = SignedEnvelope.encode(sealEnvelope(snapshotType, payload, [operatorSigner(() => keys)])).finish();
      const prefix = Buffer.from(small.subarray(0, 16));
      prefix.writeUInt32BE(envelope.length, 12);
      const file = Buffer.concat([prefix, envelope, ...readSnapshotFile(small, testNow).chunks]);
      expect([Object.keys(change), codeOf(() => readSnapshotFile(file, testNow))]).toEqual([Object.keys(change), 'SNAPSHOT_INVALID']);
    }
  });

  it('that opens with two keys, or whose chunks stand in another order, is refused', async () => {
    const signed = readSnapshotFile(small, testNow);
    const other = await forged(
      () => ({ keyCommitment: Buffer.alloc(32) }),
      operatorSigner(() => keys),
    );
    expect(await codeOfAsync(SnapshotReader.open(readSnapshotFile(other, testNow), identity))).toBe('SNAPSHOT_INVALID');
    const turned = await forged(
      ({ chunks }) => ({ chunks: chunks.toReversed() }),
      operatorSigner(() => keys),
      signed.chunks.toReversed(),
    );
    expect(await codeOfAsync(SnapshotReader.open(readSnapshotFile(turned, testNow), identity))).toBe('SNAPSHOT_INVALID');
  });
});

describe('keys of recipients', () => {
  it('travel as text that shows a wrong letter, and rest under a passphrase', async () => {
    const { recipient, file } = await makeIdentity(words, systemRandom);
    const key = await openIdentity(file, words);
    expect(recipientText(createPublicKey(key).export({ type: 'spki', format: 'der' }).subarray(-32))).toBe(recipient);
    expect(recipientText(parseRecipient(` ${recipient}\n`))).toBe(recipient);
    const wrong = recipient.replace(/.(.{5})$/, (end) => (end.startsWith('a') ? 'b' : 'a') + end.slice(1));
    for (const text of [wrong, recipient.slice(0, -1), 'nestrcpt1.', '', recipient.toUpperCase()])
      expect(codeOf(() => parseRecipient(text))).toBe('INPUT_INVALID');
    expect(await codeOfAsync(openIdentity(file, 'some other words'))).toBe('PASSPHRASE_WRONG');
    expect(await codeOfAsync(openIdentity('{}', words))).toBe('INPUT_INVALID');
    expect(file).not.toContain('PRIVATE KEY');
  });

  it('that give a secret everybody knows are refused', async () => {
    expect(await codeOfAsync(testFile({ keys, readers: { passphrase: null, keys: [Buffer.alloc(32)] } }))).toBe('INPUT_INVALID');
  });
});
