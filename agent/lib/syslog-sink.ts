import { createSocket } from 'node:dgram';
import type { LogLevel, LogRecord, LogSink } from './log.ts';
import { formatJson } from './log-format.ts';

export interface SyslogOptions {
  readonly address: string;
  readonly port: number;
  readonly hostName: string;
  readonly appName: string;
  readonly processId: number;
}

/** Facility 3: system daemons (RFC 5424 section 6.2.1). */
const facility = 3;
/** Largest datagram every receiver takes (RFC 5426 section 3.2), bytes. */
const datagramBytesMax = 2048;
const severities: Readonly<Record<LogLevel, number>> = { error: 3, warn: 4, info: 6, debug: 7 };

/** RFC 5424 datagram: header, no structured data, the record as JSON; cut at 2048 bytes. */
export const syslogDatagram = (record: LogRecord, options: SyslogOptions): Buffer => {
  const header = [
    `<${facility * 8 + severities[record.level]}>1`,
    new Date(record.timeMs).toISOString(),
    headerText(options.hostName, 255),
    headerText(options.appName, 48),
    String(options.processId),
    '-',
    '-',
  ].join(' ');
  const datagram = Buffer.from(`${header} ${formatJson(record)}`, 'utf8');
  return datagram.subarray(0, wholeCharactersEnd(datagram, datagramBytesMax));
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

/** Header fields are printable US-ASCII without spaces, "-" when there is nothing. */
const headerText = (text: string, lengthMax: number): string => text.replaceAll(/[^\x21-\x7e]/g, '').slice(0, lengthMax) || '-';

/** The last boundary between UTF-8 characters at or before the limit. */
const wholeCharactersEnd = (bytes: Buffer, limit: number): number => {
  let end = Math.min(bytes.length, limit);
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end--;
  return end;
};
