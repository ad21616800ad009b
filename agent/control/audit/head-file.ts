/** The signed heads that this agent has made, beside the segments: what was cut off the log later is missed by them. */
import { open, readFile } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { readAuditHead } from '../../../proto/model/audit.ts';
import type { AuditHead } from '../../../proto/model/audit.ts';
import { writeFileAtomic } from '../../lib/atomic-file.ts';
import { frameOf, framesOf } from './segment.ts';

/** The file is made anew with the newest `headsKept` when it has this many. */
const headsMax = 1024;
const headsKept = 64;
const headBytesMax = 64 << 10;

export interface StoredHead extends AuditHead {
  readonly envelope: Buffer;
}

export interface HeadFile {
  /** Oldest first. */
  readonly heads: readonly StoredHead[];
  /** Appends one; durable a moment later. Throws what the file system throws. */
  add(envelope: Buffer): Promise<void>;
  close(): Promise<void>;
}

export const headPath = (directory: string): string => join(directory, 'heads.log');

/** Every head that can be read, and where reading ended. */
export const readHeads = async (
  path: string,
): Promise<{ readonly heads: StoredHead[]; readonly soundBytes: number; readonly bytes: number }> => {
  const content = await readFile(path).catch((error: unknown) => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return Buffer.alloc(0);
    throw error;
  });
  const heads: StoredHead[] = [];
  const frames = framesOf(content, 0, headBytesMax);
  let next = frames.next();
  while (next.done !== true) {
    const envelope = Buffer.from(next.value);
    heads.push({ ...readAuditHead(envelope), envelope });
    next = frames.next();
  }
  return { heads, soundBytes: next.value, bytes: content.length };
};

/** Opens or makes the file; a torn end is cut. Throws what the file system throws, AUDIT_BROKEN. */
export const openHeadFile = async (directory: string): Promise<HeadFile & { readonly tornBytes: number }> => {
  const path = headPath(directory);
  const read = await readHeads(path);
  const tornBytes = read.bytes - read.soundBytes;
  let heads = read.heads;
  if (tornBytes > 0 || heads.length > headsMax) {
    heads = heads.slice(-headsKept);
    await writeFileAtomic(path, joined(heads));
  }
  let file: FileHandle = await open(path, 'a', 0o600);
  return {
    tornBytes,
    get heads() {
      return heads;
    },
    add: async (envelope) => {
      const next = [...heads.slice(-headsMax), { ...readAuditHead(envelope), envelope }];
      if (next.length > headsMax) {
        const kept = next.slice(-headsKept);
        await writeFileAtomic(path, joined(kept));
        await file.close();
        file = await open(path, 'a', 0o600);
        heads = kept;
        return;
      }
      await file.appendFile(frameOf(envelope));
      heads = next;
      await file.datasync();
    },
    close: () => file.close(),
  };
};

const joined = (heads: readonly StoredHead[]): Buffer => Buffer.concat(heads.map(({ envelope }) => frameOf(envelope)));
