import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import {
  addressFromBytes,
  addressToBytes,
  formatAddress,
  formatPrefix,
  isWithin,
  networkOf,
  parseAddress,
  parsePrefix,
} from './address.ts';

const format = (text: string): string | undefined => {
  const prefix = parsePrefix(text);
  return prefix === undefined ? undefined : formatPrefix(prefix);
};

describe('addresses', () => {
  it.each([
    ['198.18.0.1', '198.18.0.1'],
    ['0.0.0.0/0', '0.0.0.0/0'],
    ['255.255.255.255/32', '255.255.255.255'],
    ['2001:DB8:0:0:0:0:0:1', '2001:db8::1'],
    ['2001:db8:0:1:0:0:0:1', '2001:db8:0:1::1'],
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['::', '::'],
    ['::/0', '::/0'],
    ['1::', '1::'],
    ['::ffff:198.18.0.1', '::ffff:198.18.0.1'],
    ['::ffff:c612:1', '::ffff:198.18.0.1'],
    ['64:ff9b::198.18.0.1', '64:ff9b::c612:1'],
    ['1:2:3:4:5:6:7::', '1:2:3:4:5:6:7:0'],
    ['2001:db8::/32', '2001:db8::/32'],
  ])('reads %s and writes %s', (text, expected) => {
    expect(format(text)).toBe(expected);
  });

  it.each([
    '',
    '1',
    '1.2.3',
    '1.2.3.4.5',
    '1.2.3.256',
    '01.2.3.4',
    '1.2.3.04',
    '1.2.3.4/33',
    '1.2.3.4/',
    '1.2.3.4/-1',
    '1.2.3.4/08',
    '1.2.3.4/+8',
    ' 1.2.3.4',
    '1.2.3.4 ',
    '1..2.3',
    '0x7f.0.0.1',
    '1.2.3.4/1/2',
    '１.2.3.4',
    ':',
    ':::',
    '::1::',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '1:2:3:4:5:6:7:8::',
    '12345::',
    'g::',
    ':1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:',
    '::1%eth0',
    '[::1]',
    '::/129',
    '::1.2.3',
    '1.2.3.4::',
    '::1.2.3.4:5',
    '2001:db8::1/',
    'any',
    `${'1'.repeat(70)}::`,
  ])('refuses %j', (text) => {
    expect(parsePrefix(text)).toBeUndefined();
  });

  it('survives a round trip through text and bytes for every address', () => {
    const octet = fc.integer({ min: 0, max: 255 });
    const zeroes = fc.oneof({ weight: 2, arbitrary: fc.constant(0) }, octet);
    const bytes = fc.oneof(fc.array(octet, { minLength: 4, maxLength: 4 }), fc.array(zeroes, { minLength: 16, maxLength: 16 }));
    fc.assert(
      fc.property(bytes, (list) => {
        const address = addressFromBytes(Uint8Array.from(list));
        expect(address).toBeDefined();
        if (address === undefined) return;
        expect(parseAddress(formatAddress(address))).toEqual(address);
        expect([...addressToBytes(address)]).toEqual(list);
      }),
    );
  });

  it('clears host bits and knows what lies within what', () => {
    const prefix = (text: string) => {
      const parsed = parsePrefix(text);
      if (parsed === undefined) throw new Error(text);
      return parsed;
    };
    expect(formatPrefix(networkOf(prefix('198.18.7.9/15')))).toBe('198.18.0.0/15');
    expect(formatPrefix(networkOf(prefix('2001:db8:ffff:ffff::1/35')))).toBe('2001:db8:e000::/35');
    expect(isWithin(prefix('198.19.0.0/16'), prefix('198.18.0.0/15'))).toBe(true);
    expect(isWithin(prefix('198.18.0.0/15'), prefix('198.18.0.0/15'))).toBe(true);
    expect(isWithin(prefix('198.18.0.0/15'), prefix('198.19.0.0/16'))).toBe(false);
    expect(isWithin(prefix('198.20.0.0/16'), prefix('198.18.0.0/15'))).toBe(false);
    expect(isWithin(prefix('2001:db8:1::/48'), prefix('2001:db8::/32'))).toBe(true);
    expect(isWithin(prefix('::/0'), prefix('0.0.0.0/0'))).toBe(false);
  });

  it('refuses bytes of another length', () => {
    expect(addressFromBytes(new Uint8Array(6))).toBeUndefined();
  });
});
