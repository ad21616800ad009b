import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { parseToken } from './token.ts';

describe('join token', () => {
  const bytes = randomBytes(80);
  const text = `nest1.${bytes.toString('base64url')}`;

  it('gives id, key and pin, with the white space of a paste around it', () => {
    const token = parseToken(`  ${text}\n`);
    expect([token.id, token.rootSpkiHash]).toEqual([bytes.subarray(0, 16), bytes.subarray(48)]);
    expect(token.key).toHaveLength(32);
    expect(token.key).not.toEqual(bytes.subarray(16, 48));
  });

  it.each([
    ['nothing', ''],
    ['another prefix', `nest2.${bytes.toString('base64url')}`],
    ['a missing end', text.slice(0, -1)],
    ['a byte too many', `nest1.${Buffer.concat([bytes, Buffer.alloc(1)]).toString('base64url')}`],
    ['a foreign character', `${text.slice(0, -1)}!`],
    ['padding', `${text}=`],
    ['standard base64', `nest1.${Buffer.alloc(80, 0xff).toString('base64')}`],
    ['a space inside', `${text.slice(0, 40)} ${text.slice(40)}`],
    ['a script', 'nest1.<script>alert(1)</script>'],
    ['a megabyte', `nest1.${'A'.repeat(1 << 20)}`],
  ])('refuses %s without repeating it', (_what, hostile) => {
    expect(() => parseToken(hostile)).toThrow(
      expect.objectContaining({
        code: 'TOKEN_INVALID',
        message: expect.not.stringContaining(bytes.toString('base64url').slice(0, 20)) as string,
      }) as Error,
    );
  });
});
