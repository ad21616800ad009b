import { describe, expect, it } from 'vitest';
import { duplicateKeyOf, refuseDuplicateKeys } from './duplicate-keys.ts';

describe('a key that stands twice', () => {
  it('is found with both lines, however deep and however it is spelt', () => {
    expect(duplicateKeyOf('{\n  "a": 1,\n  "b": [ { "c": 1 },\n    { "c": 2, "d": "}{", \n      "\\u0063": 3 } ]\n}')).toEqual({
      key: 'c',
      firstLine: 4,
      line: 5,
    });
    expect(duplicateKeyOf('{"a":1,"a":1}')).toEqual({ key: 'a', firstLine: 1, line: 1 });
    expect(duplicateKeyOf('{"a":{"x":1},"b":{"x":1},\n"a":[]}')).toEqual({ key: 'a', firstLine: 1, line: 2 });
  });

  it('is not one in another object, in a value, or in an array of texts', () => {
    for (const text of ['{"a":"a","b":"a"}', '["a","a"]', '{"a":["b","b"],"b":[{"a":1},{"a":1}]}', '{"a\\"":1,"a":2}', '{}', '[]', '3', ''])
      expect(duplicateKeyOf(text)).toBeNull();
  });

  it('says the same about random documents as a parser that keeps all keys', () => {
    const seed = Date.now() % 100_000;
    let state = seed;
    const random = (below: number): number => {
      state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
      return Math.floor((state / 2_147_483_648) * below);
    };
    const make = (depth: number): { readonly text: string; readonly isDouble: boolean } => {
      const kind = depth > 3 ? 0 : random(3);
      if (kind === 0) return { text: ['1', '"a,b:{"', 'null', '"\\\\"'][random(4)] ?? '1', isDouble: false };
      const inner = Array.from({ length: random(4) }, () => make(depth + 1));
      const isDouble = inner.some((one) => one.isDouble);
      if (kind === 1) return { text: `[${inner.map(({ text }) => text).join(', ')}]`, isDouble };
      const keys = inner.map(() => ['a', 'b', 'c', 'd', 'e'][random(5)] ?? 'a');
      const entries = inner.map(({ text }, index) => `"${keys[index] ?? ''}" :${text}`);
      return { text: `{${entries.join(',\n')}}`, isDouble: isDouble || new Set(keys).size < keys.length };
    };
    for (let round = 0; round < 2_000; round++) {
      const { text, isDouble } = make(0);
      JSON.parse(text);
      expect(duplicateKeyOf(text) !== null, `seed ${String(seed)}: ${text}`).toBe(isDouble);
    }
  });

  it('refuses a policy with the line in the message', () => {
    expect(() => refuseDuplicateKeys('{\n"action": "allow",\n"action": "deny"}')).toThrow(
      /"action" stands twice.*line 2 and again in line 3/,
    );
  });
});
