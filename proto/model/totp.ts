/**
 * Codes of authenticators (TOTP of RFC 6238: HMAC-SHA-1, six digits, 30 seconds, which is what every authenticator understands), and
 * recovery codes for the day it is lost. Both are checked by agents that are witnesses and shown by the console once.
 */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';

export const totpStepMs = 30_000;
export const totpSecretBytes = 20;
/** A code of the step before or after counts: clocks differ, fingers are slow. */
export const totpStepsAround = 1;
export const recoveryCodes = 10;
const recoverySaltBytes = 16;
const recoveryBytes = 10;
const digits = 6;
const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';

/** The number of the 30 seconds that a moment (milliseconds since the Unix epoch) lies in. */
export const totpStepAt = (atMs: number): number => Math.floor(atMs / totpStepMs);

/** Six digits. */
export const totpCode = (secret: Uint8Array, step: number): string => {
  const counter = Buffer.alloc(8);
  counter.writeBigUInt64BE(BigInt(step));
  const hash = createHmac('sha1', secret).update(counter).digest();
  const offset = (hash[hash.length - 1] ?? 0) & 0xf;
  return String((hash.readUInt32BE(offset) & 0x7fffffff) % 10 ** digits).padStart(digits, '0');
};

/** The step that the code belongs to, among those around `nowMs`; null when it is none of theirs. */
export const totpStepOf = (secret: Uint8Array, code: string, nowMs: number): number | null => {
  const now = totpStepAt(nowMs);
  for (let step = now - totpStepsAround; step <= now + totpStepsAround; step += 1)
    if (isEqualText(totpCode(secret, step), code)) return step;
  return null;
};

/** Without padding, as authenticators take it. */
export const base32 = (bytes: Uint8Array): string => {
  let text = '';
  let bits = 0;
  let value = 0;
  for (const byte of bytes) {
    value = (value << 8) | byte;
    bits += 8;
    for (; bits >= 5; bits -= 5) text += alphabet[(value >>> (bits - 5)) & 31] ?? '';
    value &= (1 << bits) - 1;
  }
  return bits === 0 ? text : text + (alphabet[(value << (5 - bits)) & 31] ?? '');
};

/** What an authenticator scans or is given. */
export const otpauthUri = (secret: Uint8Array, { issuer, account }: { readonly issuer: string; readonly account: string }): string => {
  const label = `${encodeURIComponent(issuer)}:${encodeURIComponent(account)}`;
  return `otpauth://totp/${label}?secret=${base32(secret)}&issuer=${encodeURIComponent(issuer)}&algorithm=SHA1&digits=6&period=30`;
};

export interface RecoverySet {
  /** To be shown once: four groups of four characters with dashes between them, 80 bits each. */
  readonly codes: readonly string[];
  readonly salt: Buffer;
  /** SHA-256 over salt and code. */
  readonly hashes: readonly Buffer[];
}

/** Ten fresh codes. `random` gives that many bytes. */
export const makeRecoverySet = (random: (bytes: number) => Uint8Array): RecoverySet => {
  const salt = Buffer.from(random(recoverySaltBytes));
  const codes = Array.from({ length: recoveryCodes }, () => (base32(random(recoveryBytes)).match(/.{4}/g) ?? []).join('-'));
  return { codes, salt, hashes: codes.map((code) => recoveryHash(salt, code)) };
};

/** The hash of a code as somebody typed it: small letters, spaces and dashes do not matter. */
export const recoveryHash = (salt: Uint8Array, code: string): Buffer => createHash('sha256').update(salt).update(plainCode(code)).digest();

/** Whether the text is meant as a recovery code, not as one of an authenticator. */
export const isRecoveryCode = (code: string): boolean => plainCode(code).length === 16 && /^[A-Z2-7]+$/.test(plainCode(code));

const plainCode = (code: string): string => code.replaceAll(/[\s-]/g, '').toUpperCase();

const isEqualText = (a: string, b: string): boolean => a.length === b.length && timingSafeEqual(Buffer.from(a), Buffer.from(b));
