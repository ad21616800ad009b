/** The header of a snapshot file (proto/nest/v1/snapshot.proto): its limits, and from bytes to something that keeps them. */
import { SnapshotHeader as Wire } from '../gen/nest/v1/snapshot.ts';
import { NestError } from './error.ts';
import { snapshotProfiles } from './snapshot-profile.ts';
import type { SnapshotProfile } from './snapshot-profile.ts';

export const snapshotType = 'nest.snapshot.v1';
export const snapshotVersion = 1;
/** Larger files are refused before they are read, bytes. */
export const snapshotBytesMax = 128 << 20;
export const snapshotChunksMax = 4_096;
export const snapshotRecipientsMax = 32;
/** A chunk once decompressed, bytes. */
export const snapshotPlainBytesMax = 8 << 20;
/** All index chunks together once decompressed, bytes: they are in memory while a snapshot is open. */
export const snapshotIndexBytesMax = 128 << 20;
export const snapshotHostsMax = 100_000;
/** The clock of the author may be ahead by so much, milliseconds. */
export const snapshotSkewMs = 10 * 60_000;

export const snapshotChunkKinds = ['index', 'hosts', 'blob'] as const;
export type SnapshotChunkKind = (typeof snapshotChunkKinds)[number];

const tagBytes = 16;
const textMax = 256;
/** A forged header must not take all memory or hours. */
const passphraseCost = { memoryKiB: 262_144, passes: 8, lanes: 4 } as const;

export interface SnapshotChunk {
  readonly kind: SnapshotChunkKind;
  readonly plainBytes: number;
  readonly sealedBytes: number;
  readonly sha256: Buffer;
}

export interface PassphraseRecipient {
  readonly kind: 'passphrase';
  readonly salt: Buffer;
  readonly memoryKiB: number;
  readonly passes: number;
  readonly lanes: number;
  readonly box: Buffer;
}

export interface KeyRecipient {
  readonly kind: 'key';
  readonly ephemeralKey: Buffer;
  readonly recipientId: Buffer;
  readonly box: Buffer;
}

export type SnapshotRecipient = PassphraseRecipient | KeyRecipient;

export interface SnapshotHeader {
  /** 16 bytes. */
  readonly snapshotId: Buffer;
  readonly fleetId: string;
  readonly fleetName: string;
  readonly createdAtMs: number;
  /** spiffe://<fleet>/operator/<name> */
  readonly author: string;
  readonly consoleVersion: string;
  readonly profile: SnapshotProfile;
  /** 0 = none. */
  readonly accessEpoch: number;
  readonly accessRevision: number;
  readonly hosts: number;
  /** 8 bytes; empty when nothing is masked. */
  readonly maskKeyId: Buffer;
  /** DER. */
  readonly fleetRoot: Buffer;
  readonly recipients: readonly SnapshotRecipient[];
  /** 32 bytes. */
  readonly keyCommitment: Buffer;
  readonly chunks: readonly SnapshotChunk[];
}

/** The bytes to sign. */
export const encodeSnapshotHeader = (header: SnapshotHeader): Uint8Array =>
  Wire.encode({
    version: snapshotVersion,
    snapshotId: header.snapshotId,
    fleetId: header.fleetId,
    fleetName: header.fleetName,
    createdAtMs: BigInt(header.createdAtMs),
    author: header.author,
    consoleVersion: header.consoleVersion,
    profile: header.profile,
    accessEpoch: BigInt(header.accessEpoch),
    accessRevision: BigInt(header.accessRevision),
    hosts: header.hosts,
    codec: 'brotli',
    maskKeyId: header.maskKeyId,
    fleetRoot: header.fleetRoot,
    recipients: header.recipients.map(wireRecipient),
    keyCommitment: header.keyCommitment,
    chunks: [...header.chunks],
  }).finish();

const wireRecipient = (one: SnapshotRecipient): Wire['recipients'][number] => {
  if (one.kind === 'key')
    return { recipient: { $case: 'keyHolder', value: { ephemeralKey: one.ephemeralKey, recipientId: one.recipientId } }, box: one.box };
  const { salt, memoryKiB: memoryKib, passes, lanes } = one;
  return { recipient: { $case: 'passphrase', value: { salt, memoryKib, passes, lanes } }, box: one.box };
};

/** A header within all limits. Raises SNAPSHOT_INVALID. Nothing in it is believed before its signature was. */
export const parseSnapshotHeader = (payload: Uint8Array): SnapshotHeader => {
  const wire = decode(payload);
  const { profile, codec } = wire;
  if (wire.version !== snapshotVersion || codec !== 'brotli')
    throw damaged('it is of another version than this console knows; upgrade the console');
  ensure(isOneOf(snapshotProfiles, profile), 'its profile is not known');
  ensure(wire.recipients.length >= 1 && wire.recipients.length <= snapshotRecipientsMax, 'it has no recipient, or too many');
  ensure(wire.chunks.length >= 1 && wire.chunks.length <= snapshotChunksMax, 'it has no chunk, or too many');
  ensure(wire.hosts <= snapshotHostsMax, 'it names more hosts than a snapshot can have');
  ensure(wire.snapshotId.length === 16 && wire.keyCommitment.length === 32, 'its header is malformed');
  ensure(wire.maskKeyId.length === 0 || wire.maskKeyId.length === 8, 'its header is malformed');
  ensure(wire.fleetRoot.length > 0 && wire.fleetRoot.length <= 4_096, 'its header has no root');
  for (const text of [wire.fleetId, wire.fleetName, wire.author, wire.consoleVersion])
    ensure(text.length <= textMax, 'its header is malformed');
  const chunks = wire.chunks.map(chunkOf);
  const indexBytes = chunks.reduce((sum, { kind, plainBytes }) => sum + (kind === 'index' ? plainBytes : 0), 0);
  ensure(indexBytes <= snapshotIndexBytesMax, 'its index is larger than is allowed');
  return {
    snapshotId: Buffer.from(wire.snapshotId),
    fleetId: wire.fleetId,
    fleetName: wire.fleetName,
    createdAtMs: numberOf(wire.createdAtMs),
    author: wire.author,
    consoleVersion: wire.consoleVersion,
    profile: profile as SnapshotProfile,
    accessEpoch: numberOf(wire.accessEpoch),
    accessRevision: numberOf(wire.accessRevision),
    hosts: wire.hosts,
    maskKeyId: Buffer.from(wire.maskKeyId),
    fleetRoot: Buffer.from(wire.fleetRoot),
    recipients: wire.recipients.map(recipientOf),
    keyCommitment: Buffer.from(wire.keyCommitment),
    chunks,
  };
};

const decode = (payload: Uint8Array): Wire => {
  try {
    return Wire.decode(payload);
  } catch (error) {
    throw damaged('its header cannot be read', error);
  }
};

const chunkOf = ({ kind, plainBytes, sealedBytes, sha256 }: Wire['chunks'][number]): SnapshotChunk => {
  ensure(isOneOf(snapshotChunkKinds, kind), 'it has a chunk of a kind that is not known');
  ensure(sha256.length === 32, 'a chunk has no hash');
  ensure(plainBytes >= 1 && plainBytes <= snapshotPlainBytesMax, 'a chunk is larger than is allowed');
  ensure(sealedBytes > tagBytes && sealedBytes <= snapshotBytesMax, 'a chunk has an impossible length');
  return { kind: kind as SnapshotChunkKind, plainBytes, sealedBytes, sha256: Buffer.from(sha256) };
};

const recipientOf = ({ recipient, box }: Wire['recipients'][number]): SnapshotRecipient => {
  ensure(box.length === 60, 'a recipient is malformed');
  if (recipient?.$case === 'passphrase') {
    const { salt, memoryKib: memoryKiB, passes, lanes } = recipient.value;
    ensure(salt.length === 16, 'a recipient is malformed');
    ensure(memoryKiB >= 8_192 && memoryKiB <= passphraseCost.memoryKiB, 'its passphrase would take too much memory');
    ensure(
      passes >= 1 && passes <= passphraseCost.passes && lanes >= 1 && lanes <= passphraseCost.lanes,
      'its passphrase would take too long',
    );
    return { kind: 'passphrase', salt: Buffer.from(salt), memoryKiB, passes, lanes, box: Buffer.from(box) };
  }
  if (recipient === undefined) throw damaged('a recipient is of a kind that is not known');
  const keyHolder = recipient.value;
  ensure(keyHolder.ephemeralKey.length === 32 && keyHolder.recipientId.length === 8, 'a recipient is malformed');
  const [ephemeralKey, recipientId] = [Buffer.from(keyHolder.ephemeralKey), Buffer.from(keyHolder.recipientId)];
  return { kind: 'key', ephemeralKey, recipientId, box: Buffer.from(box) };
};

const isOneOf = (words: readonly string[], word: string): boolean => words.includes(word);

const numberOf = (value: bigint): number => {
  ensure(value <= BigInt(Number.MAX_SAFE_INTEGER), 'its header is malformed');
  return Number(value);
};

const ensure = (holds: boolean, reason: string): void => {
  if (!holds) throw damaged(reason);
};

/** SNAPSHOT_INVALID with this reason. */
export const damaged = (reason: string, cause?: unknown): NestError =>
  new NestError(
    'SNAPSHOT_INVALID',
    `The snapshot file is refused: ${reason}. Ask for the file again.`,
    cause === undefined ? {} : { cause },
  );
