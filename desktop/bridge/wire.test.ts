import { describe, expect, it } from 'vitest';
import fc from 'fast-check';
import { parseClientFrame } from './client-frames.ts';
import { TokenBucket } from './token-bucket.ts';
import { fitsBytes, parseServerFrame, policyMethods } from './wire.ts';
import { contract } from './contract.ts';

/** Any code points but halves of pairs, as many of each length in UTF-8. */
const anyText = (maxLength: number): fc.Arbitrary<string> => {
  const point = fc.oneof(
    fc.nat({ max: 0x7f }),
    fc.integer({ min: 0x80, max: 0x7ff }),
    fc.integer({ min: 0x800, max: 0xd7ff }),
    fc.integer({ min: 0xe000, max: 0xffff }),
    fc.integer({ min: 0x1_0000, max: 0x10_ffff }),
  );
  return fc.array(point, { maxLength }).map((points) => String.fromCodePoint(...points));
};

describe('the wire', () => {
  it('counts bytes as UTF-8 does', () => {
    fc.assert(
      fc.property(anyText(200), fc.nat({ max: 800 }), (text, max) => {
        expect(fitsBytes(text, max)).toBe(Buffer.byteLength(text) <= max);
      }),
      { verbose: true },
    );
  });

  it('reads any text as a frame, an unknown kind or a broken one, and never throws', () => {
    const kinds = new Set(['frame', 'ignored', 'broken']);
    fc.assert(
      fc.property(
        fc.oneof(
          fc.json(),
          fc.string(),
          fc
            .record({
              t: fc.constantFrom('hello', 'call', 'open', 'cancel', 'credit', 'result', 'item', '__proto__'),
              v: fc.anything(),
              id: fc.anything(),
              m: fc.anything(),
            })
            .map((value) => JSON.stringify(value) ?? ''),
        ),
        (text) => {
          expect(kinds.has(parseClientFrame(text).kind)).toBe(true);
          expect(kinds.has(parseServerFrame(text).kind)).toBe(true);
        },
      ),
      { verbose: true },
    );
  });

  it('names as policy methods exactly those whose input holds a policy text', () => {
    const large = 'x'.repeat(2 << 20);
    const texts = ['policy', 'text', 'draft'];
    const holders = Object.entries(contract).filter(([, { input }]) => {
      // A text of two megabytes is refused as too long by every other field, or as an unknown key.
      const issues = texts.map((key) => input.safeParse({ [key]: large }).error?.issues ?? []);
      return issues.some((found) => !found.some(({ code }) => code === 'unrecognized_keys'));
    });
    expect(new Set(holders.map(([name]) => name))).toEqual(policyMethods);
  });

  it('lets a bucket give its rate at once, then as time passes', () => {
    let now = 0;
    const bucket = new TokenBucket(200, () => now);
    const taken = (): number => Array.from({ length: 500 }, () => bucket.take()).filter(Boolean).length;
    expect(taken()).toBe(200);
    now = 50;
    expect(taken()).toBe(10);
    now = 60_000;
    expect(taken()).toBe(200);
  });
});
