/** Finds the end of the log at start: heals a tail torn by a power cut, and tells it from damage. */
import { open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { auditGenesis, auditHashOf, auditNumberOf, extendChain, previousHashOf } from '../../../proto/model/audit.ts';
import type { ChainEnd } from '../../../proto/model/audit.ts';
import { errorCodeOf } from '../../../proto/model/error.ts';
import { writeFileAtomic } from '../../lib/atomic-file.ts';
import type { StoredHead } from './head-file.ts';
import { framesOf, framesStart, listSegments } from './segment.ts';
import type { Segment } from './segment.ts';

export interface Recovered {
  readonly segments: readonly Segment[];
  /** What the next entry follows. */
  readonly end: ChainEnd;
  /** Length of the last segment, bytes; null: begin a new one. */
  readonly offset: number | null;
  /** Bytes of a torn tail that were set aside, and in which file. */
  readonly torn: { readonly bytes: number; readonly file: string } | null;
  /** The first entry that is missing or changed. */
  readonly broken: number | null;
}

/**
 * Entries that no head was signed for may be torn by a power cut: they are set aside in a file of their own. Damage up to the newest
 * signed head is no accident: every file stays as it is, and the log goes on from that head in a new segment. Only the last segment is
 * read; `verify` reads all. Throws what the file system throws.
 */
export const recoverLog = async (directory: string, heads: readonly StoredHead[]): Promise<Recovered> => {
  const segments = await listSegments(directory);
  const head = heads.at(-1) ?? null;
  const last = segments.at(-1);
  if (last === undefined) {
    const broken = head === null ? null : 1;
    return { segments, end: head === null ? auditGenesis : { number: head.number, hash: head.hash }, offset: null, torn: null, broken };
  }
  const content = await readFile(last.path);
  const scan = scanSegment(last, content, heads);
  const isShort = head !== null && scan.end.number < head.number;
  if (scan.broken !== null || isShort) {
    const end = isShort ? { number: head.number, hash: head.hash } : scan.end;
    return { segments, end, offset: null, torn: null, broken: scan.broken ?? scan.end.number + 1 };
  }
  const { end, soundBytes } = scan;
  const torn = await setTornAside({ directory, path: last.path, content, soundBytes, after: end.number });
  // Not even the first bytes of the segment reached the disk: it is begun anew.
  if (soundBytes === 0) return { segments: segments.slice(0, -1), end, offset: null, torn, broken: null };
  return { segments, end, offset: soundBytes, torn, broken: null };
};

interface Tail {
  readonly directory: string;
  readonly path: string;
  readonly content: Buffer;
  readonly soundBytes: number;
  /** The last sound entry. */
  readonly after: number;
}

/** Moves what cannot be read at the end of a segment to a file of its own; null when there is nothing. */
const setTornAside = async ({ directory, path, content, soundBytes, after }: Tail): Promise<Recovered['torn']> => {
  const bytes = content.length - soundBytes;
  if (bytes === 0) return null;
  const file = `torn-after-${String(after)}.bin`;
  await writeFileAtomic(join(directory, file), content.subarray(soundBytes));
  await cutFile(path, soundBytes);
  return { bytes, file };
};

interface Scan {
  readonly end: ChainEnd;
  readonly soundBytes: number;
  readonly broken: number | null;
}

const scanSegment = ({ first }: Segment, content: Buffer, heads: readonly StoredHead[]): Scan => {
  const signedBefore = heads.find(({ number }) => number === first - 1);
  const before = { number: first - 1, hash: signedBefore?.hash ?? auditGenesis.hash };
  const start = framesStart(content);
  if (start === null) return { end: before, soundBytes: 0, broken: null };
  const headHashes = new Map(heads.map(({ number, hash }) => [number, hash]));
  let end: ChainEnd = before;
  let broken: number | null = null;
  const frames = framesOf(content, start);
  let next = frames.next();
  while (next.done !== true) {
    const entry: Buffer = next.value;
    try {
      // What the first entry of a later segment follows is checked by `verify`, which reads the one before.
      if (end === before && first > 1 && signedBefore === undefined) end = { number: first - 1, hash: Buffer.from(previousHashOf(entry)) };
      end = extendChain(end, entry);
    } catch (error) {
      if (errorCodeOf(error) !== 'AUDIT_BROKEN') throw error;
      broken ??= end.number + 1;
      end = { number: Math.max(auditNumberOf(entry), end.number + 1), hash: auditHashOf(entry) };
    }
    const signed = headHashes.get(end.number);
    if (signed !== undefined && !signed.equals(end.hash)) broken ??= end.number;
    next = frames.next();
  }
  return { end, soundBytes: next.value, broken };
};

const cutFile = async (path: string, bytes: number): Promise<void> => {
  const file = await open(path, 'r+');
  try {
    await file.truncate(bytes);
    await file.sync();
  } finally {
    await file.close();
  }
};
