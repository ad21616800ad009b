/** The fleet cache in SQLite: checked when opened, migrated, moved aside when damaged. */
import { chmodSync, existsSync, renameSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { StatementSync } from 'node:sqlite';
import { NestError } from '../../../proto/model/error.ts';
import { cacheVersion, migrations } from './cache-schema.ts';
import { makeDataFolder } from './data-folder.ts';
import type { FleetCache, HostRecord, RecordKind } from './fleet-cache.ts';

const busyTimeoutMs = 3_000;
/** Rollouts kept; the oldest go. */
const rolloutsMax = 200;
/** Records kept of each kind; the oldest go. */
const recordsMax = 2_000;
/** Hosts taken over from a damaged file: damage can make a table look endless. */
const salvagedMax = 100_000;

export interface OpenedCache {
  readonly cache: FleetCache;
  /** Set when a damaged file was moved aside: what the operator should know. */
  readonly problem: string | null;
}

/** Opens or makes the cache. Raises STATE_FAILED, with the folder's name, when it cannot be used, or when the file comes from a newer console. */
export const openFleetCache = (path: string, now: number): OpenedCache => {
  const folder = dirname(path);
  try {
    makeDataFolder(folder);
    const sound = openSound(path);
    if (sound !== undefined) return { cache: cacheOver(sound), problem: null };
    const { aside, hosts } = moveAside(path, now);
    const fresh = openSound(path);
    if (fresh === undefined) throw new Error('a fresh cache does not pass its own check');
    const cache = cacheOver(fresh);
    for (const host of hosts) cache.putHost(host);
    return {
      cache,
      problem: `The saved state was damaged and was moved to ${aside}. ${String(hosts.length)} hosts could be taken over; add the others again.`,
    };
  } catch (error) {
    if (error instanceof NestError) throw error;
    throw new NestError('STATE_FAILED', `The data folder ${folder} cannot be used. Check its rights and the free space.`, {
      details: { folder },
      cause: error,
    });
  }
};

/** Undefined when the file is damaged. */
const openSound = (path: string): DatabaseSync | undefined => {
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(path);
    // It names every host of the fleet: nobody else's business on a shared machine.
    chmodSync(path, 0o600);
    database.exec(
      `PRAGMA busy_timeout = ${String(busyTimeoutMs)}; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON`,
    );
    if (Object.values(database.prepare('PRAGMA quick_check(1)').get() ?? {})[0] !== 'ok') throw new DamagedFile();
    migrate(database);
    return database;
  } catch (error) {
    database?.close();
    if (error instanceof DamagedFile || isDamage(error)) return undefined;
    throw error;
  }
};

class DamagedFile extends Error {}

/** SQLITE_CORRUPT and SQLITE_NOTADB. */
const isDamage = (error: unknown): boolean =>
  error instanceof Error && 'errcode' in error && (error.errcode === 11 || error.errcode === 26);

const migrate = (database: DatabaseSync): void => {
  const version = Number(database.prepare('PRAGMA user_version').get()?.['user_version'] ?? 0);
  if (version > cacheVersion)
    throw new NestError('STATE_FAILED', 'The data folder was written by a newer console. Use that version, or another folder.', {
      details: { version, known: cacheVersion },
    });
  for (const [index, sql] of migrations.entries()) {
    if (index < version) continue;
    database.exec(`BEGIN IMMEDIATE; ${sql}; PRAGMA user_version = ${String(index + 1)}; COMMIT`);
  }
};

/** The inventory is precious, so what can still be read of it is carried over. */
const moveAside = (path: string, now: number): { readonly aside: string; readonly hosts: readonly HostRecord[] } => {
  const aside = `${path}.damaged-${String(now)}`;
  for (const suffix of ['', '-wal', '-shm']) if (existsSync(path + suffix)) renameSync(path + suffix, aside + suffix);
  const hosts: HostRecord[] = [];
  try {
    const database = new DatabaseSync(aside, { readOnly: true });
    try {
      for (const row of database.prepare('SELECT content FROM host LIMIT ?').iterate(salvagedMax))
        hosts.push(JSON.parse(String(row['content'])) as HostRecord);
    } finally {
      database.close();
    }
  } catch {
    // Reading ends where the damage begins; what was read before it counts.
  }
  return { aside, hosts };
};

type Prepare = (text: string) => StatementSync;

const cacheOver = (database: DatabaseSync): FleetCache => {
  const statements = new Map<string, StatementSync>();
  const sql: Prepare = (text) => {
    const known = statements.get(text) ?? database.prepare(text);
    statements.set(text, known);
    return known;
  };
  const dataVersion = (): number => Number(sql('PRAGMA data_version').get()?.['data_version'] ?? 0);
  let seenVersion = dataVersion();
  return {
    ...hostTables(database, sql),
    ...consoleTables(sql),
    ...recordTable(sql),
    isChangedElsewhere: () =>
      guard(() => {
        const version = dataVersion();
        const isChanged = version !== seenVersion;
        seenVersion = version;
        return isChanged;
      }),
    close: () => {
      statements.clear();
      if (database.isOpen) database.close();
    },
  };
};

const hostTables = (
  database: DatabaseSync,
  sql: Prepare,
): Pick<FleetCache, 'hosts' | 'putHost' | 'removeHost' | 'document' | 'putDocuments'> => ({
  hosts: () =>
    guard(() =>
      sql('SELECT content FROM host ORDER BY host_id')
        .all()
        .map((row) => parsed<HostRecord>(row['content'])),
    ),
  putHost: (record) => {
    guard(() =>
      sql('INSERT INTO host (host_id, content) VALUES (?, ?) ON CONFLICT (host_id) DO UPDATE SET content = excluded.content').run(
        record.hostId,
        JSON.stringify(record),
      ),
    );
  },
  removeHost: (hostId) => {
    guard(() => sql('DELETE FROM host WHERE host_id = ?').run(hostId));
  },
  document: (hostId, kind) =>
    guard(() => {
      const row = sql('SELECT at, content FROM document WHERE host_id = ? AND kind = ?').get(hostId, kind);
      return row === undefined ? null : { at: Number(row['at']), content: parsed(row['content']) };
    }),
  putDocuments: (documents) => {
    guard(() => {
      database.exec('BEGIN IMMEDIATE');
      try {
        // A host that was removed meanwhile takes no documents.
        const put = sql(
          'INSERT INTO document (host_id, kind, at, content) SELECT ?1, ?2, ?3, ?4 WHERE EXISTS (SELECT 1 FROM host WHERE host_id = ?1) ON CONFLICT (host_id, kind) DO UPDATE SET at = excluded.at, content = excluded.content',
        );
        for (const { hostId, kind, at, content } of documents) put.run(hostId, kind, Math.round(at), JSON.stringify(content));
        database.exec('COMMIT');
      } catch (error) {
        database.exec('ROLLBACK');
        throw error;
      }
    });
  },
});

const consoleTables = (sql: Prepare): Pick<FleetCache, 'value' | 'putValue' | 'dropValue' | 'rollouts' | 'putRollout'> => ({
  value: (name) =>
    guard(() => {
      const row = sql('SELECT content FROM value WHERE name = ?').get(name);
      return row === undefined ? null : parsed(row['content']);
    }),
  putValue: (name, content) => {
    guard(() =>
      sql('INSERT INTO value (name, content) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET content = excluded.content').run(
        name,
        JSON.stringify(content),
      ),
    );
  },
  dropValue: (name) => {
    guard(() => sql('DELETE FROM value WHERE name = ?').run(name));
  },
  rollouts: <Content>(limit: number) =>
    guard(() =>
      sql('SELECT content FROM rollout ORDER BY started_at DESC LIMIT ?')
        .all(limit)
        .map((row) => parsed<Content>(row['content'])),
    ),
  putRollout: (rolloutId, startedAt, content) => {
    guard(() => {
      sql(
        'INSERT INTO rollout (rollout_id, started_at, content) VALUES (?, ?, ?) ON CONFLICT (rollout_id) DO UPDATE SET content = excluded.content',
      ).run(rolloutId, Math.round(startedAt), JSON.stringify(content));
      sql('DELETE FROM rollout WHERE rollout_id NOT IN (SELECT rollout_id FROM rollout ORDER BY started_at DESC LIMIT ?)').run(rolloutsMax);
    });
  },
});

const recordTable = (sql: Prepare): Pick<FleetCache, 'records' | 'record' | 'putRecord' | 'dropRecord'> => ({
  records: <Content>(kind: RecordKind, limit: number) =>
    guard(() =>
      sql('SELECT content FROM record WHERE kind = ? ORDER BY at DESC, id DESC LIMIT ?')
        .all(kind, limit)
        .map((row) => parsed<Content>(row['content'])),
    ),
  record: (kind, id) =>
    guard(() => {
      const row = sql('SELECT content FROM record WHERE kind = ? AND id = ?').get(kind, id);
      return row === undefined ? null : parsed(row['content']);
    }),
  putRecord: (kind, id, { at, content }) => {
    guard(() => {
      sql(
        'INSERT INTO record (kind, id, at, content) VALUES (?, ?, ?, ?) ON CONFLICT (kind, id) DO UPDATE SET at = excluded.at, content = excluded.content',
      ).run(kind, id, Math.round(at), JSON.stringify(content));
      sql('DELETE FROM record WHERE kind = ?1 AND id NOT IN (SELECT id FROM record WHERE kind = ?1 ORDER BY at DESC LIMIT ?2)').run(
        kind,
        recordsMax,
      );
    });
  },
  dropRecord: (kind, id) => {
    guard(() => sql('DELETE FROM record WHERE kind = ? AND id = ?').run(kind, id));
  },
});

const guard = <Result>(work: () => Result): Result => {
  try {
    return work();
  } catch (error) {
    throw new NestError('STATE_FAILED', 'The saved state cannot be read or written. Check the free space of the data folder.', {
      cause: error,
    });
  }
};

const parsed = <Content>(text: unknown): Content => JSON.parse(String(text)) as Content;
