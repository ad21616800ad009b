import { describe, expect, it } from 'vitest';
import { base32, isRecoveryCode, makeRecoverySet, otpauthUri, recoveryHash, totpCode, totpStepAt, totpStepOf } from './totp.ts';

/** RFC 6238, appendix B; its eight digits end in our six. */
const secret = Buffer.from('12345678901234567890');
const vectors: readonly (readonly [seconds: number, code: string])[] = [
  [59, '287082'],
  [1_111_111_109, '081804'],
  [1_111_111_111, '050471'],
  [1_234_567_890, '005924'],
  [2_000_000_000, '279037'],
  [20_000_000_000, '353130'],
];

describe('codes of authenticators', () => {
  it('are those of RFC 6238', () => {
    expect(vectors.map(([seconds]) => [seconds, totpCode(secret, totpStepAt(seconds * 1000))])).toEqual(vectors);
  });

  it('count in their own step and the one on each side, and no further', () => {
    const nowMs = 1_111_111_111_000;
    const step = totpStepAt(nowMs);
    const found = [-2, -1, 0, 1, 2].map((away) => totpStepOf(secret, totpCode(secret, step + away), nowMs));
    expect(found).toEqual([null, step - 1, step, step + 1, null]);
    expect([totpStepOf(secret, '', nowMs), totpStepOf(secret, '05047', nowMs), totpStepOf(secret, '0504711', nowMs)]).toEqual([
      null,
      null,
      null,
    ]);
  });

  it('go to authenticators as base32 and as an address', () => {
    // RFC 4648, section 10, without padding.
    expect(['f', 'fo', 'foo', 'foob', 'fooba', 'foobar'].map((text) => base32(Buffer.from(text)))).toEqual([
      'MY',
      'MZXQ',
      'MZXW6',
      'MZXW6YQ',
      'MZXW6YTB',
      'MZXW6YTBOI',
    ]);
    expect(otpauthUri(secret, { issuer: 'Nest lab', account: 'ada' })).toBe(
      'otpauth://totp/Nest%20lab:ada?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Nest%20lab&algorithm=SHA1&digits=6&period=30',
    );
  });
});

describe('recovery codes', () => {
  it('are ten different ones, found again however they are typed, and only with their salt', () => {
    let next = 0;
    const set = makeRecoverySet((bytes) => Uint8Array.from({ length: bytes }, () => next++ % 251));
    expect(new Set(set.codes).size).toBe(10);
    const [code = ''] = set.codes;
    expect(code).toMatch(/^[A-Z2-7]{4}(-[A-Z2-7]{4}){3}$/);
    expect(recoveryHash(set.salt, code.toLowerCase().replaceAll('-', ' '))).toEqual(set.hashes[0]);
    expect(recoveryHash(Buffer.alloc(16), code)).not.toEqual(set.hashes[0]);
    expect([isRecoveryCode(code), isRecoveryCode('123456'), isRecoveryCode('')]).toEqual([true, false, false]);
  });
});
