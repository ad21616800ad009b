/** Tables, units and option values for people; JSON is printed as it crosses the bridge. */
import { UsageError } from './usage-error.ts';

export interface Column<Row> {
  readonly title: string;
  readonly value: (row: Row) => string | number | null;
}

/** Columns as wide as their widest cell, numbers to the right, "-" for what is not known. */
export const formatTable = <Row>(rows: readonly Row[], columns: readonly Column<Row>[]): string => {
  const cells = rows.map((row) => columns.map(({ value }) => value(row)));
  const widths = columns.map(({ title }, index) => Math.max(title.length, ...cells.map((cell) => textOf(cell[index] ?? null).length)));
  const isNumeric = columns.map(
    (_column, index) =>
      cells.some((cell) => typeof cell[index] === 'number') &&
      cells.every((cell) => cell[index] === null || typeof cell[index] === 'number'),
  );
  const line = (values: readonly (string | number | null)[]): string =>
    values
      .map((value, index) =>
        isNumeric[index] === true ? textOf(value).padStart(widths[index] ?? 0) : textOf(value).padEnd(widths[index] ?? 0),
      )
      .join('  ')
      .trimEnd();
  return [line(columns.map(({ title }) => title)), ...cells.map(line)].join('\n');
};

const textOf = (value: string | number | null): string => (value === null || value === '' ? '-' : clean(String(value)));

/** What a host says is shown, never obeyed: control characters could move the cursor or change colours. */
export const clean = (text: string): string => text.replaceAll(/\p{Cc}/gu, ' ');

/** "3 s ago", "5 min ago"; "never" for null. */
export const formatAge = (at: number | null, now: number): string => {
  if (at === null) return 'never';
  const seconds = Math.max(0, Math.round((now - at) / 1000));
  if (seconds < 120) return `${String(seconds)} s ago`;
  if (seconds < 7_200) return `${String(Math.round(seconds / 60))} min ago`;
  return seconds < 172_800 ? `${String(Math.round(seconds / 3_600))} h ago` : `${String(Math.round(seconds / 86_400))} days ago`;
};

/** ISO 8601 in UTC to the second; "-" for null. */
export const formatTime = (at: number | null): string => (at === null ? '-' : `${new Date(at).toISOString().slice(0, 19)}Z`);

/** One decimal below ten, none above; null stays null. */
export const roundRate = (rate: number | null): number | null =>
  rate === null ? null : rate < 10 ? Math.round(rate * 10) / 10 : Math.round(rate);

/** A line for an answer that is not live; none for one that is. */
export const staleNote = ({ live, at }: { readonly live: boolean; readonly at: number }, now: number): readonly string[] =>
  live ? [] : [`The host does not answer; this is from ${formatAge(at, now)}.`];

/** "198.18.9.12:5432", "[2001:db8::1]:443"; the address alone for port 0 and for ICMP, which has an identifier there. */
export const endpoint = (address: string, port: number, protocol = ''): string =>
  port === 0 || protocol.startsWith('icmp')
    ? address
    : address.includes(':')
      ? `[${address}]:${String(port)}`
      : `${address}:${String(port)}`;

/** The word of an option. Raises UsageError. */
export const oneOf = <Word extends string>(option: string, text: string, words: readonly Word[]): Word => {
  const found = words.find((word) => word === text);
  if (found === undefined) throw new UsageError(`${option} is one of ${words.join(', ')}.`);
  return found;
};

/** The whole number of an option. Raises UsageError. */
export const numberOf = (option: string, text: string, range: { readonly min: number; readonly max: number }): number => {
  const value = Number(text);
  if (!Number.isInteger(value) || value < range.min || value > range.max)
    throw new UsageError(`${option} is a number from ${String(range.min)} to ${String(range.max)}.`);
  return value;
};

/** Start of a hash, enough to tell two apart. */
export const shortHash = (hash: string | null): string | null => (hash === null || hash === '' ? null : hash.slice(0, 12));
