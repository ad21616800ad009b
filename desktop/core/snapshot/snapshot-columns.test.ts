import { describe, expect, it } from 'vitest';
import { toErrorShape } from '../../../proto/model/error.ts';
import { decodeColumn, encodeColumn } from './snapshot-columns.ts';

const codeOf = (column: unknown): string => {
  try {
    decodeColumn(column);
    return 'accepted';
  } catch (error) {
    return toErrorShape(error).code;
  }
};

describe('columns', () => {
  it('give back what went in: missing keys, mixed kinds, lists of any length', () => {
    const values = [
      { a: 1, b: [{ c: 'x' }, { c: null, d: [] }], e: { f: true } },
      { a: 2, b: [], e: null },
      { a: 2.5, b: [{ c: 'y' }], extra: [1, 'two', [3], { four: 4 }] },
      {},
      'text',
      null,
      [[], [[1]]],
    ];
    expect(decodeColumn(JSON.parse(JSON.stringify(encodeColumn(values))))).toEqual(values);
    expect(decodeColumn(encodeColumn([]))).toEqual([]);
  });

  it('say once what is the same everywhere', () => {
    const hosts = Array.from({ length: 100 }, (_, index) => ({ system: 'Debian', names: ['eth0', 'eth1'], index }));
    expect(JSON.stringify(encodeColumn(hosts)).length).toBeLessThan(JSON.stringify(hosts).length / 3);
    const manyKeys = [Object.fromEntries(Array.from({ length: 300 }, (_, index) => [`key${String(index)}`, index]))];
    expect(decodeColumn(encodeColumn(manyKeys))).toEqual(manyKeys);
  });

  it('that promise more than is allowed, or do not fit together, are refused', () => {
    let deep: unknown = ['v', [1]];
    for (let level = 0; level < 100; level += 1) deep = ['a', ['c', 1, 1], deep];
    const wrong = [
      ['c', 4e9, 'x'],
      ['x', 1e308],
      ['o', 1e7, {}],
      ['a', ['c', 3_000_000, 1], ['c', 3_000_000, 0]],
      ['a', ['v', [2]], ['v', [1]]],
      ['a', ['v', [1]], ['v', [1, 2]]],
      ['a', ['v', [-1, 2]], ['v', [1]]],
      ['o', 2, { a: ['v', [1]] }],
      ['o', 1, JSON.parse('{"__proto__":["v",[1]]}')],
      ['m', ['v', [7]], [['v', [1]]]],
      ['m', ['v', [0, 0]], [['v', [1]]]],
      ['v', 'text'],
      ['c', -1, 0],
      ['z', 1],
      'text',
      null,
      deep,
    ];
    expect(wrong.map(codeOf)).toEqual(wrong.map(() => 'SNAPSHOT_INVALID'));
  });
});
