import { describe, expect, it } from 'vitest';
import { z } from 'zod/mini';
import { fieldWords, issueWords } from './issue-words.ts';

const schema = z.strictObject({
  name: z.string().check(z.minLength(1), z.maxLength(3)),
  port: z.int().check(z.minimum(1), z.maximum(65_535)),
  kind: z.enum(['one', 'two']),
  hosts: z.array(z.string().check(z.regex(/^[a-z]+$/))).check(z.maxLength(2)),
  own: z.optional(z.string().check(z.regex(/^x$/, 'write x'))),
});
const good = { name: 'a', port: 1, kind: 'one', hosts: [] };
const wordsOf = (input: unknown): readonly string[] =>
  schema.safeParse(input, { error: issueWords }).error?.issues.map(({ path, message }) => `${fieldWords(path)}: ${message}`) ?? [];

describe('what is wrong with an input', () => {
  it('is said in plain words', () => {
    expect(wordsOf(good)).toEqual([]);
    const { name: _name, ...nameless } = good;
    for (const [input, words] of [
      [nameless, 'name: it is missing'],
      [{ ...good, name: 7 }, 'name: it must be a text'],
      [{ ...good, name: '' }, 'name: it is empty'],
      [{ ...good, name: 'long' }, 'name: it has more than 3 characters'],
      [{ ...good, port: 70_000 }, 'port: it must be at most 65535'],
      [{ ...good, port: 0 }, 'port: it must be at least 1'],
      [{ ...good, port: 1.5 }, 'port: it must be a whole number'],
      [{ ...good, kind: 'six' }, 'kind: it must be "one" or "two"'],
      [{ ...good, hosts: ['a', 'B'] }, 'hosts, entry 2: it is not written as it should be'],
      [{ ...good, hosts: ['a', 'b', 'c'] }, 'hosts: it has more than 2 entries'],
      [{ ...good, colour: 'red' }, ': nobody knows "colour" here'],
      [{ ...good, own: 'y' }, 'own: write x'],
      [7, ': it must be an object'],
    ] as const)
      expect(wordsOf(input)).toEqual([words]);
  });

  it('is placed by the words of the field', () => {
    expect(fieldWords(['fleetName'])).toBe('fleet name');
    expect(fieldWords(['hostIds', 2])).toBe('host ids, entry 3');
  });
});
