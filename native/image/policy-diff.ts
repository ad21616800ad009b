/** What changes from one policy to another: as data for programs, as lines for people. Order, repetition and spelling of entries do not count. */
import { denyListRows, mappingRows, serviceRows } from './diff-rows.ts';
import type { Row, Rows } from './diff-rows.ts';
import type { Policy } from './policy-schema.ts';

export interface FieldChange {
  /** For instance "priority". */
  readonly field: string;
  readonly before: string;
  readonly after: string;
}

export interface ChangedEntry {
  readonly name: string;
  readonly fields: readonly FieldChange[];
}

interface EntryChanges {
  /** Names, sorted. */
  readonly added: readonly string[];
  readonly removed: readonly string[];
  readonly changed: readonly ChangedEntry[];
}

export interface DiffLine {
  readonly kind: 'same' | 'added' | 'removed';
  /** Without the sign, indented as in the document. */
  readonly text: string;
}

export interface PolicyDiff {
  readonly isEmpty: boolean;
  readonly defaultAction: FieldChange | undefined;
  readonly services: EntryChanges;
  readonly mappings: EntryChanges;
  readonly denyLists: EntryChanges;
  /** Changed entries with their unchanged fields around; at most 2,000 lines. */
  readonly lines: readonly DiffLine[];
  /** Lines left out because of that limit. */
  readonly linesHidden: number;
  /** Counts of all added and removed lines, hidden ones included. */
  readonly linesAdded: number;
  readonly linesRemoved: number;
}

const linesMax = 2000;
const columnWidth = 28;

/** Compares two policies; `before` undefined = there was none. */
export const diffPolicies = (before: Policy | undefined, after: Policy): PolicyDiff => {
  const services = compareEntries(before?.services ?? [], after.services, serviceRows);
  const mappings = compareEntries(before?.mappings ?? [], after.mappings, mappingRows);
  const denyLists = compareEntries(before?.denyLists ?? [], after.denyLists, denyListRows);
  const previousAction = before?.defaultAction ?? '';
  const defaultAction =
    previousAction === after.defaultAction ? undefined : { field: 'defaultAction', before: previousAction, after: after.defaultAction };
  const lines: DiffLine[] = [];
  if (defaultAction !== undefined) {
    if (before !== undefined) lines.push({ kind: 'removed', text: `defaultAction: ${defaultAction.before}` });
    lines.push({ kind: 'added', text: `defaultAction: ${defaultAction.after}` });
  }
  if (services.lines.length > 0) lines.push({ kind: 'same', text: 'services:' }, ...services.lines);
  if (mappings.lines.length > 0) lines.push({ kind: 'same', text: 'mappings:' }, ...mappings.lines);
  if (denyLists.lines.length > 0) lines.push({ kind: 'same', text: 'denyLists:' }, ...denyLists.lines);
  return {
    isEmpty: lines.length === 0,
    defaultAction,
    services: services.changes,
    mappings: mappings.changes,
    denyLists: denyLists.changes,
    lines: lines.slice(0, linesMax),
    linesHidden: Math.max(0, lines.length - linesMax),
    linesAdded: lines.filter(({ kind }) => kind === 'added').length,
    linesRemoved: lines.filter(({ kind }) => kind === 'removed').length,
  };
};

const compareEntries = <T extends { readonly name: string }>(
  before: readonly T[],
  after: readonly T[],
  rowsOf: (entry: T) => Rows,
): { changes: EntryChanges; lines: DiffLine[] } => {
  const old = new Map(before.map((entry) => [entry.name, entry]));
  const current = new Map(after.map((entry) => [entry.name, entry]));
  const changes = { added: [] as string[], removed: [] as string[], changed: [] as ChangedEntry[] };
  const lines: DiffLine[] = [];
  for (const name of [...new Set([...old.keys(), ...current.keys()])].sort()) {
    const [left, right] = [old.get(name), current.get(name)];
    if (left === undefined && right !== undefined) {
      changes.added.push(name);
      lines.push(...textOf(rowsOf(right)).map((text) => ({ kind: 'added' as const, text })));
    } else if (left !== undefined && right === undefined) {
      changes.removed.push(name);
      lines.push(...textOf(rowsOf(left)).map((text) => ({ kind: 'removed' as const, text })));
    } else if (left !== undefined && right !== undefined) {
      const fields = changedFields(rowsOf(left), rowsOf(right));
      if (fields.length === 0) continue;
      changes.changed.push({ name, fields });
      lines.push(...changedLines(rowsOf(left), rowsOf(right)));
    }
  }
  return { changes, lines };
};

const changedFields = (left: Rows, right: Rows): FieldChange[] => {
  const before = new Map(left.flat());
  const after = new Map(right.flat());
  const names = new Set([...before.keys(), ...after.keys()]);
  return [...names].flatMap((field) => {
    const change = { field, before: before.get(field) ?? '', after: after.get(field) ?? '' };
    return change.before === change.after ? [] : [change];
  });
};

/** Rows have one order on both sides; those that one side alone has stand where they belong. */
const changedLines = (left: Rows, right: Rows): DiffLine[] => {
  const lines: DiffLine[] = [];
  const before = textOf(left);
  const after = textOf(right);
  const rightKeys = new Set(right.map(keyOf));
  let next = 0;
  for (const [position, row] of left.entries()) {
    const text = before[position] ?? '';
    if (!rightKeys.has(keyOf(row))) {
      lines.push({ kind: 'removed', text });
      continue;
    }
    for (; next < right.length && keyAt(right, next) !== keyOf(row); next++) lines.push({ kind: 'added', text: after[next] ?? '' });
    const other = after[next++] ?? '';
    if (text === other) lines.push({ kind: 'same', text });
    else lines.push({ kind: 'removed', text }, { kind: 'added', text: other });
  }
  for (; next < right.length; next++) lines.push({ kind: 'added', text: after[next] ?? '' });
  return lines;
};

const keyOf = (row: Row): string => row[0][0];

const keyAt = (rows: Rows, position: number): string | undefined => rows[position]?.[0][0];

const textOf = (rows: Rows): string[] =>
  rows.map((row, position) => {
    const text = row.map(([name, value]) => `${name}: ${value}`);
    const line = text.length < 2 ? (text[0] ?? '') : `${(text[0] ?? '').padEnd(columnWidth)} ${text.slice(1).join(' ')}`;
    return `  ${position === 0 ? '- ' : '  '}${line}`;
  });
