import { existsSync, renameSync, rmSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { NestError } from '../../../proto/model/error.ts';

export interface StateDatabaseOptions {
  readonly path: string;
  /** SQL of each schema version, the first brings 0 to 1. Never edited once shipped. */
  readonly migrations: readonly string[];
}

export interface StateDatabase {
  readonly database: DatabaseSync;
  /** Where a damaged file was moved; null when the file was sound or new. */
  readonly movedAside: string | null;
}

const sqliteCorrupt = 11;
const sqliteNotADatabase = 26;
/** A second process that still closes gets this long. */
const busyTimeoutMs = 2_000;

/**
 * Opens a crash-safe SQLite file: WAL, flushed at every commit, checked, migrated. A damaged file is moved aside and a
 * new one begun. Raises STATE_FAILED when the file cannot be opened or was written by a newer Nest.
 */
export const openStateDatabase = (options: StateDatabaseOptions): StateDatabase => {
  try {
    return { database: openChecked(options), movedAside: null };
  } catch (error) {
    if (!isDamage(error)) throw asStateFailure(error, options.path);
  }
  const movedAside = moveAside(options);
  try {
    return { database: openChecked(options), movedAside };
  } catch (error) {
    throw asStateFailure(error, options.path);
  }
};

/** Runs the work in one transaction: all of it is on disk afterwards, or nothing. Raises STATE_FAILED for a failing disk; other errors pass. */
export const inTransaction = <T>(database: DatabaseSync, work: () => T): T =>
  withStateErrors(database, () => {
    database.exec('BEGIN IMMEDIATE');
    try {
      const result = work();
      database.exec('COMMIT');
      return result;
    } catch (error) {
      if (database.isTransaction) database.exec('ROLLBACK');
      throw error;
    }
  });

/** Runs work on the database. Raises STATE_FAILED for a failing disk; other errors pass. */
export const withStateErrors = <T>(database: DatabaseSync, work: () => T): T => {
  try {
    return work();
  } catch (error) {
    throw sqliteCode(error) === undefined ? error : asStateFailure(error, database.location() ?? 'in memory');
  }
};

class DamagedFile extends Error {}

const openChecked = ({ path, migrations }: StateDatabaseOptions): DatabaseSync => {
  const database = new DatabaseSync(path, { timeout: busyTimeoutMs });
  try {
    database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA trusted_schema = OFF');
    const check: unknown = Object.values(database.prepare('PRAGMA quick_check(1)').get() ?? {})[0];
    if (check !== 'ok') throw new DamagedFile(String(check));
    migrate(database, migrations);
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
};

const migrate = (database: DatabaseSync, migrations: readonly string[]): void => {
  const version = Number(Object.values(database.prepare('PRAGMA user_version').get() ?? {})[0] ?? 0);
  if (version > migrations.length) {
    throw new NestError(
      'STATE_FAILED',
      'The state was written by a newer version of Nest. Install that version again, or move the state directory away to begin anew.',
      {
        details: { version, known: migrations.length },
      },
    );
  }
  for (const [position, sql] of migrations.entries()) {
    if (position < version) continue;
    inTransaction(database, () => database.exec(`${sql}; PRAGMA user_version = ${String(position + 1)}`));
  }
};

/** The write-ahead log goes along: it may hold what the file lacks. One damaged copy is kept, the latest. */
const moveAside = ({ path }: StateDatabaseOptions): string => {
  const aside = `${path}.damaged`;
  try {
    for (const suffix of ['', '-wal', '-shm']) {
      rmSync(`${aside}${suffix}`, { force: true });
      if (existsSync(`${path}${suffix}`)) renameSync(`${path}${suffix}`, `${aside}${suffix}`);
    }
    return aside;
  } catch (error) {
    throw asStateFailure(error, path);
  }
};

const isDamage = (error: unknown): boolean => {
  const code = sqliteCode(error);
  return error instanceof DamagedFile || code === sqliteCorrupt || code === sqliteNotADatabase;
};

/** Primary SQLite result code; undefined when it is not SQLite's error. */
const sqliteCode = (error: unknown): number | undefined => {
  if (typeof error !== 'object' || error === null || !('errcode' in error) || typeof error.errcode !== 'number') return undefined;
  return error.errcode & 0xff;
};

const asStateFailure = (cause: unknown, path: string): NestError =>
  cause instanceof NestError
    ? cause
    : new NestError(
        'STATE_FAILED',
        'The agent cannot read or write its state. Check that the disk has room and that the state directory is writable.',
        { cause, details: { path } },
      );
