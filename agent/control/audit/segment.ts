/** A segment file: eight bytes that say what it is, then frames: u32 length, u32 CRC-32, the entry's bytes (big-endian). */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { auditEntryBytesMax } from '../../../proto/model/audit.ts';

export const segmentMagic = Buffer.from('NESTAUD\x01', 'latin1');
export const frameHeadBytes = 8;
const numberDigits = 16;
const namePattern = /^segment-(\d{16})\.log$/;

export interface Segment {
  readonly path: string;
  /** Number of its first entry. */
  readonly first: number;
}

/** The segments of a directory, oldest first. Throws what the file system throws. */
export const listSegments = async (directory: string): Promise<readonly Segment[]> =>
  (await readdir(directory))
    .flatMap((name) => {
      const first = namePattern.exec(name)?.[1];
      return first === undefined ? [] : [{ path: join(directory, name), first: Number(first) }];
    })
    .sort((a, b) => a.first - b.first);

/** The segment that begins with this entry. */
export const segmentOf = (directory: string, first: number): Segment => ({
  path: join(directory, `segment-${String(first).padStart(numberDigits, '0')}.log`),
  first,
});

/** Fills in length and CRC of the frame at `offset` whose body ends at `end`. */
export const sealFrame = (buffer: Buffer, offset: number, end: number): void => {
  const body = buffer.subarray(offset + frameHeadBytes, end);
  buffer.writeUInt32BE(body.length, offset);
  buffer.writeUInt32BE(crc32(body), offset + 4);
};

/** A frame around these bytes. */
export const frameOf = (body: Uint8Array): Buffer => {
  const frame = Buffer.alloc(frameHeadBytes + body.length);
  frame.set(body, frameHeadBytes);
  sealFrame(frame, 0, frame.length);
  return frame;
};

/** Bodies of whole frames from `start` on, as views. Returns where reading ended: the end of the content when all of it is whole. */
export function* framesOf(content: Buffer, start: number, bodyBytesMax = auditEntryBytesMax): Generator<Buffer, number> {
  let offset = start;
  while (offset + frameHeadBytes <= content.length) {
    const length = content.readUInt32BE(offset);
    const end = offset + frameHeadBytes + length;
    if (length === 0 || length > bodyBytesMax || end > content.length) return offset;
    const body = content.subarray(offset + frameHeadBytes, end);
    if (crc32(body) !== content.readUInt32BE(offset + 4)) return offset;
    yield body;
    offset = end;
  }
  return offset;
}

/** Where the frames of a segment begin; null when it is none. */
export const framesStart = (content: Buffer): number | null =>
  content.subarray(0, segmentMagic.length).equals(segmentMagic) ? segmentMagic.length : null;
