/** Randomness as a port, so that tests own it. */
import { randomBytes } from 'node:crypto';

/** Returns `count` bytes from a cryptographic source. */
export type RandomBytes = (count: number) => Uint8Array;

/** The operating system's source. */
export const systemRandom: RandomBytes = (count) => new Uint8Array(randomBytes(count));
