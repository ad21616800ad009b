/**
 * Many alike JSON values as columns: every key once, numbers of one kind beside each other, what is the same everywhere said once.
 * Half the size of rows once compressed, and less to compress. Column: ["c", count, value] the same scalar; ["v", values] as they are;
 * ["x", count] not there; ["a", lengths, elements] arrays; ["o", count, {key: column}] objects; ["m", kinds, [column of each kind]] mixed.
 */
import { damaged } from '../../../proto/model/snapshot.ts';

export type Column = readonly unknown[];

/** Values one column may decode to: it could say "the same" a billion times. */
const valuesMax = 4_000_000;
const depthMax = 32;
/** Objects with more different keys are kept as they are. */
const keysMax = 256;

/** Kinds of values, in the order of a mixed column. */
const kindOf = (value: unknown): number => {
  if (value === undefined) return 3;
  if (typeof value !== 'object' || value === null) return 0;
  return Array.isArray(value) ? 1 : 2;
};

/** `values` are JSON; undefined stands for a key that an object does not have. */
export const encodeColumn = (values: readonly unknown[]): Column => {
  const [first] = values;
  const kind = kindOf(first);
  let isSame = true;
  for (const value of values) {
    if (value === first) continue;
    if (kindOf(value) !== kind) return mixedColumn(values);
    isSame = false;
  }
  if (values.length === 0) return ['v', values];
  switch (kind) {
    case 0:
      return isSame ? ['c', values.length, first] : ['v', values];
    case 1: {
      const lists = values as readonly (readonly unknown[])[];
      return ['a', encodeColumn(lists.map(({ length }) => length)), encodeColumn(lists.flat())];
    }
    case 2:
      return objectColumn(values as readonly Readonly<Record<string, unknown>>[]);
    default:
      return ['x', values.length];
  }
};

const objectColumn = (values: readonly Readonly<Record<string, unknown>>[]): Column => {
  const keys = new Set<string>();
  for (const value of values) for (const key of Object.keys(value)) keys.add(key);
  if (keys.size > keysMax) return ['v', values];
  const columns = [...keys].map((key): [string, Column] => [key, encodeColumn(values.map((value) => value[key]))]);
  return ['o', values.length, Object.fromEntries(columns)];
};

const mixedColumn = (values: readonly unknown[]): Column => {
  const kinds = values.map(kindOf);
  const parts = [0, 1, 2, 3].map((kind) => encodeColumn(values.filter((_value, index) => kinds[index] === kind)));
  return ['m', encodeColumn(kinds), parts];
};

/** The values again. Raises SNAPSHOT_INVALID for what is no column, or would become too much. */
export const decodeColumn = (column: unknown): readonly unknown[] => decode(column, { left: valuesMax }, 0);

interface Budget {
  left: number;
}

const decode = (column: unknown, budget: Budget, depth: number): readonly unknown[] => {
  if (!Array.isArray(column) || depth > depthMax) throw broken();
  const [form, first, second] = column as readonly unknown[];
  switch (form) {
    case 'c':
      return Array.from({ length: spend(budget, first) }, () => second);
    case 'x':
      return Array.from({ length: spend(budget, first) }, () => undefined);
    case 'v':
      if (!Array.isArray(first)) throw broken();
      spend(budget, first.length);
      return first as readonly unknown[];
    case 'a':
      return arraysOf(decode(first, budget, depth + 1), decode(second, budget, depth + 1));
    case 'o':
      return objectsOf(spend(budget, first), second, (inner) => decode(inner, budget, depth + 1));
    case 'm':
      if (!Array.isArray(second)) throw broken();
      return mixedOf(
        decode(first, budget, depth + 1),
        second.map((part) => decode(part, budget, depth + 1)),
      );
    default:
      throw broken();
  }
};

const spend = (budget: Budget, count: unknown): number => {
  if (typeof count !== 'number' || !Number.isInteger(count) || count < 0 || count > budget.left) throw broken();
  budget.left -= count;
  return count;
};

const arraysOf = (lengths: readonly unknown[], elements: readonly unknown[]): readonly unknown[] => {
  let offset = 0;
  const lists = lengths.map((length) => {
    if (typeof length !== 'number' || !Number.isInteger(length) || length < 0 || offset + length > elements.length) throw broken();
    offset += length;
    return elements.slice(offset - length, offset);
  });
  if (offset !== elements.length) throw broken();
  return lists;
};

const objectsOf = (count: number, columns: unknown, inner: (column: unknown) => readonly unknown[]): readonly unknown[] => {
  if (typeof columns !== 'object' || columns === null) throw broken();
  const objects = Array.from({ length: count }, (): Record<string, unknown> => ({}));
  for (const [key, column] of Object.entries(columns)) {
    const values = inner(column);
    if (values.length !== count || key === '__proto__') throw broken();
    for (const [index, object] of objects.entries()) {
      const value = values[index];
      if (value !== undefined) object[key] = value;
    }
  }
  return objects;
};

const mixedOf = (kinds: readonly unknown[], parts: readonly (readonly unknown[])[]): readonly unknown[] => {
  const next = parts.map(() => 0);
  return kinds.map((kind) => {
    const place = typeof kind === 'number' ? next[kind] : undefined;
    const part = typeof kind === 'number' ? parts[kind] : undefined;
    if (place === undefined || part === undefined || place >= part.length) throw broken();
    next[kind as number] = place + 1;
    return part[place];
  });
};

const broken = () => damaged('a table in it is malformed, or larger than is allowed');
