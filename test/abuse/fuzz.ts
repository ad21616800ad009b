/** Malformed bytes from a seed: the same seed gives the same bytes, so that what it finds can be found again. */
import { frameOf } from './raw-agent.ts';

const prefaceText = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
const http2HeadBytes = 9;
const mutationsMax = 8;

export interface Fuzz {
  pick<T>(values: readonly T[]): T;
  /** Up to so many random bytes. */
  bytes(most: number): Buffer;
  /** Bytes flipped, removed, repeated, or cut off. */
  mutated(valid: Buffer): Buffer;
  /** As a gRPC message: mostly with a right head, at times with a wrong length or flags nobody knows. */
  framed(message: Buffer): Buffer;
  /** Client preface of HTTP/2, at times damaged. */
  preface(): Buffer;
  /** A frame of HTTP/2 with known or unknown type and random flags, stream and content. */
  http2Frame(): Buffer;
}

/** A generator of its own for each test. */
export const createFuzz = (seed: number): Fuzz => {
  let state = seed >>> 0;
  const random = (below: number): number => {
    // mulberry32
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
  const bytes = (most: number): Buffer => Buffer.from(Array.from({ length: random(most + 1) }, () => random(256)));
  const mutatedOnce = (before: Buffer): Buffer => {
    const at = random(before.length + 1);
    switch (random(4)) {
      case 0: {
        const copy = Buffer.from(before);
        if (at < copy.length) copy[at] = (copy[at] ?? 0) ^ (1 << random(8));
        return copy;
      }
      case 1:
        return Buffer.concat([before.subarray(0, at), before.subarray(Math.min(before.length, at + random(9)))]);
      case 2:
        return Buffer.concat([before.subarray(0, at), bytes(16), before.subarray(at)]);
      default:
        return before.subarray(0, at);
    }
  };
  return {
    pick: (values) => values[random(values.length)] as (typeof values)[number],
    bytes,
    mutated: (valid) => Array.from({ length: 1 + random(mutationsMax) }).reduce<Buffer>((before) => mutatedOnce(before), valid),
    framed: (message) => {
      const kind = random(10);
      // A frame that announces more than comes ends with its request: half a message is malformed, too.
      if (kind === 0) return frameOf(message, { length: random(2 ** 31) });
      if (kind === 1) return frameOf(message, { flags: random(256) });
      if (kind === 2) return message;
      return frameOf(message);
    },
    preface: () => (random(4) === 0 ? mutatedOnce(Buffer.from(prefaceText)) : Buffer.from(prefaceText)),
    http2Frame: () => {
      const content = bytes(200);
      const head = Buffer.alloc(http2HeadBytes);
      head.writeUIntBE(random(8) === 0 ? random(2 ** 24) : content.length, 0, 3);
      head[3] = random(random(2) === 0 ? 10 : 256);
      head[4] = random(256);
      head.writeUInt32BE(random(3) === 0 ? 0 : random(2 ** 31), 5);
      return Buffer.concat([head, content]);
    },
  };
};
