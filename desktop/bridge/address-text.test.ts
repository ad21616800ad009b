import { describe, expect, it } from 'vitest';
import fc from 'fast-check';
import { formatPrefix, parsePrefix } from '../../native/image/api.ts';
import { isInNetwork, readNetwork, writeNetwork } from './address-text.ts';
import type { Network } from './address-text.ts';

const network = (text: string): Network => {
  const read = readNetwork(text);
  if (typeof read === 'string') throw new Error(read);
  return read;
};

describe('addresses as typed', () => {
  it('reads and writes both families in their canonical form', () => {
    const texts = ['198.18.4.7', '0.0.0.0/0', '198.18.0.0/15', '2001:DB8:0:0:1:0:0:1', '::', '::/0', '2001:db8::/32', '::ffff:198.18.0.1'];
    expect(texts.map((text) => writeNetwork(network(text)))).toEqual([
      '198.18.4.7',
      '0.0.0.0/0',
      '198.18.0.0/15',
      '2001:db8::1:0:0:1',
      '::',
      '::/0',
      '2001:db8::/32',
      '::ffff:c612:1',
    ]);
  });

  it('says what is wrong, and the network that was meant', () => {
    expect(readNetwork('198.18.4.7/16')).toBe('198.18.4.7/16 has bits behind its length: write 198.18.0.0/16.');
    expect(readNetwork('198.18.4.0/33')).toContain('write /0 to /32');
    expect(readNetwork('2001:db8::/200')).toContain('write /0 to /128');
    for (const text of ['', '198.18.4', '198.18.4.256', '198.18.04.1', 'web', '2001:db8', '1::2::3', ':::', '198.18.0.0/1/2'])
      expect(typeof readNetwork(text), text).toBe('string');
  });

  it('agrees with the reader of the table compiler, seed printed on failure', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: (1n << 128n) - 1n }), fc.nat(128), fc.boolean(), (value, length, isShort) => {
        const family = isShort ? 4 : 6;
        const width = isShort ? 32 : 128;
        const bounded = Math.min(length, width);
        const bits = ((value & ((1n << BigInt(width)) - 1n)) >> BigInt(width - bounded)) << BigInt(width - bounded);
        const text = writeNetwork({ family, bits, length: bounded });
        const parsed = parsePrefix(text);
        expect(parsed).toBeDefined();
        expect(readNetwork(text)).toEqual({ family, bits, length: bounded });
        if (parsed !== undefined && !text.startsWith('::ffff:')) expect(formatPrefix(parsed)).toBe(text);
      }),
    );
  });

  it('knows what lies inside what', () => {
    expect(isInNetwork(network('198.18.4.7'), network('198.18.0.0/15'))).toBe(true);
    expect(isInNetwork(network('198.20.4.7'), network('198.18.0.0/15'))).toBe(false);
    expect(isInNetwork(network('198.18.0.0/14'.replace('18', '16')), network('198.18.0.0/15'))).toBe(false);
    expect(isInNetwork(network('2001:db8::1'), network('0.0.0.0/0'))).toBe(false);
  });
});
