import { isDropped } from '../../../proto/model/reason.ts';
import type { ReasonName } from '../../../proto/model/reason.ts';
import type { EngineCounters, MappingValues } from '../../engine/api.ts';
import type { Count, TrafficCounters } from './api.ts';
import type { LedgerTotal } from './counter-ledger.ts';
import type { Steering } from './steering.ts';

const noValues: MappingValues = {
  sequence: 0,
  values: new BigUint64Array(),
  limited: new BigUint64Array(),
  denyLists: new BigUint64Array(),
  backends: new BigUint64Array(),
};

/** Where there is no data path. */
export const noCounters: EngineCounters = {
  interfaces: [],
  active: noValues,
  retired: null,
  recordsLost: 0n,
  recordsSuppressed: 0n,
  flowsNotInserted: 0n,
  judged: 0n,
  tooBigAnswered: 0n,
  routedByKernel: 0n,
  forwarded: 0n,
};

/** The data path's counters with names, and totals by mapping that survive policies and restarts. */
export const trafficCounters = (
  counters: EngineCounters,
  totals: readonly LedgerTotal[],
  steering: Pick<Steering, 'limits' | 'path'>,
): TrafficCounters => {
  const limits = steering.limits(counters);
  return {
    mappings: totals.map(({ mapping, allow, packets, bytes }) => ({
      mapping,
      allow,
      count: { packets, bytes },
      limited: limits.get(mapping)?.limited ?? { packets: 0n, bytes: 0n },
      limit: limits.get(mapping)?.limit ?? null,
    })),
    path: steering.path(counters),
    reasons: sumReasons(counters),
    interfaces: counters.interfaces.map(({ name, index, reasons }) => ({
      name,
      index,
      reasons: reasons.map(({ reason, packets, bytes }) => reasonCount(reason, { packets, bytes })),
    })),
    recordsLost: counters.recordsLost,
    recordsSuppressed: counters.recordsSuppressed,
    flowsNotInserted: counters.flowsNotInserted,
  };
};

const reasonCount = (reason: ReasonName, count: Count): TrafficCounters['reasons'][number] => ({
  reason,
  dropped: isDropped(reason),
  count,
});

const sumReasons = (counters: EngineCounters): TrafficCounters['reasons'] => {
  const sums = new Map<ReasonName, Count>();
  for (const { reason, packets, bytes } of counters.interfaces.flatMap(({ reasons }) => reasons)) {
    const sum = sums.get(reason) ?? { packets: 0n, bytes: 0n };
    sums.set(reason, { packets: sum.packets + packets, bytes: sum.bytes + bytes });
  }
  return [...sums].map(([reason, count]) => reasonCount(reason, count));
};
