import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { isDropped, reasonNames } from '../../proto/model/reason.ts';

const read = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');

/** [number, name, dropped] of every reason in the C header. */
const headerReasons = [...read('bpf/include/nest/reason.h').matchAll(/X\((\d+), ([A-Z0-9_]+), ([01])\)/g)].map((match) => ({
  number: Number(match[1]),
  name: match[2],
  dropped: match[3] === '1',
}));

describe('drop reasons', () => {
  it('are the same list in C and in TypeScript, with the same outcome', () => {
    expect(headerReasons.length).toBeGreaterThan(10);
    expect(reasonNames.map((name, number) => ({ number, name, dropped: isDropped(name) }))).toEqual(headerReasons);
  });

  it('are the same list in the proto file', () => {
    const proto = [...read('proto/nest/v1/reason.proto').matchAll(/REASON_([A-Z0-9_]+) = (\d+);/g)].map((match) => ({
      number: Number(match[2]),
      name: match[1],
    }));
    expect(proto).toEqual(headerReasons.map(({ number, name }) => ({ number, name })));
  });

  it('are all explained in docs/REASONS.md', () => {
    const documented = [...read('docs/REASONS.md').matchAll(/^\| (\d+) +\| `([A-Z0-9_]+)` +\| (passes|dropped) +\|/gm)].map((match) => ({
      number: Number(match[1]),
      name: match[2],
      dropped: match[3] === 'dropped',
    }));
    expect(documented).toEqual(headerReasons);
  });

  it('fit the counter slots', () => {
    const slots = Number(/#define NEST_REASON_SLOTS +(\d+)/.exec(read('bpf/include/nest/reason.h'))?.[1]);
    expect(Number(/#define NEST_REASON_COUNT +(\d+)/.exec(read('bpf/include/nest/reason.h'))?.[1])).toBe(headerReasons.length);
    expect(slots).toBeGreaterThanOrEqual(headerReasons.length);
  });
});
