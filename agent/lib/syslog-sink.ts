import { createSocket } from 'node:dgram';
import type { LogLevel, LogRecord, LogSink } from './log.ts';
import { formatJson } from './log-format.ts';
import { formatSyslog } from './syslog-message.ts';
import type { SyslogSeverity, SyslogSource } from './syslog-message.ts';

export interface SyslogOptions extends Omit<SyslogSource, 'facility'> {
  readonly address: string;
  readonly port: number;
}

/** Largest datagram every receiver takes (RFC 5426 section 3.2), bytes. */
const datagramBytesMax = 2048;
/** What a level of our log is to a syslog receiver. */
export const severityOf: Readonly<Record<LogLevel, SyslogSeverity>> = {
  error: 'error',
  warn: 'warning',
  info: 'informational',
  debug: 'debug',
};

/** RFC 5424 datagram: header, no structured data, the record as JSON; cut at 2048 bytes. */
export const syslogDatagram = (record: LogRecord, options: SyslogOptions): Buffer => {
  const message = { severity: severityOf[record.level], timeMs: record.timeMs, messageId: '', data: null, text: formatJson(record) };
  return formatSyslog({ ...options, facility: 'daemon' }, message, datagramBytesMax) ?? Buffer.alloc(0);
};

/** Sends each record as one UDP datagram. UDP gives no answer: a lost record stays lost, errors of the socket are counted out by design. */
export const createSyslogSink = (options: SyslogOptions): LogSink => {
  const socket = createSocket(options.address.includes(':') ? 'udp6' : 'udp4');
  socket.unref();
  socket.on('error', () => undefined);
  let open = true;
  return {
    write: (record) => {
      if (open) socket.send(syslogDatagram(record, options), options.port, options.address, () => undefined);
    },
    close: () => {
      if (!open) return;
      open = false;
      socket.close();
    },
  };
};
