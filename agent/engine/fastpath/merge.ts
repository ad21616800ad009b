import { reasonCounts } from '../engine.ts';
import type { EngineCounters, MappingValues, ReasonCount } from '../api.ts';
import { lossKinds, statKinds } from '../layout.ts';
import type { Tally } from './tally.ts';

/** What the kernel and processes beside it have counted, as of one data path. */
export const mergedCounters = (kernel: EngineCounters, tallies: readonly Tally[]): EngineCounters =>
  tallies.reduce<EngineCounters>(
    (counters, tally) => ({
      interfaces: mergedInterfaces(counters.interfaces, tally),
      active: mergedPolicy(counters.active, tally),
      retired: counters.retired === null ? null : mergedPolicy(counters.retired, tally),
      recordsLost: counters.recordsLost + (tally.losses[lossKinds.ringFull] ?? 0n),
      recordsSuppressed: counters.recordsSuppressed + (tally.losses[lossKinds.suppressed] ?? 0n),
      flowsNotInserted: counters.flowsNotInserted + (tally.losses[lossKinds.flowTable] ?? 0n),
      judged: counters.judged + (tally.stats[statKinds.judged] ?? 0n),
      tooBigAnswered: counters.tooBigAnswered + (tally.stats[statKinds.tooBig] ?? 0n),
      routedByKernel: counters.routedByKernel + (tally.stats[statKinds.kernel] ?? 0n),
      forwarded: counters.forwarded + (tally.stats[statKinds.forwarded] ?? 0n),
    }),
    kernel,
  );

const mergedInterfaces = (rows: EngineCounters['interfaces'], tally: Tally): EngineCounters['interfaces'] => {
  const merged = new Map(rows.map((row) => [row.name, row]));
  for (const [name, { index, reasons }] of tally.interfaces) {
    const row = merged.get(name);
    const counts = reasonCounts(reasons);
    merged.set(name, row === undefined ? { name, index, reasons: counts } : { ...row, reasons: mergedReasons(row.reasons, counts) });
  }
  return [...merged.values()];
};

const mergedReasons = (rows: readonly ReasonCount[], more: readonly ReasonCount[]): readonly ReasonCount[] => {
  const sums = new Map(rows.map((row) => [row.reason, row]));
  for (const { reason, packets, bytes } of more) {
    const row = sums.get(reason);
    sums.set(reason, { reason, packets: packets + (row?.packets ?? 0n), bytes: bytes + (row?.bytes ?? 0n) });
  }
  return [...sums.values()];
};

const mergedPolicy = (values: MappingValues, tally: Tally): MappingValues => {
  const counts = tally.policy(values.sequence);
  if (counts === null) return values;
  return {
    sequence: values.sequence,
    values: added(values.values, counts.mappings),
    limited: added(values.limited, counts.limits),
    denyLists: added(values.denyLists, counts.deny),
    backends: added(values.backends, counts.backends),
  };
};

/** As long as the first: the kernel's side knows how much of it means something. */
const added = (values: BigUint64Array, more: BigUint64Array): BigUint64Array => {
  const sum = values.slice();
  const halfWords = new Uint32Array(more.buffer);
  for (let word = 0; word < sum.length; word++) {
    if (halfWords[word * 2] === 0 && halfWords[word * 2 + 1] === 0) continue;
    sum[word] = (sum[word] ?? 0n) + (more[word] ?? 0n);
  }
  return sum;
};
