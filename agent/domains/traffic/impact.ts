import { recordKey, recordKinds } from '../../engine/api.ts';
import type { FlowRecord, Judgement, PolicyImage, RecordBatch } from '../../engine/api.ts';
import type { FlowImpact } from './api.ts';
import { compareBig, createTop, eachRecord } from './flow-query.ts';
import type { StoredFlows } from './flow-store.ts';
import { flowOf, judgeRecord } from './flow-view.ts';
import type { FlowNames } from './flow-view.ts';

/** Changes that are listed; all are counted. */
const changesMax = 200;

export interface ReplayRequest {
  readonly live: RecordBatch;
  readonly stored: StoredFlows;
  /** Ended and denied flows before it are left out; live ones all count. */
  readonly sinceNs: bigint;
  /** The policy in force; null when it is not known: then what happened counts. */
  readonly current: PolicyImage | null;
  readonly candidate: PolicyImage;
  readonly windowSeconds: number;
  readonly recordsLost: number;
}

interface Change {
  readonly record: FlowRecord;
  readonly firstTimeNs: bigint;
  readonly bytes: bigint;
  readonly isLive: boolean;
  readonly after: Judgement;
}

/** What is under way now comes first, then what moved most. */
const byWeight = (a: Change, b: Change): number => Number(b.isLive) - Number(a.isLive) || compareBig(b.bytes, a.bytes);

/**
 * Judges each flow once, in its initiator's direction, under the policy in force and under the candidate. Exact for the flows
 * given; a flow that came again counts once. Ends with AbortError when the signal aborts.
 */
export const replayFlows = async (request: ReplayRequest, names: FlowNames, signal: AbortSignal): Promise<FlowImpact> => {
  const seen = new Set<string>();
  const counts = { replayed: 0, cut: 0, cutLive: 0, newlyAllowed: 0 };
  const changes = createTop<Change>(changesMax, byWeight);
  await eachRecord([request.live, request.stored], signal, (record, batch, position) => {
    const isStored = batch === request.stored;
    if ((isStored && record.timeNs < request.sinceNs) || !isOfPolicy(record)) return;
    const after = judgeRecord(record, request.candidate);
    const key = recordKey(record);
    if (after === undefined || seen.has(key)) return;
    seen.add(key);
    counts.replayed++;
    const wasAllowed = (judgeRecord(record, request.current)?.action ?? observed(record)) === 'allow';
    const isAllowed = after.action === 'allow';
    if (wasAllowed === isAllowed) return;
    counts[isAllowed ? 'newlyAllowed' : 'cut']++;
    if (!isAllowed && !isStored) counts.cutLive++;
    const firstTimeNs = isStored ? request.stored.firstTimeNs[position] : undefined;
    changes.add({
      record,
      firstTimeNs: firstTimeNs ?? record.timeNs,
      bytes: record.forward.bytes + record.reverse.bytes,
      isLive: !isStored,
      after,
    });
  });
  const { replayed, cut, cutLive, newlyAllowed } = counts;
  return {
    replayed,
    unchanged: replayed - cut - newlyAllowed,
    cut,
    cutLive,
    newlyAllowed,
    windowSeconds: request.windowSeconds,
    changes: changes.sorted().map(({ record, firstTimeNs, after }) => ({
      // Services as the candidate names them: those are what the operator is editing.
      flow: { ...flowOf(record, names, firstTimeNs), sourceServices: after.sourceServices, destinationServices: after.destinationServices },
      allowed: after.action === 'allow',
      mapping: after.mapping ?? '',
    })),
    changesTruncated: cut + newlyAllowed > changesMax,
    recordsLost: request.recordsLost,
  };
};

/** Packets that are dropped because they are malformed stay dropped under every policy. */
const isOfPolicy = (record: FlowRecord): boolean =>
  record.kind !== recordKinds.deny || record.reason === 'POLICY_DENY' || record.reason === 'DEFAULT_DENY';

const observed = (record: FlowRecord): 'allow' | 'deny' =>
  record.kind === recordKinds.deny || record.kind === recordKinds.rejudged ? 'deny' : 'allow';
