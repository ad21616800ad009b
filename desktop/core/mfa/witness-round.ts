/** One code, shown to all witnesses at the same time; a majority decides. */
import type { SignedEnvelope } from '../../../proto/gen/nest/v1/envelope.ts';
import { NestError, toErrorShape } from '../../../proto/model/error.ts';
import type { NestErrorCode } from '../../../proto/model/error.ts';
import type { MfaAct } from '../../bridge/mfa-model.ts';
import { isCancelled } from '../../lib/api.ts';
import type { HostRoster } from '../hosts/host-roster.ts';

const deadlineMs = 8_000;
/** What a witness says that a person can do something about, the most telling first. */
const telling: readonly NestErrorCode[] = ['MFA_WRONG', 'LIMIT_REACHED', 'CLOCK_SKEWED', 'REVOKED', 'NOT_FOUND'];

export interface WitnessRound {
  readonly roster: HostRoster;
  readonly factorId: string;
  /** Host ids. */
  readonly witnesses: readonly string[];
  readonly code: string;
  /** So many must have checked the code. */
  readonly needed: number;
  readonly act: MfaAct | null;
  /** Console clock, milliseconds since the Unix epoch. */
  readonly now: number;
  readonly signal: AbortSignal;
}

export interface WitnessAnswer {
  readonly statements: readonly SignedEnvelope[];
  readonly recoveryCodesLeft: number;
}

/** Raises what most tells why it failed; HOST_UNREACHABLE when too few witnesses answer. */
export const askWitnesses = async (round: WitnessRound): Promise<WitnessAnswer> => {
  const answers = await Promise.allSettled(round.witnesses.map((hostId) => askOne(round, hostId)));
  const good = answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []));
  const statements = good.flatMap(({ statement }) => statement ?? []);
  if (statements.length >= round.needed)
    return { statements, recoveryCodesLeft: Math.min(...good.map(({ recoveryCodesLeft }) => recoveryCodesLeft)) };
  const failures: readonly unknown[] = answers.flatMap((answer) => (answer.status === 'rejected' ? [answer.reason as unknown] : []));
  const cancelled = failures.find(isCancelled);
  if (cancelled !== undefined) throw cancelled;
  const shapes = failures.map(toErrorShape);
  const worst = telling.flatMap((code) => shapes.find((shape) => shape.code === code) ?? [])[0];
  if (worst !== undefined) throw new NestError(worst.code, worst.message, { details: worst.details, cause: failures[0] });
  throw new NestError(
    'HOST_UNREACHABLE',
    `${String(statements.length)} of ${String(round.witnesses.length)} witnesses answer, ${String(round.needed)} must: ${shapes[0]?.message ?? ''} See "nest mfa status", or use a break-glass grant.`,
    { cause: failures[0] },
  );
};

const askOne = async (
  { roster, factorId, code, act, now, signal }: WitnessRound,
  hostId: string,
): Promise<{ readonly statement?: SignedEnvelope | undefined; readonly recoveryCodesLeft: number }> => {
  const client = await roster.get(hostId).client(signal);
  const request = {
    factorId,
    code,
    actionHash: Buffer.from(act?.actionHash ?? '', 'hex'),
    hostSetHash: Buffer.from(act?.hostSetHash ?? '', 'hex'),
    timeMs: BigInt(Math.round(now)),
  };
  return client.stepUp(request, { signal, deadlineMs });
};
