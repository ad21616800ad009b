import type { LogRecord } from './log.ts';

const causesMax = 4;

/** An error as plain data: code, message and the chain of causes; stacks only for what has no code (bugs). */
const errorFields = (error: Error, depth = 0): Record<string, unknown> => {
  const code = 'code' in error ? error.code : undefined;
  return {
    ...(code === undefined ? { stack: error.stack } : { code }),
    message: error.message,
    ...(error.cause instanceof Error && depth < causesMax ? { cause: errorFields(error.cause, depth + 1) } : {}),
  };
};

/** Makes any value fit for JSON: bigint as decimal text, bytes as hex, errors as plain data. */
const plain = (_key: string, value: unknown): unknown => {
  if (typeof value === 'bigint') return value.toString();
  if (value instanceof Error) return errorFields(value);
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex');
  return value;
};

/** JSON of any value; never throws. */
const toJson = (value: unknown): string => {
  try {
    return JSON.stringify(value, plain) ?? 'null';
  } catch {
    // A cycle: the record is worth more than the field.
    return '"[cannot be shown]"';
  }
};

/** One line of JSON: time, level, message, then the fields. */
export const formatJson = (record: LogRecord): string =>
  toJson({ time: new Date(record.timeMs).toISOString(), level: record.level, message: record.message, ...record.fields });

/** One line for people: time, level, message, key=value. */
export const formatText = (record: LogRecord): string => {
  const fields = Object.entries(record.fields).map(([key, value]) => {
    const text = typeof value === 'string' && /^[\w./:@+-]+$/.test(value) ? value : toJson(value);
    return ` ${key}=${text}`;
  });
  return `${new Date(record.timeMs).toISOString()} ${record.level.padEnd(5)} ${record.message}${fields.join('')}`;
};
