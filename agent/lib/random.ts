import { randomBytes } from 'node:crypto';

/** Port to randomness, so that tests own it. */
export interface RandomSource {
  /** That many bytes, unpredictable. */
  bytes(count: number): Uint8Array;
}

/** The operating system's generator. */
export const systemRandom: RandomSource = { bytes: (count) => randomBytes(count) };
