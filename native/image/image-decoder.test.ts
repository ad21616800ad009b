import { describe, expect, it } from 'vitest';

import { Random, randomPolicy } from '../../test/support/random-policy.ts';
import { compilePolicy, openImage, parsePolicy } from './api.ts';

const { image } = compilePolicy(parsePolicy(randomPolicy(new Random(7), { services: 6, mappings: 12 })));

/** The image with one 32-bit word replaced. */
const withWord = (offset: number, value: number): Uint8Array => {
  const copy = image.slice();
  new DataView(copy.buffer).setUint32(offset, value, true);
  return copy;
};

const codeOf = (bytes: Uint8Array): string => {
  try {
    openImage(bytes).judge({ source: '198.18.0.1', destination: '198.18.64.2', protocol: 6, destinationPort: 443 });
    return 'accepted';
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
};

describe('opening a table image', () => {
  it('accepts what the compiler wrote, also from the middle of a larger buffer', () => {
    const larger = new Uint8Array(image.length + 13);
    larger.set(image, 5);
    expect(codeOf(image)).toBe('accepted');
    expect(codeOf(larger.subarray(5, 5 + image.length))).toBe('accepted');
  });

  it.each([
    ['nothing', new Uint8Array()],
    ['a header alone', image.slice(0, 96)],
    ['one byte too few', image.slice(0, -1)],
    ['one byte too many', Uint8Array.from([...image, 0])],
    ['another magic', withWord(0, 0)],
    ['another version', withWord(8, 1)],
    ['unknown flags', withWord(12, 0xff)],
    ['more identities than bytes', withWord(16, 1000)],
    ['a count of four thousand million', withWord(24, 0xffff_ffff)],
    ['fewer classes than it uses', withWord(44, 1)],
    ['reserved fields set', withWord(92, 1)],
    ['a prefix of 33 bits', withWord(96, 33)],
    ['an unknown class', withWord(104, 9999)],
  ])('refuses %s', (_, bytes) => {
    expect(codeOf(bytes)).toBe('IMAGE_INVALID');
  });

  it('refuses or survives every damage of one byte', () => {
    const random = new Random(11);
    for (let count = 0; count < 4000; count++) {
      const copy = image.slice();
      const position = random.between(0, copy.length - 1);
      copy[position] = random.between(0, 255);
      expect(['accepted', 'IMAGE_INVALID'], `byte ${String(position)}`).toContain(codeOf(copy));
    }
  });
});
