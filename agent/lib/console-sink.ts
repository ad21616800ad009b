import type { LogSink } from './log.ts';
import { formatJson, formatText } from './log-format.ts';

/** Writes one line per record to the stream (standard error by default, so that standard output stays for answers). */
export const createConsoleSink = (format: 'json' | 'text', stream: NodeJS.WritableStream = process.stderr): LogSink => ({
  write: (record) => void stream.write(`${format === 'json' ? formatJson(record) : formatText(record)}\n`),
  close: () => undefined,
});
