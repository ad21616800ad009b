/** Tables and units for people; JSON is printed as it crosses the bridge. */

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

/** Start of a hash, enough to tell two apart. */
export const shortHash = (hash: string | null): string | null => (hash === null || hash === '' ? null : hash.slice(0, 12));
