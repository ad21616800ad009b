/**
 * Audit entries as the bytes that are hashed, the chain they form, and its signed head: the same code writes them on the agent and
 * checks them on the console and in an export. An entry's bytes, big-endian:
 *
 *   u8 version = 1 | u64 number | u64 time ms | 32 bytes SHA-256 of the entry before (zeros for the first)
 *   u64 revision before + 1 | u64 revision after + 1 (0 = not known) | u64 opening entry (0 = none) | u32 count
 *   u8 length of request hash (0 or 32) + hash | actor, device, source, action, target, result, detail: u16 length + UTF-8 each
 *
 * There is one encoding for an entry and no other bytes after it.
 */
import { hash as hashOnce } from 'node:crypto';
import { AuditHead as WireHead } from '../gen/nest/v1/audit.ts';
import { SignedEnvelope } from '../gen/nest/v1/envelope.ts';
import { sealEnvelope } from './envelope.ts';
import type { EnvelopeSigner } from './envelope.ts';
import { NestError } from './error.ts';

/** What happened. Texts are cut to `auditTextBytesMax` bytes each. */
export interface AuditFact {
  /** Subject of a certificate, "agent" for what the agent did by itself, "local:<uid>" for a command on the host, "" = a stranger. */
  readonly actor: string;
  /** SHA-256 of the caller's public key, hex; "" when there is none. */
  readonly device: string;
  /** Address of the caller; "" on the host itself. */
  readonly source: string;
  /** Path of the rpc, or a word with a dot ("revision.rolled-back"). */
  readonly action: string;
  /** What it was done to: "name=feed"; never a secret. */
  readonly target: string;
  /** SHA-256 of the request as received, 32 bytes; empty when there was none. */
  readonly requestHash: Uint8Array;
  /** "started" before a dangerous effect, "OK", or the code that refused. */
  readonly result: string;
  /** Revision of the host's policy before and after; null = not known. */
  readonly revisionBefore: number | null;
  readonly revisionAfter: number | null;
  /** Number of the "started" entry this one ends; 0 = none. */
  readonly opening: number;
  /** How many alike this entry stands for, at least 1. */
  readonly count: number;
  /** More words for people. */
  readonly detail: string;
}

export interface AuditEntry extends AuditFact {
  /** 1, 2, 3 ... */
  readonly number: number;
  /** Milliseconds since the Unix epoch, by the host's clock. */
  readonly atMs: number;
}

/** End of a chain: its last entry and the SHA-256 of that entry's bytes. */
export interface ChainEnd {
  readonly number: number;
  readonly hash: Buffer;
}

export interface AuditHead extends ChainEnd {
  readonly agentId: string;
  readonly fleetId: string;
  readonly atMs: number;
}

export const auditHeadType = 'nest.audit-head.v1';
/** Longest text of one field, bytes of UTF-8. */
export const auditTextBytesMax = 1024;
/** No entry is longer, bytes. */
export const auditEntryBytesMax = 16 << 10;
/** Actions of the log about itself. */
export const auditActions = {
  /** Target "<first>-<last>": entries deleted because the log was full; the detail is the hash of the last of them, hex. */
  retired: 'audit.retired',
  /** Bytes at the end of the log that could not be read after a power cut were set aside. */
  healed: 'audit.healed',
  /** The log was found damaged; it goes on from its last signed head. */
  broken: 'audit.broken',
} as const;

const version = 1;
const offsets = { number: 1, atMs: 9, previous: 17, before: 49, after: 57, opening: 65, count: 73, hash: 77 } as const;
const textFields = ['actor', 'device', 'source', 'action', 'target', 'result', 'detail'] as const;
const hashBytes = 32;
const high = 2 ** 32;

/** The end of a chain without entries. */
export const auditGenesis: ChainEnd = { number: 0, hash: Buffer.alloc(hashBytes) };

/** SHA-256 of an entry's bytes. */
export const auditHashOf = (bytes: Uint8Array): Buffer => hashOnce('sha256', bytes, 'buffer');

/** A fact with nothing said: for those who know only some of it. */
export const emptyFact: AuditFact = {
  actor: '',
  device: '',
  source: '',
  action: '',
  target: '',
  requestHash: Buffer.alloc(0),
  result: 'OK',
  revisionBefore: null,
  revisionAfter: null,
  opening: 0,
  count: 1,
  detail: '',
};

/** Where an entry stands in its chain. */
export interface EntryPlace {
  readonly number: number;
  readonly atMs: number;
  /** SHA-256 of the entry before. */
  readonly previous: Uint8Array;
}

/** Writes the entry's bytes at `offset` of a buffer that has `auditEntryBytesMax` bytes left, and returns where they end. */
export const writeAuditEntry = (
  fact: AuditFact,
  { number, atMs, previous }: EntryPlace,
  { buffer, offset }: { readonly buffer: Buffer; readonly offset: number },
): number => {
  buffer[offset] = version;
  putNumber(buffer, offset + offsets.number, number);
  putNumber(buffer, offset + offsets.atMs, Math.max(0, Math.round(atMs)));
  buffer.set(previous, offset + offsets.previous);
  putNumber(buffer, offset + offsets.before, fact.revisionBefore === null ? 0 : fact.revisionBefore + 1);
  putNumber(buffer, offset + offsets.after, fact.revisionAfter === null ? 0 : fact.revisionAfter + 1);
  putNumber(buffer, offset + offsets.opening, fact.opening);
  buffer.writeUInt32BE(Math.min(fact.count, high - 1), offset + offsets.count);
  buffer[offset + offsets.hash] = fact.requestHash.length;
  buffer.set(fact.requestHash, offset + offsets.hash + 1);
  let end = offset + offsets.hash + 1 + fact.requestHash.length;
  for (const field of textFields) end = putText(buffer, end, fact[field]);
  return end;
};

/** The entry's bytes. */
export const encodeAuditEntry = (entry: AuditEntry, previous: Uint8Array): Buffer => {
  const buffer = Buffer.alloc(auditEntryBytesMax);
  return Buffer.from(
    buffer.subarray(0, writeAuditEntry(entry, { number: entry.number, atMs: entry.atMs, previous }, { buffer, offset: 0 })),
  );
};

/** The entry of these bytes. Raises AUDIT_BROKEN when they are not exactly one. */
export const decodeAuditEntry = (bytes: Uint8Array): AuditEntry => {
  const buffer = viewOf(bytes);
  if (buffer.length <= offsets.hash || buffer[0] !== version) throw unreadable();
  const hashLength = buffer[offsets.hash] ?? 0;
  if (hashLength !== 0 && hashLength !== hashBytes) throw unreadable();
  let end = offsets.hash + 1 + hashLength;
  const texts = textFields.map((): string => {
    if (end + 2 > buffer.length) throw unreadable();
    const start = end + 2;
    end = start + buffer.readUInt16BE(end);
    if (end > buffer.length || end - start > auditTextBytesMax) throw unreadable();
    return textOf(buffer.subarray(start, end));
  });
  if (end !== buffer.length) throw unreadable();
  const [actor = '', device = '', source = '', action = '', target = '', result = '', detail = ''] = texts;
  const before = getNumber(buffer, offsets.before);
  const after = getNumber(buffer, offsets.after);
  return {
    number: getNumber(buffer, offsets.number),
    atMs: getNumber(buffer, offsets.atMs),
    actor,
    device,
    source,
    action,
    target,
    result,
    detail,
    requestHash: Buffer.from(buffer.subarray(offsets.hash + 1, offsets.hash + 1 + hashLength)),
    revisionBefore: before === 0 ? null : before - 1,
    revisionAfter: after === 0 ? null : after - 1,
    opening: getNumber(buffer, offsets.opening),
    count: buffer.readUInt32BE(offsets.count),
  };
};

/** The hash that an entry carries of the one before it: a view into its bytes. Raises AUDIT_BROKEN. */
export const previousHashOf = (bytes: Uint8Array): Buffer => {
  if (bytes.length <= offsets.hash) throw unreadable();
  return viewOf(bytes).subarray(offsets.previous, offsets.previous + hashBytes);
};

/** Whether the entry is about a request; entries of the log about itself are not. */
export const hasRequestHash = (bytes: Uint8Array): boolean => bytes[offsets.hash] !== 0;

/** The number an entry carries. Raises AUDIT_BROKEN. */
export const auditNumberOf = (bytes: Uint8Array): number => {
  if (bytes.length <= offsets.hash) throw unreadable();
  return getNumber(viewOf(bytes), offsets.number);
};

/**
 * The chain's end after one more entry. Raises AUDIT_BROKEN with details.number: the first entry that is missing or changed, as far
 * as the one before can tell.
 */
export const extendChain = (end: ChainEnd, bytes: Uint8Array): ChainEnd => {
  const expected = end.number + 1;
  if (bytes.length <= offsets.hash || bytes[0] !== version) throw brokenAt(expected, `Entry ${String(expected)} cannot be read.`);
  const number = auditNumberOf(bytes);
  if (number !== expected) throw brokenAt(expected, `Entry ${String(expected)} is missing: entry ${String(number)} stands in its place.`);
  if (!previousHashOf(bytes).equals(end.hash)) {
    const suspect = Math.max(1, end.number);
    throw brokenAt(
      suspect,
      `Entry ${String(suspect)} is not the one that entry ${String(number)} was written after: one of them was changed.`,
    );
  }
  return { number, hash: auditHashOf(bytes) };
};

/** An AUDIT_BROKEN that names an entry. */
export const brokenAt = (number: number, message: string): NestError => new NestError('AUDIT_BROKEN', message, { details: { number } });

/** Signs the end of a chain: the bytes of a SignedEnvelope. */
export const sealAuditHead = (head: AuditHead, signer: EnvelopeSigner): Buffer => {
  const payload = WireHead.encode({
    agentId: head.agentId,
    fleetId: head.fleetId,
    number: BigInt(head.number),
    hash: head.hash,
    timeMs: BigInt(Math.round(head.atMs)),
  }).finish();
  return Buffer.from(SignedEnvelope.encode(sealEnvelope(auditHeadType, payload, [signer])).finish());
};

/** What an envelope (its bytes) states about a chain, whoever signed it: verify the signature first, unless the file is one's own. Raises AUDIT_BROKEN. */
export const readAuditHead = (envelope: Uint8Array): AuditHead => {
  try {
    const { payloadType, payload } = SignedEnvelope.decode(envelope);
    if (payloadType !== auditHeadType) throw new TypeError(payloadType);
    const { agentId, fleetId, number, hash, timeMs } = WireHead.decode(payload);
    if (hash.length !== hashBytes) throw new TypeError('hash');
    return { agentId, fleetId, number: Number(number), hash: Buffer.from(hash), atMs: Number(timeMs) };
  } catch (error) {
    throw new NestError(
      'AUDIT_BROKEN',
      'A signed head of the audit log cannot be read. Compare it with the heads that consoles remember.',
      {
        cause: error,
      },
    );
  }
};

/** Cuts a text to what an entry holds, at a character. */
export const auditText = (text: string): string => {
  if (text.length * 3 <= auditTextBytesMax || Buffer.byteLength(text) <= auditTextBytesMax) return text;
  const cut = Buffer.from(text).subarray(0, auditTextBytesMax).toString('utf8');
  // A character that was cut in two became the replacement character.
  return cut.replace(/\uFFFD+$/, '');
};

const viewOf = (bytes: Uint8Array): Buffer => (Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length));

const putNumber = (buffer: Buffer, offset: number, value: number): void => {
  buffer.writeUInt32BE(Math.floor(value / high), offset);
  buffer.writeUInt32BE(value % high, offset + 4);
};
const getNumber = (buffer: Buffer, offset: number): number => buffer.readUInt32BE(offset) * high + buffer.readUInt32BE(offset + 4);

const putText = (buffer: Buffer, offset: number, text: string): number => {
  const length = text === '' ? 0 : buffer.write(auditText(text), offset + 2, 'utf8');
  buffer.writeUInt16BE(length, offset);
  return offset + 2 + length;
};

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const textOf = (bytes: Uint8Array): string => {
  try {
    return decoder.decode(bytes);
  } catch (error) {
    throw unreadable(error);
  }
};

const unreadable = (cause?: unknown): NestError =>
  new NestError('AUDIT_BROKEN', 'Bytes of the audit log are not an entry. Verify the log, then look at the host.', { cause });
