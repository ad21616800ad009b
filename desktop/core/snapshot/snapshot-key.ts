/** Who can open a snapshot: its file key, wrapped for a passphrase and for holders of X25519 keys. */
import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  hkdfSync,
} from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { z } from 'zod';
import { NestError } from '../../../proto/model/error.ts';
import type { KeyRecipient, PassphraseRecipient, SnapshotHeader, SnapshotRecipient } from '../../../proto/model/snapshot.ts';
import type { RandomBytes } from '../../lib/api.ts';
import { deriveKey, kdfCostDefault, refuseWeakPassphrase } from '../vault/passphrase-key.ts';
import { openText, sealText } from '../vault/sealed-text.ts';

const recipientPrefix = 'nestrcpt1.';
const recipientInfo = 'nest snapshot recipient 1';
const commitmentLabel = 'nest snapshot key 1';
const identityLabel = 'nest snapshot identity 1';
const keyBytes = 32;
const checkBytes = 4;
const nonceBytes = 12;
const tagBytes = 16;
/** What a public key looks like in DER before its 32 bytes (RFC 8410). */
const spkiPrefix = Buffer.from('302a300506032b656e032100', 'hex');

/** What opens a file: the words, or a private key. */
export type SnapshotSecret =
  { readonly kind: 'passphrase'; readonly passphrase: string } | { readonly kind: 'identity'; readonly key: KeyObject };

/** Public keys of 32 bytes. */
export interface SnapshotReaders {
  readonly passphrase: string | null;
  readonly keys: readonly Uint8Array[];
}

/** SHA-256 that ties a header to one file key. */
export const keyCommitmentOf = (fileKey: Uint8Array): Buffer => createHash('sha256').update(commitmentLabel).update(fileKey).digest();

/** Wraps the file key for everybody who shall read. Raises PASSPHRASE_WEAK, INPUT_INVALID when there is nobody. */
export const wrapFileKey = async (
  file: { readonly key: Uint8Array; readonly snapshotId: Uint8Array },
  readers: SnapshotReaders,
  random: RandomBytes,
): Promise<readonly SnapshotRecipient[]> => {
  if (readers.passphrase === null && readers.keys.length === 0)
    throw new NestError('INPUT_INVALID', 'Nobody could open this snapshot. Give a passphrase, or a recipient.');
  const wrapped: SnapshotRecipient[] = [];
  if (readers.passphrase !== null) {
    refuseWeakPassphrase(readers.passphrase);
    const kdf = { salt: Buffer.from(random(16)), ...kdfCostDefault };
    const key = await passphraseKey(readers.passphrase, kdf);
    wrapped.push({ kind: 'passphrase', ...kdf, box: seal(file, key, random) });
  }
  for (const recipient of readers.keys) {
    const ephemeral = generateKeyPairSync('x25519');
    const ephemeralKey = rawKeyOf(ephemeral.publicKey);
    const key = agreedKey(ephemeral.privateKey, { theirs: recipient, ephemeralKey, recipientKey: recipient });
    wrapped.push({ kind: 'key', ephemeralKey, recipientId: recipientIdOf(recipient), box: seal(file, key, random) });
  }
  return wrapped;
};

/** The file key. Raises PASSPHRASE_WRONG, PROOF_INVALID when the file was not made for this key, SNAPSHOT_INVALID. */
export const unwrapFileKey = async (header: SnapshotHeader, secret: SnapshotSecret): Promise<Uint8Array> => {
  const key = secret.kind === 'passphrase' ? await byPassphrase(header, secret.passphrase) : byIdentity(header, secret.key);
  if (!keyCommitmentOf(key).equals(header.keyCommitment))
    throw new NestError('SNAPSHOT_INVALID', 'The snapshot opens with another key than it promises. Ask its author what happened.');
  return key;
};

const byPassphrase = async ({ recipients, snapshotId }: SnapshotHeader, passphrase: string): Promise<Uint8Array> => {
  const known = recipients.filter((one): one is PassphraseRecipient => one.kind === 'passphrase');
  if (known.length === 0)
    throw new NestError('PROOF_INVALID', 'This snapshot has no passphrase: it opens with the key of a recipient (nest snapshot keygen).');
  // More than one is nothing this console writes, and each costs a quarter of a second.
  const [first] = known;
  const opened = first === undefined ? null : open(snapshotId, first.box, await passphraseKey(passphrase, first));
  if (opened === null) throw new NestError('PASSPHRASE_WRONG', 'This is not the passphrase of the snapshot. Ask its author for it.');
  return opened;
};

const byIdentity = ({ recipients, snapshotId }: SnapshotHeader, privateKey: KeyObject): Uint8Array => {
  const own = rawKeyOf(createPublicKey(privateKey));
  const ownId = recipientIdOf(own);
  const known = recipients.filter((one): one is KeyRecipient => one.kind === 'key' && one.recipientId.equals(ownId));
  for (const { ephemeralKey, box } of known) {
    const opened = open(snapshotId, box, agreedKey(privateKey, { theirs: ephemeralKey, ephemeralKey, recipientKey: own }));
    if (opened !== null) return opened;
  }
  throw new NestError('PROOF_INVALID', 'The snapshot was not made for this key. Ask its author to make one for it.');
};

const passphraseKey = (
  passphrase: string,
  { salt, memoryKiB, passes, lanes }: Omit<PassphraseRecipient, 'kind' | 'box'>,
): Promise<Uint8Array> => deriveKey(passphrase, { name: 'argon2id', salt: salt.toString('base64'), memoryKiB, passes, lanes });

/** Raises INPUT_INVALID for a public key that gives a secret everybody knows. */
const agreedKey = (
  privateKey: KeyObject,
  keys: { readonly theirs: Uint8Array; readonly ephemeralKey: Uint8Array; readonly recipientKey: Uint8Array },
): Uint8Array => {
  let secret: Buffer;
  try {
    secret = diffieHellman({ privateKey, publicKey: publicKeyOf(keys.theirs) });
  } catch (error) {
    throw new NestError('INPUT_INVALID', 'A key of a recipient is not usable. Ask for a new one (nest snapshot keygen).', { cause: error });
  }
  return new Uint8Array(hkdfSync('sha256', secret, Buffer.concat([keys.ephemeralKey, keys.recipientKey]), recipientInfo, keyBytes));
};

const seal = (file: { readonly key: Uint8Array; readonly snapshotId: Uint8Array }, key: Uint8Array, random: RandomBytes): Buffer => {
  const nonce = random(nonceBytes);
  const cipher = createCipheriv('aes-256-gcm', key, nonce);
  cipher.setAAD(file.snapshotId);
  return Buffer.concat([nonce, cipher.update(file.key), cipher.final(), cipher.getAuthTag()]);
};

/** Null when the key is not the right one. */
const open = (snapshotId: Uint8Array, box: Buffer, key: Uint8Array): Uint8Array | null => {
  try {
    const decipher = createDecipheriv('aes-256-gcm', key, box.subarray(0, nonceBytes));
    decipher.setAAD(snapshotId);
    decipher.setAuthTag(box.subarray(-tagBytes));
    return new Uint8Array(Buffer.concat([decipher.update(box.subarray(nonceBytes, -tagBytes)), decipher.final()]));
  } catch {
    // GCM says no more than that the tag does not fit.
    return null;
  }
};

const publicKeyOf = (raw: Uint8Array): KeyObject => createPublicKey({ key: Buffer.concat([spkiPrefix, raw]), format: 'der', type: 'spki' });
const rawKeyOf = (key: KeyObject): Buffer => key.export({ type: 'spki', format: 'der' }).subarray(-keyBytes);
const recipientIdOf = (key: Uint8Array): Buffer => createHash('sha256').update(key).digest().subarray(0, 8);
const checkOf = (key: Uint8Array): Buffer => createHash('sha256').update(recipientPrefix).update(key).digest().subarray(0, checkBytes);

/** A public key as people hand it on: "nestrcpt1.<48 characters>". */
export const recipientText = (key: Uint8Array): string => recipientPrefix + Buffer.concat([key, checkOf(key)]).toString('base64url');

/** Its 32 bytes. Raises INPUT_INVALID, also for one with a wrong letter. */
export const parseRecipient = (text: string): Buffer => {
  const bytes = Buffer.from(text.trim().slice(recipientPrefix.length), 'base64url');
  const key = bytes.subarray(0, keyBytes);
  if (recipientText(key) !== text.trim())
    throw new NestError('INPUT_INVALID', 'This is not a recipient. It looks like nestrcpt1.<48 characters>; copy all of it.');
  return key;
};

const identitySchema = z.strictObject({ type: z.literal('nest-snapshot-identity'), recipient: z.string().max(100), sealed: z.unknown() });
/** An identity file is a few hundred characters. */
export const identityCharactersMax = 4_096;

/** A new key: its public half to hand on, its private half as the text of a file under a passphrase. Raises PASSPHRASE_WEAK. */
export const makeIdentity = async (
  passphrase: string,
  random: RandomBytes,
): Promise<{ readonly recipient: string; readonly file: string }> => {
  const { privateKey, publicKey } = generateKeyPairSync('x25519');
  const recipient = recipientText(rawKeyOf(publicKey));
  const text = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  const sealed = await sealText({ label: `${identityLabel} ${recipient}`, text }, passphrase, random);
  return { recipient, file: `${JSON.stringify({ type: 'nest-snapshot-identity', recipient, sealed })}\n` };
};

/** The private key of such a file. Raises INPUT_INVALID, PASSPHRASE_WRONG, STATE_CORRUPT. */
export const openIdentity = async (file: string, passphrase: string): Promise<KeyObject> => {
  let content: z.output<typeof identitySchema>;
  try {
    if (file.length > identityCharactersMax) throw new Error('too long');
    content = identitySchema.parse(JSON.parse(file));
  } catch (error) {
    throw new NestError('INPUT_INVALID', 'This file is not a key for snapshots (nest snapshot keygen). Choose the right file.', {
      cause: error,
    });
  }
  return createPrivateKey(await openText(`${identityLabel} ${content.recipient}`, content.sealed, passphrase));
};
