/** The bytes of a snapshot file: put together, taken apart, and checked against its one signature. Nothing here needs a key. */
import { X509Certificate, createHash } from 'node:crypto';
import { SignedEnvelope } from '../../../proto/gen/nest/v1/envelope.ts';
import { NestError } from '../../../proto/model/error.ts';
import { envelopePayloadBytesMax, sealEnvelope } from '../../../proto/model/envelope.ts';
import type { EnvelopeSigner } from '../../../proto/model/envelope.ts';
import { openSigned } from '../../../proto/model/operator-signature.ts';
import {
  damaged,
  encodeSnapshotHeader,
  parseSnapshotHeader,
  snapshotBytesMax,
  snapshotSkewMs,
  snapshotType,
  snapshotVersion,
} from '../../../proto/model/snapshot.ts';
import type { SnapshotHeader } from '../../../proto/model/snapshot.ts';

const magic = Buffer.from('NESTSNAP');
/** Magic, version, flags, length of the envelope. */
const prefixBytes = 16;
/** The header, and beside it signatures with their certificates. */
const envelopeBytesMax = envelopePayloadBytesMax + (64 << 10);

export interface SignedSnapshot {
  readonly header: SnapshotHeader;
  readonly author: {
    /** spiffe://<fleet>/operator/<name> */
    readonly subject: string;
    /** SHA-256 of the key that signed, hex. */
    readonly device: string;
  };
  /** SHA-256 of the root certificate (DER), hex: what a person compares. */
  readonly rootSha256: string;
  /** Views into the file, one for each chunk of the header, their hashes checked. */
  readonly chunks: readonly Buffer[];
}

/** The file: header signed, then chunks (as the header lists them). Raises LIMIT_REACHED when it would be too large to be read again. */
export const writeSnapshotFile = (header: SnapshotHeader, chunks: readonly Uint8Array[], signer: EnvelopeSigner): Buffer => {
  const payload = encodeSnapshotHeader(header);
  const envelope = SignedEnvelope.encode(sealEnvelope(snapshotType, payload, [signer])).finish();
  const prefix = Buffer.alloc(prefixBytes);
  magic.copy(prefix);
  prefix.writeUInt16BE(snapshotVersion, 8);
  prefix.writeUInt32BE(envelope.length, 12);
  const bytes = chunks.reduce((sum, chunk) => sum + chunk.length, prefixBytes + envelope.length);
  if (bytes > snapshotBytesMax || payload.length > envelopePayloadBytesMax)
    throw new NestError(
      'LIMIT_REACHED',
      'The snapshot would be larger than a console reads. Take fewer hosts, fewer flows or another profile.',
      {
        details: { bytes, max: snapshotBytesMax },
      },
    );
  return Buffer.concat([prefix, envelope, ...chunks]);
};

/**
 * Checks every byte of the file against its signature, and the signature against the root that the file names, at the time the file
 * names: certificates of operators live 30 days, files longer. Whether it is the right root is for the caller to say.
 * Raises SNAPSHOT_INVALID, SNAPSHOT_FOREIGN.
 */
export const readSnapshotFile = (file: Buffer, nowMs: number): SignedSnapshot => {
  const { envelope, body } = takeApart(file);
  const header = parseSnapshotHeader(envelope.payload);
  if (header.createdAtMs > nowMs + snapshotSkewMs) throw damaged('it was made in the future; compare the clocks');
  const author = authorOf(envelope, header);
  if (author.subject !== header.author) throw foreign('it names another author than the one who signed it');
  return { header, author, rootSha256: sha256(header.fleetRoot).toString('hex'), chunks: cutChunks(header, body) };
};

const takeApart = (file: Buffer): { readonly envelope: SignedEnvelope; readonly body: Buffer } => {
  if (file.length > snapshotBytesMax) throw damaged('it is larger than a snapshot can be');
  if (file.length < prefixBytes || !file.subarray(0, magic.length).equals(magic)) throw damaged('it is not a snapshot file');
  if (file.readUInt16BE(8) !== snapshotVersion || file.readUInt16BE(10) !== 0)
    throw damaged('it is of another version than this console knows; upgrade the console');
  const length = file.readUInt32BE(12);
  if (length > envelopeBytesMax || prefixBytes + length > file.length) throw damaged('it is cut short');
  const bytes = file.subarray(prefixBytes, prefixBytes + length);
  return { envelope: envelopeOf(bytes), body: file.subarray(prefixBytes + length) };
};

const envelopeOf = (bytes: Buffer): SignedEnvelope => {
  let envelope: SignedEnvelope;
  try {
    envelope = SignedEnvelope.decode(bytes);
  } catch (error) {
    throw damaged('its header cannot be read', error);
  }
  // One form only: what is not signed (order, unknown fields) must not be a place to hide anything in.
  if (!bytes.equals(SignedEnvelope.encode(envelope).finish()) || envelope.signatures.length !== 1)
    throw damaged('its header is written in a way no console writes it');
  return envelope;
};

const authorOf = (envelope: SignedEnvelope, { fleetRoot, fleetId, createdAtMs }: SnapshotHeader): SignedSnapshot['author'] => {
  let signer = '';
  try {
    const { subject } = openSigned(envelope, snapshotType, {
      fleetRoot: new X509Certificate(fleetRoot).toString(),
      fleetId,
      nowMs: createdAtMs,
      // What the author may do is asked afterwards, of whoever knows the access bundle.
      maySign: (_subject, device) => {
        signer = device;
        return true;
      },
    });
    return { subject, device: signer };
  } catch (error) {
    if (error instanceof NestError && error.code === 'INPUT_INVALID') throw damaged('it is not a signed snapshot', error);
    throw foreign('no operator of the fleet it names has signed it', error);
  }
};

const cutChunks = ({ chunks }: SnapshotHeader, body: Buffer): readonly Buffer[] => {
  const total = chunks.reduce((sum, { sealedBytes }) => sum + sealedBytes, 0);
  if (total !== body.length) throw damaged(total > body.length ? 'it is cut short' : 'there is something behind its end');
  let offset = 0;
  return chunks.map((chunk, index) => {
    const bytes = body.subarray(offset, offset + chunk.sealedBytes);
    offset += chunk.sealedBytes;
    if (!sha256(bytes).equals(chunk.sha256)) throw damaged(`part ${String(index + 1)} of ${String(chunks.length)} was changed`);
    return bytes;
  });
};

const foreign = (reason: string, cause?: unknown): NestError =>
  new NestError(
    'SNAPSHOT_FOREIGN',
    `The snapshot file is refused: ${reason}. Check where it comes from.`,
    cause === undefined ? {} : { cause },
  );

const sha256 = (bytes: Uint8Array): Buffer => createHash('sha256').update(bytes).digest();
