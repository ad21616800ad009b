import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { intentsAct, readAct } from '../../../proto/model/act.ts';
import { NestError } from '../../../proto/model/error.ts';
import { intentClockSkewMs, intentType, parseIntent } from '../../../proto/model/intent.ts';
import type { Intent } from '../../../proto/model/intent.ts';
import { openSigned } from '../../../proto/model/operator-signature.ts';
import type { Envelope } from '../../../proto/model/operator-signature.ts';
import { sha256 } from '../../../proto/model/step-up.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import type { IdentityControl } from '../identity/api.ts';
import { inTransaction, openStateDatabase } from '../revisions/api.ts';
import type { SessionControl, SignedAct } from '../session/api.ts';
import type { AdmittedIntent, IntentControl } from './api.ts';

/** Intents remembered; the sequence of the newest counts, the others only answer repetitions. */
const takenMax = 64;
/** As long as revision control answers a repeated transaction. */
const repeatMs = 86_400_000;

export interface IntentOptions {
  /** Directory of intents.sqlite; must exist. */
  readonly stateDir: string;
  readonly identity: Pick<IdentityControl, 'identity'>;
  /** Whether an operator may sign changes of this host's policy. */
  readonly maySign: (subject: string, device: string) => boolean;
  /** Raises MFA_REQUIRED when its author has a second factor and has not approved the intent with it. */
  readonly checkAct?: SessionControl['checkAct'];
  readonly clock: Clock;
  readonly log: Logger;
}

/** Schema versions of intents.sqlite. */
const migrations: readonly string[] = [
  'CREATE TABLE taken (intent_id TEXT PRIMARY KEY, sequence INTEGER NOT NULL, taken_at_ms INTEGER NOT NULL) STRICT',
];

/** Opens what was taken; a damaged file is moved aside. Raises STATE_FAILED. */
export const createIntentControl = (options: IntentOptions): IntentControl => {
  const { database, movedAside } = openStateDatabase({ path: join(options.stateDir, 'intents.sqlite'), migrations });
  if (movedAside !== null) options.log.error('the stored intents were damaged and moved aside', { movedAside });
  return {
    take: (envelope, currentRevision) => {
      const { intent, subject } = judge(options, envelope);
      inTransaction(database, () => takeInOrder(database, { intent, currentRevision, nowMs: options.clock.nowMs() }));
      options.log.info('intent taken', { intentId: intent.intentId, subject, baseRevision: intent.baseRevision });
      return { intent, subject };
    },
    close: () => {
      if (database.isOpen) database.close();
    },
  };
};

/** Everything that can be said without knowing what was taken before. */
const judge = ({ identity, maySign, checkAct, clock }: IntentOptions, envelope: Envelope): AdmittedIntent => {
  const own = identity.identity();
  if (own === null) throw new NestError('NOT_ENROLLED', 'This host belongs to no fleet yet. Run "nest-agent join <token>" on it.');
  const nowMs = clock.nowMs();
  const { payload, subject, device } = openSigned(envelope, intentType, { fleetRoot: own.fleetRoot, fleetId: own.fleetId, nowMs, maySign });
  const intent = parseIntent(payload);
  if (intent.fleetId !== own.fleetId) throw new NestError('FLEET_MISMATCH', 'The intent is for a host of another fleet.');
  if (intent.hostId !== own.agentId) throw new NestError('IDENTITY_MISMATCH', 'The intent is for another host. Deliver it there.');
  if (nowMs >= intent.expiresAtMs) {
    const details = { expiresAtMs: intent.expiresAtMs, nowMs };
    throw new NestError('INTENT_EXPIRED', 'The intent has expired. Review the change again and sign it anew.', { details });
  }
  if (nowMs < intent.notBeforeMs - intentClockSkewMs) {
    const details = { notBeforeMs: intent.notBeforeMs, nowMs };
    throw new NestError('INTENT_EXPIRED', 'The intent is not valid yet. Compare the clocks of this host and the console.', { details });
  }
  checkAct?.({ subject, device, ...approvalOf(intent) });
  return { intent, subject };
};

/** What was approved must be this change, for this host among others. Raises INPUT_INVALID. */
const approvalOf = ({ stepUp, fleetId, hostId, policy, notBeforeMs }: Intent): Pick<SignedAct, 'act' | 'atMs' | 'statements'> => {
  if (stepUp === undefined) return { act: intentsAct({ fleetId, policy, hostIds: [hostId] }), atMs: notBeforeMs, statements: null };
  const act = readAct(stepUp.act, fleetId);
  if (act.policy !== sha256(policy) || !act.hostIds.includes(hostId))
    throw new NestError('INPUT_INVALID', 'What was approved with a second factor is another change, or not for this host. Sign it anew.');
  return { act, atMs: act.atMs ?? notBeforeMs, statements: stepUp.statements };
};

const takeInOrder = (
  database: DatabaseSync,
  { intent, currentRevision, nowMs }: { readonly intent: Intent; readonly currentRevision: number; readonly nowMs: number },
): void => {
  const before = database.prepare('SELECT taken_at_ms FROM taken WHERE intent_id = ?').get(intent.intentId);
  const isRepeated = before !== undefined && nowMs - Number(before['taken_at_ms']) < repeatMs;
  if (isRepeated) return;
  const highest = Number(Object.values(database.prepare('SELECT MAX(sequence) FROM taken').get() ?? {})[0] ?? 0);
  if (before !== undefined || intent.sequence <= highest) {
    const details = { sequence: intent.sequence, taken: highest };
    throw new NestError('INTENT_STALE', 'This host has taken a later intent already. Review the change again.', { details });
  }
  if (intent.baseRevision !== currentRevision) {
    const details = { baseRevision: intent.baseRevision, currentRevision };
    const text = `The host has revision ${currentRevision} now, the intent starts from ${intent.baseRevision}. Review the change again.`;
    throw new NestError('INTENT_STALE', text, { details });
  }
  database.prepare('INSERT INTO taken VALUES (?, ?, ?)').run(intent.intentId, intent.sequence, nowMs);
  database.prepare('DELETE FROM taken WHERE intent_id NOT IN (SELECT intent_id FROM taken ORDER BY sequence DESC LIMIT ?)').run(takenMax);
};
