import type { Clock } from '../../../lib/clock.ts';
import { createDatagramSender } from '../../../lib/datagram-sender.ts';
import { formatSyslog } from '../../../lib/syslog-message.ts';
import type { SyslogFacility, SyslogMessage, SyslogSource } from '../../../lib/syslog-message.ts';
import type { ExportCounters } from '../api.ts';
import type { ExportedFlow } from './exported-flow.ts';
import { flowMessage } from './flow-syslog.ts';
import { createRecordCounts } from './record-counts.ts';

/** Fits every usual path without fragments (RFC 5426 section 3.2), bytes. */
export const syslogBytesMax = 1_400;

export interface SyslogTargetOptions {
  readonly host: string;
  readonly port: number;
  readonly facility: SyslogFacility;
  readonly hostName: string;
  readonly clock: Clock;
}

/** A syslog receiver: each message is one datagram. */
export interface SyslogTarget {
  send(kind: string, message: SyslogMessage): void;
  sendFlow(flow: ExportedFlow, cluster: string): void;
  readonly isCongested: boolean;
  counters(): ExportCounters['targets'][number];
  /** Sends what is queued, at most a second, and closes. Idempotent. */
  close(): Promise<void>;
}

/** Opens the socket. */
export const createSyslogTarget = ({ host, port, facility, hostName, clock }: SyslogTargetOptions): SyslogTarget => {
  const source: SyslogSource = { facility, hostName, appName: 'nest-agent', processId: process.pid };
  const sender = createDatagramSender({ host, port, clock });
  const counts = createRecordCounts();
  let tooLong = 0;
  const format = (message: () => SyslogMessage): Buffer | null =>
    sender.hasRoom ? formatSyslog(source, message(), syslogBytesMax) : Buffer.alloc(0);
  const send = (kind: string, message: () => SyslogMessage): void => {
    counts.add(kind);
    const datagram = format(message);
    if (datagram === null) tooLong++;
    else sender.send(datagram);
  };
  return {
    send: (kind, message) => send(kind, () => message),
    sendFlow: (flow, cluster) => send(flow.kind, () => flowMessage(flow, cluster)),
    get isCongested() {
      return sender.isCongested;
    },
    counters: () => counts.read('syslog', sender, tooLong),
    close: () => sender.close(),
  };
};
