/** The list of hosts that are to be enrolled, from CSV or JSON. Everything wrong with it is said at once, before anything is done. */
import { z } from 'zod';
import { NestError } from '../../proto/model/error.ts';
import { agentPortDefault } from '../../proto/model/limits.ts';
import { hostAddressFault } from '../bridge/host-address.ts';
import { hostLabelFault, normalHostLabel } from '../bridge/host-label.ts';
import { fieldWords, issueWords } from '../bridge/issue-words.ts';

export const inventoryHostsMax = 10_000;
const inventoryCharactersMax = 4 << 20;
const problemsShownMax = 20;

const name = z.string().min(1).max(63);
const address = z
  .string()
  .min(1)
  .max(270)
  .superRefine((text, context) => {
    const message = hostAddressFault(text);
    if (message !== null) context.addIssue({ code: 'custom', message });
  });
const label = name.superRefine((text, context) => {
  const message = hostLabelFault(normalHostLabel(text));
  if (message !== null) context.addIssue({ code: 'custom', message });
});
const hostSchema = z.strictObject({
  name,
  address,
  port: z.coerce.number().int().min(1).max(65_535).default(agentPortDefault),
  labels: z.array(label).max(16).default([]),
  cluster: z.optional(name),
  hostName: z.optional(z.string().min(1).max(253)),
  /** As the agent prints it; the host is approved without a question when it shows this key. */
  fingerprint: z.optional(
    z
      .string()
      .transform((text) => text.replaceAll(/[\s:]/g, '').toLowerCase())
      .pipe(z.string().regex(/^[0-9a-f]{64}$/, 'it must have 64 hex digits')),
  ),
});
export type InventoryHost = z.output<typeof hostSchema>;

const noHosts = 'it has no hosts: write a header line such as "name,address", then a line for each host';

/** Column names of CSV, in any order; "labels" holds several, separated by spaces. */
const columns: Readonly<Record<string, keyof InventoryHost>> = {
  name: 'name',
  address: 'address',
  port: 'port',
  labels: 'labels',
  cluster: 'cluster',
  host_name: 'hostName',
  fingerprint: 'fingerprint',
};

/** Reads JSON when the text begins like it, else CSV with a header line. Raises INPUT_INVALID with every problem (at most 20) in details.problems. */
export const readInventory = (text: string): readonly InventoryHost[] => {
  if (text.length > inventoryCharactersMax)
    throw invalid([{ path: '', message: `at most ${String(inventoryCharactersMax >> 20)} MB are read` }]);
  const rows = /^\s*\[/.test(text) ? jsonRows(text) : csvRows(text);
  if (rows.length === 0) throw invalid([{ path: '', message: noHosts }]);
  if (rows.length > inventoryHostsMax) throw invalid([{ path: '', message: `at most ${String(inventoryHostsMax)} hosts are read` }]);
  const problems: Problem[] = [];
  const hosts = rows.flatMap(({ place, content }) => {
    const parsed = hostSchema.safeParse(content, { error: issueWords });
    if (parsed.success) return [{ place, host: parsed.data }];
    problems.push(...parsed.error.issues.map(({ path, message }) => ({ path: `${place} ${columnWords(path)}`.trim(), message })));
    return [];
  });
  problems.push(...repeated(hosts));
  if (problems.length > 0) throw invalid(problems);
  return hosts.map(({ host }) => host);
};

/** A field as the inventory calls it. */
const columnWords = ([field, ...rest]: readonly PropertyKey[]): string => {
  const column = Object.keys(columns).find((key) => columns[key] === field) ?? field;
  return fieldWords(column === undefined ? [] : [column, ...rest]);
};

interface Problem {
  readonly path: string;
  readonly message: string;
}

interface Row {
  /** Where it stands, for messages. */
  readonly place: string;
  readonly content: unknown;
}

const repeated = (hosts: readonly { readonly place: string; readonly host: InventoryHost }[]): readonly Problem[] => {
  const seen = new Map<string, string>();
  return hosts.flatMap(({ place, host }) =>
    [`the name ${host.name}`, `the address ${host.address} port ${String(host.port)}`].flatMap((what) => {
      const first = seen.get(what);
      seen.set(what, first ?? place);
      return first === undefined ? [] : [{ path: place, message: `${what} stands at ${first}, too` }];
    }),
  );
};

const jsonRows = (text: string): readonly Row[] => {
  try {
    return z
      .array(z.unknown())
      .parse(JSON.parse(text))
      .map((content, index) => ({ place: `entry ${String(index + 1)}`, content }));
  } catch (error) {
    throw invalid([{ path: '', message: 'it is neither CSV with a header line nor a JSON array' }], error);
  }
};

const csvRows = (text: string): readonly Row[] => {
  const [header, ...lines] = csvLines(text);
  if (header === undefined) throw invalid([{ path: '', message: noHosts }]);
  const names = header.cells.map((cell) => columns[cell.trim().toLowerCase()]);
  const unknown = header.cells.filter((_cell, index) => names[index] === undefined);
  if (unknown.length > 0)
    throw invalid([{ path: 'line 1', message: `unknown columns ${unknown.join(', ')}; known are ${Object.keys(columns).join(', ')}` }]);
  return lines.map(({ line, cells }) => {
    const place = `line ${String(line)}`;
    if (cells.length > names.length) throw invalid([{ path: place, message: 'it has more cells than the header' }]);
    const entries = names.flatMap((key, index) => {
      const cell = cells[index]?.trim() ?? '';
      if (key === undefined || cell === '') return [];
      return [[key, key === 'labels' ? cell.split(/\s+/) : cell] as const];
    });
    return { place, content: Object.fromEntries(entries) };
  });
};

/** RFC 4180: cells may be quoted, quotes are doubled, quoted cells may hold line ends. Empty lines and lines that begin with # are left out. */
const csvLines = (text: string): readonly { readonly line: number; readonly cells: readonly string[] }[] => {
  const lines: { line: number; cells: string[] }[] = [];
  let line = 1;
  let begin = 1;
  let cells: string[] = [];
  const pattern = /(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r?\n|$)/y;
  while (pattern.lastIndex < text.length) {
    const match = pattern.exec(text);
    if (match === null) throw invalid([{ path: `line ${String(line)}`, message: 'a quote is not closed' }]);
    const [whole, quoted, plain = '', end] = match;
    cells.push(quoted === undefined ? plain : quoted.replaceAll('""', '"'));
    line += whole.split('\n').length - 1;
    if (end === ',' && pattern.lastIndex < text.length) continue;
    const isNothing = cells.every((cell) => cell.trim() === '') || cells[0]?.startsWith('#') === true;
    if (!isNothing) lines.push({ line: begin, cells });
    [cells, begin] = [[], line];
  }
  return lines;
};

const invalid = (problems: readonly Problem[], cause?: unknown): NestError =>
  new NestError('INPUT_INVALID', 'The inventory cannot be used; nothing was done. Correct it, then run the same command again.', {
    details: { problems: problems.slice(0, problemsShownMax) },
    cause,
  });
