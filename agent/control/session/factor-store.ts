/** Secrets of authenticators whose witness this agent is, wrong codes counted and used ones remembered: a restart forgives nothing. */
import { timingSafeEqual } from 'node:crypto';
import { chmodSync, closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { NestError } from '../../../proto/model/error.ts';
import { isRecoveryCode, recoveryHash, totpStepOf } from '../../../proto/model/totp.ts';
import { inTransaction, openStateDatabase } from '../revisions/api.ts';
import type { FactorOffer } from './api.ts';

/** Wrong codes before a pause, and how long it is, milliseconds. */
export const wrongCodesMax = 5;
export const wrongCodesPauseMs = 15 * 60_000;
/** Of one operator; the oldest that the access bundle does not name goes. */
const factorsPerSubjectMax = 4;
const factorsMax = 4_000;
const privateMode = 0o600;

/** Schema versions of factors.sqlite. */
const migrations: readonly string[] = [
  `CREATE TABLE factor (
     factor_id TEXT PRIMARY KEY,
     subject TEXT NOT NULL,
     secret BLOB NOT NULL,
     salt BLOB NOT NULL,
     used_step INTEGER NOT NULL,
     failures INTEGER NOT NULL,
     paused_until_ms INTEGER NOT NULL,
     is_named INTEGER NOT NULL,
     stored_at_ms INTEGER NOT NULL
   ) STRICT;
   CREATE TABLE recovery (factor_id TEXT NOT NULL, hash BLOB NOT NULL, PRIMARY KEY (factor_id, hash)) STRICT`,
];

export interface FactorStore {
  /** Raises INPUT_INVALID for a known id with another secret, LIMIT_REACHED, STATE_FAILED. */
  put(subject: string, offer: FactorOffer, nowMs: number): void;
  /** Checks a code and spends it. Returns the recovery codes left. Raises NOT_FOUND, MFA_WRONG, LIMIT_REACHED, STATE_FAILED. */
  spend(subject: string, asked: { readonly factorId: string; readonly code: string }, nowMs: number): number;
  /** Tells which factors the access bundle names: what it named once and does not any more is forgotten. */
  keepNamed(factorIds: ReadonlySet<string>): void;
  close(): void;
}

interface Row {
  readonly secret: Uint8Array;
  readonly salt: Uint8Array;
  readonly usedStep: number;
  readonly failures: number;
  readonly pausedUntilMs: number;
}

/** Opens factors.sqlite, readable by its owner alone. A damaged file is moved aside: then this agent is no witness any more. Raises STATE_FAILED. */
export const openFactorStore = (stateDir: string): FactorStore & { readonly movedAside: string | null } => {
  const path = join(stateDir, 'factors.sqlite');
  // Made before SQLite does: its other files take the mode of this one.
  closeSync(openSync(path, 'a', privateMode));
  chmodSync(path, privateMode);
  const { database, movedAside } = openStateDatabase({ path, migrations });
  return {
    movedAside,
    put: (subject, offer, nowMs) => inTransaction(database, () => put(database, { subject, offer, nowMs })),
    spend: (subject, { factorId, code }, nowMs) => {
      // Committed also when the code was wrong: the count is what matters.
      const { left, problem } = inTransaction(database, () => spend(database, { subject, factorId, code, nowMs }));
      if (problem !== null) throw problem;
      return left;
    },
    keepNamed: (factorIds) => inTransaction(database, () => keepNamed(database, factorIds)),
    close: () => {
      if (database.isOpen) database.close();
    },
  };
};

const put = (database: DatabaseSync, { subject, offer, nowMs }: { subject: string; offer: FactorOffer; nowMs: number }): void => {
  const { factorId, secret, recoverySalt, recoveryHashes } = offer;
  const known = database.prepare('SELECT subject, secret FROM factor WHERE factor_id = ?').get(factorId);
  if (known !== undefined) {
    if (known['subject'] === subject && Buffer.from(secret).equals(bytesOf(known['secret']))) return;
    throw new NestError('INPUT_INVALID', 'This second factor is known already. Begin the enrolment again.');
  }
  const count = Number(database.prepare('SELECT COUNT(*) AS n FROM factor').get()?.['n'] ?? 0);
  if (count >= factorsMax) throw new NestError('LIMIT_REACHED', 'This host is a witness of too many operators. Choose another host.');
  database
    .prepare('INSERT INTO factor VALUES (?, ?, ?, ?, 0, 0, 0, 0, ?)')
    .run(factorId, subject, Buffer.from(secret), Buffer.from(recoverySalt), Math.round(nowMs));
  for (const hash of recoveryHashes) database.prepare('INSERT INTO recovery VALUES (?, ?)').run(factorId, Buffer.from(hash));
  const spare = database
    .prepare('SELECT factor_id FROM factor WHERE subject = ? AND is_named = 0 ORDER BY stored_at_ms DESC, factor_id DESC')
    .all(subject)
    .slice(factorsPerSubjectMax);
  for (const { factor_id: id } of spare) forget(database, String(id));
};

interface Asked {
  readonly subject: string;
  readonly factorId: string;
  readonly code: string;
  readonly nowMs: number;
}

const spend = (database: DatabaseSync, asked: Asked): { readonly left: number; readonly problem: NestError | null } => {
  const { factorId, code, nowMs } = asked;
  const row = find(database, asked);
  if (row === null)
    return { left: 0, problem: new NestError('NOT_FOUND', 'This host is no witness of your second factor. Look at "nest mfa status".') };
  // A clock that was set back must not make the pause longer than it is.
  const pauseMs = Math.min(row.pausedUntilMs - nowMs, wrongCodesPauseMs);
  if (pauseMs > 0) return { left: 0, problem: paused(pauseMs) };
  const problem = isRecoveryCode(code) ? spendRecovery(database, { factorId, code, salt: row.salt }) : spendStep(database, asked, row);
  if (problem === null) database.prepare('UPDATE factor SET failures = 0, paused_until_ms = 0 WHERE factor_id = ?').run(factorId);
  const left = Number(database.prepare('SELECT COUNT(*) AS n FROM recovery WHERE factor_id = ?').get(factorId)?.['n'] ?? 0);
  return { left, problem: problem === 'wrong' ? count(database, asked, row.failures + 1) : problem };
};

/** Null when the code counts. A code that was right once is refused, but does not count as a guess. */
const spendStep = (database: DatabaseSync, { factorId, code, nowMs }: Asked, row: Row): NestError | 'wrong' | null => {
  const step = totpStepOf(row.secret, code, nowMs);
  if (step === null) return 'wrong';
  if (step <= row.usedStep) return new NestError('MFA_WRONG', 'This code was used before. Wait for the next one, at most 30 seconds.');
  database.prepare('UPDATE factor SET used_step = ? WHERE factor_id = ?').run(step, factorId);
  return null;
};

const spendRecovery = (
  database: DatabaseSync,
  { factorId, code, salt }: { readonly factorId: string; readonly code: string; readonly salt: Uint8Array },
): 'wrong' | null => {
  const hash = recoveryHash(salt, code);
  const known = database.prepare('SELECT hash FROM recovery WHERE factor_id = ?').all(factorId);
  const isKnown = known.map((row) => timingSafeEqual(bytesOf(row['hash']), hash)).includes(true);
  if (!isKnown) return 'wrong';
  database.prepare('DELETE FROM recovery WHERE factor_id = ? AND hash = ?').run(factorId, hash);
  return null;
};

const count = (database: DatabaseSync, { factorId, nowMs }: Asked, failures: number): NestError => {
  const isPaused = failures >= wrongCodesMax;
  database
    .prepare('UPDATE factor SET failures = ?, paused_until_ms = ? WHERE factor_id = ?')
    .run(isPaused ? 0 : failures, isPaused ? Math.round(nowMs) + wrongCodesPauseMs : 0, factorId);
  const attemptsLeft = wrongCodesMax - failures;
  const next = isPaused ? 'Wait a quarter of an hour before the next try.' : `${String(attemptsLeft)} tries are left before a pause.`;
  return new NestError('MFA_WRONG', `The code is wrong. ${next}`, { details: { attemptsLeft } });
};

const paused = (leftMs: number): NestError =>
  new NestError(
    'LIMIT_REACHED',
    `Too many wrong codes. Try again in ${String(Math.ceil(leftMs / 60_000))} minutes, or use another way to get safe: confirming and taking back need no code.`,
    { details: { retryAfterMs: leftMs } },
  );

const keepNamed = (database: DatabaseSync, factorIds: ReadonlySet<string>): void => {
  for (const { factor_id: id, is_named: wasNamed } of database.prepare('SELECT factor_id, is_named FROM factor').all()) {
    const isNamed = factorIds.has(String(id));
    if (isNamed && Number(wasNamed) === 0) database.prepare('UPDATE factor SET is_named = 1 WHERE factor_id = ?').run(String(id));
    if (!isNamed && Number(wasNamed) === 1) forget(database, String(id));
  }
};

const forget = (database: DatabaseSync, factorId: string): void => {
  database.prepare('DELETE FROM factor WHERE factor_id = ?').run(factorId);
  database.prepare('DELETE FROM recovery WHERE factor_id = ?').run(factorId);
};

const find = (database: DatabaseSync, { factorId, subject }: Asked): Row | null => {
  const row = database
    .prepare('SELECT secret, salt, used_step, failures, paused_until_ms FROM factor WHERE factor_id = ? AND subject = ?')
    .get(factorId, subject);
  if (row === undefined) return null;
  return {
    secret: bytesOf(row['secret']),
    salt: bytesOf(row['salt']),
    usedStep: Number(row['used_step']),
    failures: Number(row['failures']),
    pausedUntilMs: Number(row['paused_until_ms']),
  };
};

const bytesOf = (value: unknown): Buffer => (value instanceof Uint8Array ? Buffer.from(value) : Buffer.alloc(0));
