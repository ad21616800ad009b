/** ULIDs: 48 bits of time, 80 random bits, 26 characters of Crockford's base 32. */
import type { RandomBytes } from './random.ts';

const alphabet = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
const pattern = /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/;

/** A new ULID for the time `nowMs` (milliseconds since the Unix epoch), upper case. */
export const ulidOf = (nowMs: number, random: RandomBytes): string => {
  let bits = BigInt(Math.trunc(nowMs)) & ((1n << 48n) - 1n);
  for (const byte of random(10)) bits = (bits << 8n) | BigInt(byte);
  let text = '';
  for (let index = 0; index < 26; index += 1) {
    text = (alphabet[Number(bits & 31n)] ?? '') + text;
    bits >>= 5n;
  }
  return text;
};

/** True for an upper-case ULID. */
export const isUlid = (text: string): boolean => pattern.test(text);
