import type { DatabaseSync, SQLInputValue } from 'node:sqlite';
import { revisionsKept } from '../../../proto/model/limits.ts';
import type { Revision, RevisionState } from './api.ts';
import type { Deadline } from './deadline.ts';
import { inTransaction } from './state-database.ts';

/** An applied revision that waits for its confirmation. */
export interface PendingRow {
  readonly revision: number;
  readonly previousRevision: number;
  readonly transactionId: string;
  readonly deadline: Deadline;
  /** False from before the tables are touched until they are known to be current. */
  readonly isActivated: boolean;
}

/** What an apply with this transaction id came to. */
export interface Outcome {
  readonly transactionId: string;
  readonly revision: number;
  readonly loadMs: number;
  readonly flipMs: number;
  readonly error: { readonly code: string; readonly message: string; readonly detailsJson: string } | null;
}

export type NewRevision = Omit<Revision, 'revision'>;

/** Everything on disk. Each method is one transaction and raises STATE_FAILED when the disk fails. */
export interface RevisionStore {
  /** The one confirmed revision; undefined before the first. */
  confirmed(): Revision | undefined;
  get(revision: number): Revision | undefined;
  /** Newest first, without documents. */
  list(): Revision[];
  pending(): PendingRow | null;
  /** Writes the revision as pending, before its activation. Returns its number. */
  begin(revision: NewRevision, pending: Omit<PendingRow, 'revision' | 'isActivated'>): number;
  /** Notes that the tables are current: the deadline starts anew and the outcome is kept. */
  activated(deadline: Deadline, outcome: Outcome, atMs: number): void;
  /** Ends the pending revision as confirmed. */
  confirm(atMs: number): void;
  /** Ends the pending revision without keeping it. */
  drop(
    state: Extract<RevisionState, 'rolled-back' | 'failed'>,
    reason: string,
    options: { readonly atMs: number; readonly outcome?: Outcome },
  ): void;
  /** Writes a confirmed revision that follows the present one. Returns its number. */
  insertConfirmed(revision: NewRevision): number;
  outcome(transactionId: string, notBeforeMs: number): Outcome | undefined;
  close(): void;
}

/** Schema versions of revisions.sqlite. */
export const revisionMigrations: readonly string[] = [
  `CREATE TABLE revision (
     revision INTEGER PRIMARY KEY AUTOINCREMENT,
     etag TEXT NOT NULL,
     policy_json TEXT NOT NULL,
     generation TEXT NOT NULL,
     state TEXT NOT NULL CHECK (state IN ('pending', 'confirmed', 'rolled-back', 'superseded', 'failed')),
     author TEXT NOT NULL,
     comment TEXT NOT NULL,
     created_at_ms INTEGER NOT NULL,
     settled_at_ms INTEGER,
     settled_reason TEXT NOT NULL,
     mapping_count INTEGER NOT NULL,
     service_count INTEGER NOT NULL
   ) STRICT;
   CREATE UNIQUE INDEX revision_confirmed ON revision (state) WHERE state = 'confirmed';
   CREATE UNIQUE INDEX revision_pending ON revision (state) WHERE state = 'pending';
   CREATE TABLE pending (
     id INTEGER PRIMARY KEY CHECK (id = 1),
     revision INTEGER NOT NULL REFERENCES revision (revision),
     previous_revision INTEGER NOT NULL,
     transaction_id TEXT NOT NULL,
     wall_ms INTEGER NOT NULL,
     boot_id TEXT NOT NULL,
     uptime_ms REAL NOT NULL,
     window_ms INTEGER NOT NULL,
     is_activated INTEGER NOT NULL
   ) STRICT;
   CREATE TABLE outcome (
     transaction_id TEXT PRIMARY KEY,
     revision INTEGER NOT NULL,
     load_ms REAL NOT NULL,
     flip_ms REAL NOT NULL,
     error_code TEXT,
     error_message TEXT,
     error_details TEXT,
     at_ms INTEGER NOT NULL
   ) STRICT, WITHOUT ROWID`,
];

/** How long the outcome of a transaction id is kept. */
export const outcomeLifeMs = 24 * 60 * 60_000;
/** Outcomes kept at most; the oldest go first. */
const outcomesMax = 10_000;

const columns =
  'revision, etag, generation, state, author, comment, created_at_ms, settled_at_ms, settled_reason, mapping_count, service_count';

/** A store in an opened and migrated database. */
export const createRevisionStore = (database: DatabaseSync): RevisionStore => {
  const run = (sql: string, ...values: SQLInputValue[]): void => void database.prepare(sql).run(...values);
  const atomically = <T>(work: () => T): T => inTransaction(database, work);
  const insert = (revision: NewRevision): number => {
    const { lastInsertRowid } = database
      .prepare(`INSERT INTO revision (${columns.replace('revision, ', '')}, policy_json) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`)
      .run(
        revision.etag,
        revision.generation,
        revision.state,
        revision.author,
        revision.comment,
        revision.createdAtMs,
        revision.settledAtMs,
        revision.settledReason,
        revision.mappingCount,
        revision.serviceCount,
        revision.policyJson,
      );
    run(
      `DELETE FROM revision WHERE state NOT IN ('confirmed', 'pending') AND revision NOT IN (SELECT revision FROM revision ORDER BY revision DESC LIMIT ?)`,
      revisionsKept,
    );
    return Number(lastInsertRowid);
  };
  const settle = (from: RevisionState, to: RevisionState, settled: { readonly atMs: number; readonly reason: string }): void => {
    run('UPDATE revision SET state = ?, settled_at_ms = ?, settled_reason = ? WHERE state = ?', to, settled.atMs, settled.reason, from);
  };
  const keepOutcome = (outcome: Outcome, atMs: number): void => {
    const { error } = outcome;
    run(
      'INSERT OR IGNORE INTO outcome VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
      outcome.transactionId,
      outcome.revision,
      outcome.loadMs,
      outcome.flipMs,
      error?.code ?? null,
      error?.message ?? null,
      error?.detailsJson ?? null,
      atMs,
    );
    run(
      'DELETE FROM outcome WHERE at_ms < ? OR transaction_id NOT IN (SELECT transaction_id FROM outcome ORDER BY at_ms DESC LIMIT ?)',
      atMs - outcomeLifeMs,
      outcomesMax,
    );
  };
  return {
    confirmed: () => atomically(() => fullRow(database, "state = 'confirmed'")),
    get: (revision) => atomically(() => fullRow(database, 'revision = ?', revision)),
    list: () =>
      atomically(() =>
        database
          .prepare(`SELECT ${columns}, '' AS policy_json FROM revision ORDER BY revision DESC LIMIT ?`)
          .all(revisionsKept)
          .map(toRevision),
      ),
    pending: () =>
      atomically(() => {
        const row = database.prepare('SELECT * FROM pending').get();
        return row === undefined ? null : toPending(row);
      }),
    begin: (revision, pending) =>
      atomically(() => {
        // Left over only when the disk failed after an earlier one was taken back.
        settle('pending', 'rolled-back', { atMs: revision.createdAtMs, reason: 'Taken back; the disk could not note it then.' });
        run('DELETE FROM pending');
        const number = insert(revision);
        const { wallMs, bootId, uptimeMs, windowMs } = pending.deadline;
        run(
          'INSERT INTO pending VALUES (1, ?, ?, ?, ?, ?, ?, ?, 0)',
          number,
          pending.previousRevision,
          pending.transactionId,
          wallMs,
          bootId,
          uptimeMs,
          windowMs,
        );
        return number;
      }),
    activated: (deadline, outcome, atMs) =>
      atomically(() => {
        run(
          'UPDATE pending SET is_activated = 1, wall_ms = ?, boot_id = ?, uptime_ms = ?, window_ms = ?',
          deadline.wallMs,
          deadline.bootId,
          deadline.uptimeMs,
          deadline.windowMs,
        );
        keepOutcome(outcome, atMs);
      }),
    confirm: (atMs) =>
      atomically(() => {
        run("UPDATE revision SET state = 'superseded' WHERE state = 'confirmed'");
        settle('pending', 'confirmed', { atMs, reason: '' });
        run('DELETE FROM pending');
      }),
    drop: (state, reason, { atMs, outcome }) =>
      atomically(() => {
        settle('pending', state, { atMs, reason });
        run('DELETE FROM pending');
        if (outcome !== undefined) keepOutcome(outcome, atMs);
      }),
    insertConfirmed: (revision) =>
      atomically(() => {
        run("UPDATE revision SET state = 'superseded' WHERE state = 'confirmed'");
        return insert(revision);
      }),
    outcome: (transactionId, notBeforeMs) =>
      atomically(() => {
        const row = database.prepare('SELECT * FROM outcome WHERE transaction_id = ? AND at_ms >= ?').get(transactionId, notBeforeMs);
        return row === undefined ? undefined : toOutcome(row);
      }),
    close: () => {
      if (database.isOpen) database.close();
    },
  };
};

type Row = Readonly<Record<string, unknown>>;

const fullRow = (database: DatabaseSync, where: string, ...values: SQLInputValue[]): Revision | undefined => {
  const row = database.prepare(`SELECT ${columns}, policy_json FROM revision WHERE ${where}`).get(...values);
  return row === undefined ? undefined : toRevision(row);
};

const toRevision = (row: Row): Revision => ({
  revision: Number(row['revision']),
  etag: String(row['etag']),
  policyJson: String(row['policy_json']),
  generation: String(row['generation']),
  state: row['state'] as RevisionState,
  author: String(row['author']),
  comment: String(row['comment']),
  createdAtMs: Number(row['created_at_ms']),
  settledAtMs: row['settled_at_ms'] === null ? null : Number(row['settled_at_ms']),
  settledReason: String(row['settled_reason']),
  mappingCount: Number(row['mapping_count']),
  serviceCount: Number(row['service_count']),
});

const toPending = (row: Row): PendingRow => ({
  revision: Number(row['revision']),
  previousRevision: Number(row['previous_revision']),
  transactionId: String(row['transaction_id']),
  isActivated: row['is_activated'] === 1,
  deadline: {
    wallMs: Number(row['wall_ms']),
    bootId: String(row['boot_id']),
    uptimeMs: Number(row['uptime_ms']),
    windowMs: Number(row['window_ms']),
  },
});

const toOutcome = (row: Row): Outcome => ({
  transactionId: String(row['transaction_id']),
  revision: Number(row['revision']),
  loadMs: Number(row['load_ms']),
  flipMs: Number(row['flip_ms']),
  error:
    typeof row['error_code'] === 'string'
      ? { code: row['error_code'], message: String(row['error_message']), detailsJson: String(row['error_details']) }
      : null,
});
