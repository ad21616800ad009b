import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite';
import { revisionsKept } from '../../../proto/model/limits.ts';
import type { Revision, RevisionState } from './api.ts';
import type { Deadline } from './deadline.ts';
import { inTransaction, withStateErrors } from './state-database.ts';

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

/** Everything on disk. Each method is one transaction, or one reading, and raises STATE_FAILED when the disk fails. */
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
  // A revision changes its state twice or thrice; its document, which may be long, is written once.
  `CREATE TABLE document (
     revision INTEGER PRIMARY KEY REFERENCES revision (revision) ON DELETE CASCADE,
     policy_json TEXT NOT NULL
   ) STRICT;
   INSERT INTO document SELECT revision, policy_json FROM revision;
   ALTER TABLE revision DROP COLUMN policy_json`,
];

/** How long the outcome of a transaction id is kept. */
export const outcomeLifeMs = 24 * 60 * 60_000;
/** Outcomes kept at most; the oldest go first. */
const outcomesMax = 10_000;

const columns =
  'revision, etag, generation, state, author, comment, created_at_ms, settled_at_ms, settled_reason, mapping_count, service_count';

const insertRevision = `INSERT INTO revision (${columns.replace('revision, ', '')}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`;
const insertDocument = 'INSERT INTO document VALUES (?, ?)';
/** What is newer than the oldest that is kept is not looked at. */
const dropOldRevisions = `DELETE FROM revision WHERE state NOT IN ('confirmed', 'pending')
  AND revision <= (SELECT revision FROM revision ORDER BY revision DESC LIMIT 1 OFFSET ?)`;
const insertOutcome = 'INSERT OR IGNORE INTO outcome VALUES (?, ?, ?, ?, ?, ?, ?, ?)';
const dropOldOutcomes = 'DELETE FROM outcome WHERE at_ms < ?';
const dropExcessOutcomes = `DELETE FROM outcome WHERE (SELECT count(*) FROM outcome) > ?1
  AND transaction_id NOT IN (SELECT transaction_id FROM outcome ORDER BY at_ms DESC LIMIT ?1)`;

/** A store in an opened and migrated database. */
export const createRevisionStore = (database: DatabaseSync): RevisionStore => new SqliteRevisionStore(database);

class SqliteRevisionStore implements RevisionStore {
  readonly #database: DatabaseSync;
  /** By their text, of which this file has a score. */
  readonly #statements = new Map<string, StatementSync>();

  constructor(database: DatabaseSync) {
    this.#database = database;
  }

  confirmed(): Revision | undefined {
    return this.#fullRow("state = 'confirmed'");
  }

  get(revision: number): Revision | undefined {
    return this.#fullRow('revision = ?', revision);
  }

  list(): Revision[] {
    const sql = `SELECT ${columns}, '' AS policy_json FROM revision ORDER BY revision DESC LIMIT ?`;
    return this.#reading(() => this.#statement(sql).all(revisionsKept).map(toRevision));
  }

  pending(): PendingRow | null {
    const row = this.#reading(() => this.#statement('SELECT * FROM pending').get());
    return row === undefined ? null : toPending(row);
  }

  begin(revision: NewRevision, pending: Omit<PendingRow, 'revision' | 'isActivated'>): number {
    return this.#atomically(() => {
      // Left over only when the disk failed after an earlier one was taken back.
      this.#settle('rolled-back', { atMs: revision.createdAtMs, reason: 'Taken back; the disk could not note it then.' });
      const number = this.#insert(revision);
      const { previousRevision, transactionId } = pending;
      const { wallMs, bootId, uptimeMs, windowMs } = pending.deadline;
      const values = [number, previousRevision, transactionId, wallMs, bootId, uptimeMs, windowMs];
      this.#run('INSERT INTO pending VALUES (1, ?, ?, ?, ?, ?, ?, ?, 0)', ...values);
      return number;
    });
  }

  activated({ wallMs, bootId, uptimeMs, windowMs }: Deadline, outcome: Outcome, atMs: number): void {
    this.#atomically(() => {
      const sql = 'UPDATE pending SET is_activated = 1, wall_ms = ?, boot_id = ?, uptime_ms = ?, window_ms = ?';
      this.#run(sql, wallMs, bootId, uptimeMs, windowMs);
      this.#keepOutcome(outcome, atMs);
    });
  }

  confirm(atMs: number): void {
    this.#atomically(() => {
      this.#supersede();
      this.#settle('confirmed', { atMs, reason: '' });
    });
  }

  drop(state: 'rolled-back' | 'failed', reason: string, { atMs, outcome }: { readonly atMs: number; readonly outcome?: Outcome }): void {
    this.#atomically(() => {
      this.#settle(state, { atMs, reason });
      if (outcome !== undefined) this.#keepOutcome(outcome, atMs);
    });
  }

  outcome(transactionId: string, notBeforeMs: number): Outcome | undefined {
    const sql = 'SELECT * FROM outcome WHERE transaction_id = ? AND at_ms >= ?';
    const row = this.#reading(() => this.#statement(sql).get(transactionId, notBeforeMs));
    return row === undefined ? undefined : toOutcome(row);
  }

  close(): void {
    this.#statements.clear();
    if (this.#database.isOpen) this.#database.close();
  }

  #insert(revision: NewRevision): number {
    const { etag, generation, state, author, comment, createdAtMs, settledAtMs, settledReason, mappingCount, serviceCount } = revision;
    const values = [etag, generation, state, author, comment, createdAtMs, settledAtMs, settledReason, mappingCount, serviceCount];
    const { lastInsertRowid } = this.#statement(insertRevision).run(...values);
    this.#run(insertDocument, lastInsertRowid, revision.policyJson);
    this.#run(dropOldRevisions, revisionsKept);
    return Number(lastInsertRowid);
  }

  /** Ends the pending revision, if there is one. */
  #settle(to: RevisionState, { atMs, reason }: { readonly atMs: number; readonly reason: string }): void {
    this.#run("UPDATE revision SET state = ?, settled_at_ms = ?, settled_reason = ? WHERE state = 'pending'", to, atMs, reason);
    this.#run('DELETE FROM pending');
  }

  #supersede(): void {
    this.#run("UPDATE revision SET state = 'superseded' WHERE state = 'confirmed'");
  }

  #keepOutcome({ transactionId, revision, loadMs, flipMs, error }: Outcome, atMs: number): void {
    const failure = [error?.code ?? null, error?.message ?? null, error?.detailsJson ?? null];
    this.#run(insertOutcome, transactionId, revision, loadMs, flipMs, ...failure, atMs);
    this.#run(dropOldOutcomes, atMs - outcomeLifeMs);
    this.#run(dropExcessOutcomes, outcomesMax);
  }

  #fullRow(where: string, ...values: SQLInputValue[]): Revision | undefined {
    const sql = `SELECT ${columns}, policy_json FROM revision JOIN document USING (revision) WHERE ${where}`;
    const row = this.#reading(() => this.#statement(sql).get(...values));
    return row === undefined ? undefined : toRevision(row);
  }

  #run(sql: string, ...values: SQLInputValue[]): void {
    this.#statement(sql).run(...values);
  }

  /** Made once: to parse the SQL costs more than to run it. */
  #statement(sql: string): StatementSync {
    const known = this.#statements.get(sql);
    if (known !== undefined) return known;
    const made = this.#database.prepare(sql);
    this.#statements.set(sql, made);
    return made;
  }

  /** One statement that reads is atomic by itself. */
  #reading<T>(work: () => T): T {
    return withStateErrors(this.#database, work);
  }

  #atomically<T>(work: () => T): T {
    return inTransaction(this.#database, work);
  }
}

type Row = Readonly<Record<string, unknown>>;

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
