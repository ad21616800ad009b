/** What changes from one policy to another: as data for programs, as lines for people. Order, repetition and spelling of entries do not count. */
import { formatPrefix, parsePrefix } from './address.ts';
import { portRangesOf } from './port-range.ts';
import type { Policy, PolicyMapping, PolicyService } from './policy-schema.ts';
import { sideOf } from './traffic-match.ts';

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
  const services = compareEntries(before?.services ?? [], after.services, serviceFields);
  const mappings = compareEntries(before?.mappings ?? [], after.mappings, mappingFields);
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
  return {
    isEmpty: lines.length === 0,
    defaultAction,
    services: services.changes,
    mappings: mappings.changes,
    lines: lines.slice(0, linesMax),
    linesHidden: Math.max(0, lines.length - linesMax),
    linesAdded: lines.filter(({ kind }) => kind === 'added').length,
    linesRemoved: lines.filter(({ kind }) => kind === 'removed').length,
  };
};

/** Rows of an entry as it is shown: one or two fields a row. */
type Rows = readonly (readonly Field[])[];
type Field = readonly [name: string, value: string];

const serviceFields = (service: PolicyService): Rows => {
  const addresses = new Set(service.addresses.map((text) => canonicalAddress(text)));
  return [[['name', service.name]], [['addresses', `[${[...addresses].sort().join(', ')}]`]]];
};

const mappingFields = (mapping: PolicyMapping): Rows => {
  const ports = portRangesOf(mapping.ports ?? []).map(({ first, last }) =>
    first === last ? `"${String(first)}"` : `"${String(first)}-${String(last)}"`,
  );
  const protocols: Field = ['protocols', `[${sideOf(mapping.protocols).join(', ')}]`];
  return [
    [['name', mapping.name]],
    [['sources', `[${sideOf(mapping.sources).join(', ')}]`]],
    [['destinations', `[${sideOf(mapping.destinations).join(', ')}]`]],
    ports.length === 0 ? [protocols] : [protocols, ['ports', `[${ports.join(', ')}]`]],
    [
      ['action', mapping.action],
      ['priority', String(mapping.priority)],
    ],
  ];
};

const canonicalAddress = (text: string): string => {
  const prefix = parsePrefix(text);
  return prefix === undefined ? text : formatPrefix(prefix);
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
      lines.push(...changedLines(textOf(rowsOf(left)), textOf(rowsOf(right))));
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

/** Rows stand at the same place on both sides, so lines compare one to one. */
const changedLines = (left: readonly string[], right: readonly string[]): DiffLine[] =>
  left.flatMap((text, row): DiffLine[] => {
    const other = right[row] ?? '';
    if (text === other) return [{ kind: 'same', text }];
    return [
      { kind: 'removed', text },
      { kind: 'added', text: other },
    ];
  });

const textOf = (rows: Rows): string[] =>
  rows.map((row, position) => {
    const text = row.map(([name, value]) => `${name}: ${value}`);
    const line = text.length < 2 ? (text[0] ?? '') : `${(text[0] ?? '').padEnd(columnWidth)} ${text.slice(1).join(' ')}`;
    return `  ${position === 0 ? '- ' : '  '}${line}`;
  });
