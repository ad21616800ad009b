import { dropReasons } from '../../../lib/datagram-sender.ts';
import type { DatagramSender } from '../../../lib/datagram-sender.ts';
import type { ExportCounters } from '../api.ts';

type TargetCounters = ExportCounters['targets'][number];

/** Counts what was handed to a target, by kind. */
export interface RecordCounts {
  add(kind: string): void;
  /** With what the sender counts. `tooLong`: messages that did not fit a datagram. */
  read(target: TargetCounters['target'], sender: DatagramSender, tooLong: number): TargetCounters;
}

export const createRecordCounts = (): RecordCounts => {
  const counts = new Map<string, number>();
  return {
    add: (kind) => void counts.set(kind, (counts.get(kind) ?? 0) + 1),
    read: (target, sender, tooLong) => ({
      target,
      sent: sender.sent,
      queued: sender.queued,
      isResolved: sender.isResolved,
      dropped: [...dropReasons.map((reason) => ({ reason, count: sender.dropped[reason] })), { reason: 'too_long', count: tooLong }],
      records: [...counts].map(([kind, count]) => ({ kind, count })),
    }),
  };
};
