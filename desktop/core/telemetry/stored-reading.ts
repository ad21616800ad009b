import type { Reading } from './reading.ts';

/** A reading as it is kept on disk: its history column by column, which is a third of the size and written often. */
export type StoredReading = Omit<Reading, 'history'> & {
  readonly history: {
    /** Milliseconds since the Unix epoch. */
    readonly at: readonly number[];
    readonly allowed: readonly number[];
    readonly denied: readonly number[];
  };
};

/** Rates are kept to the thousandth: no chart shows more. */
const ratePrecision = 1000;
const rounded = (rate: number): number => Math.round(rate * ratePrecision) / ratePrecision;

export const storedReading = (reading: Reading): StoredReading => ({
  ...reading,
  history: {
    at: reading.history.map(({ at }) => at),
    allowed: reading.history.map(({ allowed }) => rounded(allowed)),
    denied: reading.history.map(({ denied }) => rounded(denied)),
  },
  packetsHistory: reading.packetsHistory.map(rounded),
});

/** Also from the form of earlier versions, which kept points one by one. */
export const readingOf = (stored: StoredReading | Reading): Reading => {
  if (!isColumns(stored)) return stored;
  const { at, allowed, denied } = stored.history;
  return { ...stored, history: at.map((each, index) => ({ at: each, allowed: allowed[index] ?? 0, denied: denied[index] ?? 0 })) };
};

const isColumns = (stored: StoredReading | Reading): stored is StoredReading => !Array.isArray(stored.history);
