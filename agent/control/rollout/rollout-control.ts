import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { rolloutAct } from '../../../proto/model/act.ts';
import { envelopeOfText, envelopeText } from '../../../proto/model/envelope-text.ts';
import { NestError } from '../../../proto/model/error.ts';
import { openSigned } from '../../../proto/model/operator-signature.ts';
import type { Envelope, SignatureCheck } from '../../../proto/model/operator-signature.ts';
import {
  parseRolloutPlan,
  parseRolloutState,
  rolloutPlanType,
  rolloutRecordsKept,
  rolloutStateType,
  settledPhases,
} from '../../../proto/model/rollout.ts';
import type { RolloutState } from '../../../proto/model/rollout.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import type { IdentityControl } from '../identity/api.ts';
import { inTransaction, openStateDatabase } from '../revisions/api.ts';
import type { SessionControl } from '../session/api.ts';
import type { RolloutControl, RolloutRecord } from './api.ts';

export interface RolloutOptions {
  /** Directory of rollouts.sqlite; must exist. */
  readonly stateDir: string;
  readonly identity: Pick<IdentityControl, 'identity'>;
  /** Whether an operator may sign plans and states of rollouts. */
  readonly maySign: (subject: string, device: string) => boolean;
  /** Raises MFA_REQUIRED when its author has a second factor and has not approved the plan with it. */
  readonly checkAct?: SessionControl['checkAct'];
  readonly clock: Clock;
  readonly log: Logger;
}

/** Schema versions of rollouts.sqlite. */
const migrations: readonly string[] = [
  `CREATE TABLE rollout (
     rollout_id TEXT PRIMARY KEY,
     term INTEGER NOT NULL,
     sequence INTEGER NOT NULL,
     conductor TEXT NOT NULL,
     subject TEXT NOT NULL,
     is_open INTEGER NOT NULL,
     not_after_ms INTEGER NOT NULL,
     plan TEXT NOT NULL,
     state TEXT NOT NULL,
     stored_at_ms INTEGER NOT NULL
   ) STRICT`,
];

interface Row {
  readonly rolloutId: string;
  readonly term: number;
  readonly sequence: number;
  readonly conductor: string;
  readonly subject: string;
}

/** Opens the stored records; a damaged file is moved aside. Raises STATE_FAILED. */
export const createRolloutControl = (options: RolloutOptions): RolloutControl => {
  const { database, movedAside } = openStateDatabase({ path: join(options.stateDir, 'rollouts.sqlite'), migrations });
  if (movedAside !== null) options.log.error('the stored rollouts were damaged and moved aside', { movedAside });
  return new StoredRolloutControl(options, database);
};

class StoredRolloutControl implements RolloutControl {
  readonly #options: RolloutOptions;
  readonly #database: DatabaseSync;

  constructor(options: RolloutOptions, database: DatabaseSync) {
    this.#options = options;
    this.#database = database;
  }

  put({ plan, state }: { readonly plan: Envelope | null; readonly state: Envelope }): void {
    const { agentId, check } = this.#check();
    const { payload, subject } = openSigned(state, rolloutStateType, check);
    const next = parseRolloutState(payload);
    if (next.host.hostId !== agentId) throw new NestError('INPUT_INVALID', 'The state of the rollout is meant for another host.');
    inTransaction(this.#database, () => {
      const known = this.#find(next.rolloutId);
      if (known === null) this.#insert(next, { plan, state, subject, check });
      else this.#update(known, next, { state, subject });
    });
  }

  records(): readonly RolloutRecord[] {
    return inTransaction(this.#database, () =>
      this.#database
        .prepare('SELECT rollout_id, plan, state, stored_at_ms FROM rollout ORDER BY stored_at_ms DESC, rollout_id DESC LIMIT ?')
        .all(rolloutRecordsKept)
        .map((row) => ({
          rolloutId: String(row['rollout_id']),
          plan: envelopeOfText(String(row['plan'])),
          state: envelopeOfText(String(row['state'])),
          storedAtMs: Number(row['stored_at_ms']),
        })),
    );
  }

  admit(rolloutId: string, term: number): void {
    const known = inTransaction(this.#database, () => this.#find(rolloutId));
    if (known === null)
      throw new NestError('ROLLOUT_CONFLICT', 'This host has no record of the rollout. Let its console write the record first.', {
        details: { rolloutId },
      });
    if (known.term !== term) throw takenOver(known);
  }

  covers(rolloutId: string, policyJson: string): boolean {
    const row = this.#database.prepare('SELECT plan FROM rollout WHERE rollout_id = ? AND is_open = 1').get(rolloutId);
    if (row === undefined) return false;
    const { policy, stepUp } = parseRolloutPlan(envelopeOfText(String(row['plan'])).payload);
    return stepUp !== undefined && policy === policyJson;
  }

  close(): void {
    if (this.#database.isOpen) this.#database.close();
  }

  #check(): { readonly agentId: string; readonly check: SignatureCheck } {
    const identity = this.#options.identity.identity();
    if (identity === null) throw new NestError('NOT_ENROLLED', 'This host belongs to no fleet yet. Run "nest-agent join <token>" on it.');
    const { agentId, fleetId, fleetRoot } = identity;
    const { clock, maySign } = this.#options;
    return { agentId, check: { fleetRoot, fleetId, nowMs: clock.nowMs(), maySign } };
  }

  #find(rolloutId: string): Row | null {
    const row = this.#database.prepare('SELECT term, sequence, conductor, subject FROM rollout WHERE rollout_id = ?').get(rolloutId);
    if (row === undefined) return null;
    const { term, sequence, conductor, subject } = row;
    return { rolloutId, term: Number(term), sequence: Number(sequence), conductor: String(conductor), subject: String(subject) };
  }

  #insert(
    next: RolloutState,
    from: { readonly plan: Envelope | null; readonly state: Envelope; readonly subject: string; readonly check: SignatureCheck },
  ): void {
    if (from.plan === null)
      throw new NestError('NOT_FOUND', 'This host does not know the rollout. Send its plan along.', {
        details: { rolloutId: next.rolloutId },
      });
    const signed = openSigned(from.plan, rolloutPlanType, from.check);
    const plan = parseRolloutPlan(signed.payload);
    const isOurs = plan.rolloutId === next.rolloutId && plan.fleetId === from.check.fleetId;
    if (!isOurs || !plan.waves.some((wave) => wave.includes(next.host.hostId)))
      throw new NestError('INPUT_INVALID', 'The plan of the rollout does not fit its state, or does not name this host.');
    const { subject, device } = signed;
    this.#options.checkAct?.({ subject, device, act: rolloutAct(plan), atMs: plan.createdAtMs, statements: plan.stepUp ?? null });
    this.#refuseBesideAnother(next);
    const { nowMs } = from.check;
    this.#database
      .prepare('INSERT INTO rollout VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)')
      .run(
        next.rolloutId,
        next.term,
        next.sequence,
        next.conductor,
        from.subject,
        Number(!settledPhases.has(next.phase)),
        plan.notAfterMs,
        envelopeText(from.plan),
        envelopeText(from.state),
        nowMs,
      );
    this.#database
      .prepare(
        'DELETE FROM rollout WHERE rollout_id NOT IN (SELECT rollout_id FROM rollout ORDER BY is_open DESC, stored_at_ms DESC LIMIT ?)',
      )
      .run(rolloutRecordsKept);
    this.#options.log.info('takes part in a rollout', { rolloutId: next.rolloutId, subject: from.subject });
  }

  #update(known: Row, next: RolloutState, { state, subject }: { readonly state: Envelope; readonly subject: string }): void {
    const isOlder = next.term === known.term && next.sequence < known.sequence;
    if (next.term < known.term || isOlder || (next.term === known.term && next.conductor !== known.conductor)) throw takenOver(known);
    if (next.term > known.term) {
      this.#options.log.info('another console took a rollout over', { rolloutId: next.rolloutId, subject, term: next.term });
      if (!settledPhases.has(next.phase)) this.#refuseBesideAnother(next);
    }
    const values = [next.term, next.sequence, next.conductor, subject, Number(!settledPhases.has(next.phase)), envelopeText(state)];
    this.#database
      .prepare(
        'UPDATE rollout SET term = ?, sequence = ?, conductor = ?, subject = ?, is_open = ?, state = ?, stored_at_ms = ? WHERE rollout_id = ?',
      )
      .run(...values, this.#options.clock.nowMs(), next.rolloutId);
  }

  /** One open rollout a host: two would undo each other. */
  #refuseBesideAnother({ rolloutId, phase }: RolloutState): void {
    if (settledPhases.has(phase)) return;
    const other = this.#database
      .prepare('SELECT rollout_id, subject FROM rollout WHERE is_open = 1 AND not_after_ms > ? AND rollout_id != ?')
      .get(this.#options.clock.nowMs(), rolloutId);
    if (other === undefined) return;
    throw new NestError(
      'ROLLOUT_CONFLICT',
      `This host takes part in another rollout, of ${String(other['subject'])}. Let it finish, or take it over and abort it.`,
      { details: { rolloutId: String(other['rollout_id']), subject: String(other['subject']) } },
    );
  }
}

const takenOver = ({ rolloutId, term, subject }: Row): NestError =>
  new NestError(
    'ROLLOUT_CONFLICT',
    `Another console is in charge of this rollout now, of ${subject}. Watch it there, or take it over again.`,
    {
      details: { rolloutId, term, subject },
    },
  );
