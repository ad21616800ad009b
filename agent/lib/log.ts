/**
 * Structured log: a constant message and fields beside it, never secrets. error = a human must act, warn = degraded
 * and we go on, info = a state changed, debug = for us.
 */
const logLevels = ['error', 'warn', 'info', 'debug'] as const;
export type LogLevel = (typeof logLevels)[number];
export type LogFields = Readonly<Record<string, unknown>>;

export interface LogRecord {
  readonly timeMs: number;
  readonly level: LogLevel;
  readonly message: string;
  readonly fields: LogFields;
}

/** Where records go. A sink never throws and never waits: what it cannot take is lost. */
export interface LogSink {
  write(record: LogRecord): void;
  close(): void;
}

export interface Logger {
  error(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  debug(message: string, fields?: LogFields): void;
  /** A logger that adds these fields to each record. */
  with(fields: LogFields): Logger;
}

export interface LoggerOptions {
  readonly level: LogLevel;
  readonly sinks: readonly LogSink[];
  readonly nowMs: () => number;
}

/** Drops what is below the level, hands the rest to every sink. */
export const createLogger = (options: LoggerOptions, base: LogFields = {}): Logger => {
  const threshold = logLevels.indexOf(options.level);
  const at =
    (level: LogLevel) =>
    (message: string, fields: LogFields = {}): void => {
      if (logLevels.indexOf(level) > threshold) return;
      const record: LogRecord = { timeMs: options.nowMs(), level, message, fields: { ...base, ...fields } };
      for (const sink of options.sinks) sink.write(record);
    };
  return {
    error: at('error'),
    warn: at('warn'),
    info: at('info'),
    debug: at('debug'),
    with: (fields) => createLogger(options, { ...base, ...fields }),
  };
};

/** A logger that also hands every record, of all levels, to one more sink, with these fields. */
export const teeLogger = (
  logger: Logger,
  sink: LogSink,
  { nowMs, fields }: { readonly nowMs: () => number; readonly fields: LogFields },
): Logger => {
  const copy = createLogger({ level: 'debug', sinks: [sink], nowMs }, fields);
  const both =
    (level: LogLevel) =>
    (message: string, more?: LogFields): void => {
      logger[level](message, more);
      copy[level](message, more);
    };
  return {
    error: both('error'),
    warn: both('warn'),
    info: both('info'),
    debug: both('debug'),
    with: (more) => teeLogger(logger.with(more), sink, { nowMs, fields: { ...fields, ...more } }),
  };
};

/** A logger that keeps nothing. */
export const silentLogger: Logger = createLogger({ level: 'error', sinks: [], nowMs: () => 0 });
