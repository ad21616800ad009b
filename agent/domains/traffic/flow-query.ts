import { setImmediate } from 'node:timers/promises';
import { recordAt } from '../../engine/api.ts';
import type { FlowRecord, RecordBatch } from '../../engine/api.ts';
import type { Flow } from './api.ts';
import type { FlowMatch } from './flow-filter.ts';
import type { StoredFlows } from './flow-store.ts';
import { flowOf } from './flow-view.ts';
import type { FlowNames } from './flow-view.ts';

/** Rows looked at before other work gets its turn. */
const rowsPerTurn = 1_024;

export interface FlowQuery {
  readonly live: RecordBatch;
  readonly stored: StoredFlows;
  readonly match: FlowMatch;
  /** Only flows seen since then. */
  readonly sinceNs: bigint;
  readonly limit: number;
}

/** Flows that match, the last seen first, at most `limit`, with how many match. Ends with AbortError when the signal aborts. */
export const queryFlows = async (
  query: FlowQuery,
  names: FlowNames,
  signal: AbortSignal,
): Promise<{ readonly flows: readonly Flow[]; readonly matched: number }> => {
  const latest = createTop<{ readonly record: FlowRecord; readonly firstTimeNs: bigint }>(query.limit, (a, b) =>
    compareBig(b.record.timeNs, a.record.timeNs),
  );
  let matched = 0;
  await eachRecord([query.live, query.stored], signal, (record, batch, position) => {
    if (record.timeNs < query.sinceNs || !query.match(record)) return;
    matched++;
    const firstTimeNs = batch === query.stored ? query.stored.firstTimeNs[position] : undefined;
    latest.add({ record, firstTimeNs: firstTimeNs ?? record.timeNs });
  });
  return { flows: latest.sorted().map(({ record, firstTimeNs }) => flowOf(record, names, firstTimeNs)), matched };
};

/** Visits every record of the batches in order, giving way to other work in between. Ends with AbortError when the signal aborts. */
export const eachRecord = async (
  batches: readonly RecordBatch[],
  signal: AbortSignal,
  visit: (record: FlowRecord, batch: RecordBatch, position: number) => void,
): Promise<void> => {
  let sinceTurn = 0;
  for (const batch of batches) {
    for (let position = 0; position < batch.count; position++) {
      visit(recordAt(batch.rows, position), batch, position);
      if (++sinceTurn < rowsPerTurn) continue;
      sinceTurn = 0;
      await setImmediate();
      signal.throwIfAborted();
    }
  }
};

export interface Top<T> {
  add(entry: T): void;
  sorted(): readonly T[];
}

/** Keeps the first `limit` entries of an order, in room for four times as many. */
export const createTop = <T>(limit: number, order: (a: T, b: T) => number): Top<T> => {
  let entries: T[] = [];
  const cut = (): void => void (entries = entries.sort(order).slice(0, limit));
  return {
    add: (entry) => {
      entries.push(entry);
      if (entries.length >= Math.max(limit, 16) * 4) cut();
    },
    sorted: () => {
      cut();
      return entries;
    },
  };
};

/** Order of two numbers, the smaller first. */
export const compareBig = (a: bigint, b: bigint): number => {
  if (a === b) return 0;
  return a < b ? -1 : 1;
};
