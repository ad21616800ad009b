/** The hash that a balancer asks its ring with, as bpf/include/nest/maglev.h; a test holds them equal. */
import type { Address } from './address.ts';
import { ringSize } from './limits.ts';

/** What decides on a backend. Addresses of one family. */
export interface BalancedTuple {
  readonly source: Address;
  readonly destination: Address;
  readonly sourcePort: number;
  readonly destinationPort: number;
  /** IP protocol number. */
  readonly protocol: number;
}

const hashSeed = 0x4e45_5354;

/** Unsigned 32-bit hash of a flow; with `isBySource` of its source address alone. */
export const flowHash = (tuple: BalancedTuple, isBySource: boolean): number => {
  const source = hashAddress(hashSeed, tuple.source);
  if (isBySource) return source >>> 0;
  const ports = (swap16(tuple.sourcePort) | (swap16(tuple.destinationPort) << 16)) >>> 0;
  return hashWord(hashWord(hashAddress(source, tuple.destination), ports), tuple.protocol) >>> 0;
};

/** Position in a Maglev ring that a flow asks, 0..65536. */
export const ringPosition = (tuple: BalancedTuple, isBySource: boolean): number => flowHash(tuple, isBySource) % ringSize;

/**
 * Where a backend stands in its ring, unsigned 32-bit. Its name, address and port alone decide, so that a change of one backend
 * moves no other; `address` as `formatAddress` writes it, port 0 = as in the packet.
 */
export const backendSeed = (name: string, address: string, port: number): number => {
  let hash = 0x811c_9dc5;
  for (const byte of new TextEncoder().encode(`${name}|${address}|${String(port)}`)) hash = Math.imul(hash ^ byte, 0x0100_0193);
  return hashWord(hash, 0) >>> 0;
};

/** Every bit of the word moves every bit of the hash. */
const hashWord = (hash: number, word: number): number => {
  let mixed = hash ^ word;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x7feb_352d);
  mixed = Math.imul(mixed ^ (mixed >>> 15), 0x846c_a68b);
  return mixed ^ (mixed >>> 16);
};

/** The data path reads addresses as little-endian words. */
const hashAddress = (hash: number, { family, words }: Address): number => {
  const first = hashWord(hash, swap32(words[0]));
  if (family === 4) return first;
  return hashWord(hashWord(hashWord(first, swap32(words[1])), swap32(words[2])), swap32(words[3]));
};

const swap32 = (word: number): number => (swap16(word >>> 16) | (swap16(word & 0xffff) << 16)) >>> 0;

const swap16 = (value: number): number => ((value & 0xff) << 8) | ((value >>> 8) & 0xff);
