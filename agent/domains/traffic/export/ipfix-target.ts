import type { Clock, Timer } from '../../../lib/clock.ts';
import { createDatagramSender } from '../../../lib/datagram-sender.ts';
import type { ExportCounters } from '../api.ts';
import type { ExportedFlow } from './exported-flow.ts';
import { createIpfixMessages } from './ipfix-message.ts';
import { createRecordCounts } from './record-counts.ts';

/** A record waits so long at most for others to share its message. */
export const flushMs = 1_000;

export interface IpfixTargetOptions {
  readonly host: string;
  readonly port: number;
  readonly observationDomain: number;
  readonly templateSeconds: number;
  readonly clock: Clock;
}

/** An IPFIX collector: many records share a datagram. */
export interface IpfixTarget {
  add(flow: ExportedFlow): void;
  readonly isCongested: boolean;
  counters(): ExportCounters['targets'][number];
  /** Sends the message begun and what is queued, at most a second, and closes. Idempotent. */
  close(): Promise<void>;
}

/** Opens the socket. */
export const createIpfixTarget = ({ host, port, observationDomain, templateSeconds, clock }: IpfixTargetOptions): IpfixTarget => {
  const messages = createIpfixMessages({
    observationDomain,
    templateMs: templateSeconds * 1000,
    nowMs: () => clock.nowMs(),
    monotonicMs: () => clock.monotonicMs(),
  });
  // Whatever was lost may have held the templates, and without them a collector understands nothing.
  const sender = createDatagramSender({ host, port, clock, onDisrupted: () => messages.repeatTemplates() });
  const counts = createRecordCounts();
  let flushTimer: Timer | null = null;
  let isClosed = false;
  const send = (message: Buffer | null): void => {
    if (message !== null && !sender.send(message)) messages.repeatTemplates();
  };
  const flush = (): void => {
    flushTimer?.cancel();
    flushTimer = null;
    send(messages.flush());
  };
  return {
    add: (flow) => {
      counts.add(flow.kind);
      send(messages.add(flow));
      if (!isClosed) flushTimer ??= clock.after(flushMs, flush);
    },
    get isCongested() {
      return sender.isCongested;
    },
    counters: () => counts.read('ipfix', sender, 0),
    close: () => {
      if (!isClosed) flush();
      isClosed = true;
      return sender.close();
    },
  };
};
