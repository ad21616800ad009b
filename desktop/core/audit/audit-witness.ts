/**
 * What this console remembers of one host's audit log. A head that does not extend the remembered one means that somebody cut the log or
 * wrote it anew; the agent's word is not taken for it, the entries between the two are fetched and their chain is walked.
 */
import type { GetHeadResponse } from '../../../proto/gen/nest/v1/audit.ts';
import { SignedEnvelope } from '../../../proto/gen/nest/v1/envelope.ts';
import { auditGenesis, extendChain, previousHashOf } from '../../../proto/model/audit.ts';
import type { AuditHead, ChainEnd } from '../../../proto/model/audit.ts';
import { NestError, errorCodeOf, toErrorShape } from '../../../proto/model/error.ts';
import type { AuditHeadRow, HealthWarning } from '../../bridge/model.ts';
import type { AgentClient } from '../../grpc/api.ts';
import { isCancelled, throwIfCancelled } from '../../lib/api.ts';
import type { Clock } from '../../lib/api.ts';
import type { FleetCache, HostRecord } from '../cache/fleet-cache.ts';
import type { AuditPosition } from '../telemetry/reading.ts';
import { headSignedBy } from './signed-head.ts';

/** Entries walked in one check; the rest is walked by the next. */
const walkMax = 200_000;
/** At first sight only so many of the last entries are walked. */
const firstWalk = 1_000;
/** Entries kept for when the host is gone. */
const keptMax = 200;
/** Alarms that an operator has accepted, kept as evidence. */
const pastMax = 16;

interface Alarm {
  readonly at: number;
  readonly number: number;
  readonly message: string;
  /** The heads that contradict each other, envelopes in base64: what the host signed before, and what it says now. */
  readonly remembered: string | null;
  readonly presented: string | null;
}

interface Memory {
  readonly number: number;
  /** Hex. */
  readonly hash: string;
  readonly signedAt: number;
  readonly envelope: string;
  /** How far the chain was walked, at most `number`. */
  readonly walked: { readonly number: number; readonly hash: string };
  readonly firstNumber: number;
  readonly checkedAt: number;
  readonly gap: { readonly first: number; readonly last: number } | null;
  readonly alarm: Alarm | null;
  readonly past: readonly Alarm[];
  /** The broken entry that an operator has accepted; 0 = none. */
  readonly acceptedBroken: number;
}

/** The last entries of a host, bytes in base64, as they are kept in the cache. */
export interface KeptEntries {
  readonly entries: readonly string[];
}

export interface AuditWitnessOptions {
  readonly cache: FleetCache;
  readonly clock: Clock;
  readonly record: () => HostRecord;
}

export class AuditWitness {
  readonly #options: AuditWitnessOptions;
  #memory: Memory | null = null;
  #problem: string | null = null;
  /** When the host last said that its log ends as remembered. */
  #confirmedAt = 0;

  constructor(options: AuditWitnessOptions) {
    this.#options = options;
    this.#reload();
  }

  row(): AuditHeadRow {
    const { hostId, name } = this.#options.record();
    const memory = this.#reload();
    return {
      hostId,
      hostName: name,
      state: memory === null ? 'unknown' : memory.alarm !== null ? 'alarm' : memory.gap !== null ? 'gap' : 'sound',
      number: memory?.number ?? null,
      hash: memory?.hash ?? null,
      signedAt: memory?.signedAt ?? null,
      checkedAt: memory === null ? null : memory.alarm === null ? Math.max(memory.checkedAt, this.#confirmedAt) : memory.checkedAt,
      firstNumber: memory?.firstNumber ?? null,
      alarm: memory?.alarm ?? null,
      gap: memory?.gap ?? null,
      problem: this.#problem,
    };
  }

  /** The alarm as a warning of the host's health; null when there is none. */
  warning(): HealthWarning | null {
    const alarm = this.#memory?.alarm ?? null;
    return alarm === null
      ? null
      : { code: 'AUDIT_BROKEN', title: 'The audit log was tampered with', message: alarm.message, severity: 'critical', since: alarm.at };
  }

  /**
   * What the position that came with a status asks for: a check at once where it contradicts what is remembered, one that can wait its turn
   * where there is something new, none where the log ends as it did, or is empty and always was.
   */
  wants(position: AuditPosition | null): 'now' | 'soon' | 'nothing' {
    const memory = this.#memory;
    if (position === null) return 'soon';
    if (memory === null) return position.number === 0 ? 'nothing' : 'soon';
    if (memory.alarm !== null || position.number > memory.number) return 'soon';
    if (position.number < memory.number || position.hash !== memory.hash) return 'now';
    return position.broken === 0 || position.broken === memory.acceptedBroken ? 'nothing' : 'now';
  }

  /** The host has just said that its log ends where what is remembered ends. */
  confirm(): void {
    this.#confirmedAt = this.#options.clock.now();
    this.#problem = this.#memory === null ? 'The audit log of this host is empty.' : null;
  }

  /** The remembered end of the chain; null when nothing is. */
  remembered(): ChainEnd | null {
    return this.#memory === null ? null : endOf(this.#memory);
  }

  /** Compares what the host says now with what was remembered. Raises CANCELLED only: everything else is kept as the problem of the check. */
  async check(client: AgentClient, signal: AbortSignal): Promise<void> {
    try {
      await this.#check(client, signal);
      this.#problem = null;
    } catch (error) {
      if (isCancelled(error)) throw error;
      this.#problem = toErrorShape(error).message;
    }
  }

  /** Believes what the host says now; the alarm stays as evidence. Raises what the host refuses with, AUDIT_BROKEN. */
  async accept(client: AgentClient, signal: AbortSignal): Promise<void> {
    const before = this.#reload();
    const answer = await client.getAuditHead({ signal });
    const { head, envelope } = this.#readHead(answer);
    const alarms = before === null || before.alarm === null ? [] : [before.alarm];
    const past = [...alarms, ...(before?.past ?? [])].slice(0, pastMax);
    const walked = { number: head.number, hash: head.hash.toString('hex') };
    this.#remember({
      ...memoryOf(head, envelope, walked),
      firstNumber: Number(answer.firstNumber),
      past,
      acceptedBroken: Number(answer.brokenNumber),
    });
    this.#problem = null;
  }

  /** The head when this host signed it. Raises AUDIT_BROKEN. */
  headOf(head: SignedEnvelope | undefined): AuditHead {
    const { hostId, spkiSha256 } = this.#options.record();
    if (head === undefined) throw new NestError('AUDIT_BROKEN', 'The host answered without a head of its audit log. Upgrade its agent.');
    return headSignedBy(head, { agentId: hostId, spkiSha256 });
  }

  async #check(client: AgentClient, signal: AbortSignal): Promise<void> {
    let answer: GetHeadResponse;
    try {
      answer = await client.getAuditHead({ signal });
    } catch (error) {
      const memory = this.#reload();
      if (memory !== null && errorCodeOf(error) === 'NOT_FOUND')
        this.#raise({ number: 1, message: `The audit log is empty, but entry ${String(memory.number)} was signed for.`, presented: null });
      throw error;
    }
    const { head, envelope } = this.#readHead(answer);
    const firstNumber = Number(answer.firstNumber);
    // What is remembered may have changed while the host was asked: an operator may have believed it meanwhile.
    const memory = this.#reload();
    if (memory !== null && !this.#isPlausible(memory, { head, envelope, broken: Number(answer.brokenNumber) })) return;
    const start = startOf(memory, { number: head.number, firstNumber });
    try {
      const { walked, tail } = await walk(client, { start, head }, signal);
      if (this.#hasChanged(memory)) return;
      const gap = start.gap ?? memory?.gap ?? null;
      const { alarm = null, past = [], acceptedBroken = 0 } = memory ?? {};
      this.#remember({ ...memoryOf(head, envelope, walked), firstNumber, gap, alarm, past, acceptedBroken });
      this.#keep(tail);
    } catch (error) {
      if (errorCodeOf(error) !== 'AUDIT_BROKEN') throw error;
      if (this.#hasChanged(memory)) return;
      const { message, details } = toErrorShape(error);
      const number = typeof details['number'] === 'number' ? details['number'] : head.number;
      // At first sight nothing was remembered that could contradict: the head itself is remembered, and the alarm.
      if (memory === null)
        this.#remember({ ...memoryOf(head, envelope, { number: head.number, hash: head.hash.toString('hex') }), firstNumber });
      this.#raise({ number, message, presented: envelope });
    }
  }

  /** Somebody else has checked or believed the host since `memory` was read: what this check found is of before. */
  #hasChanged(memory: Memory | null): boolean {
    const now = this.#reload();
    return now?.envelope !== memory?.envelope || now?.alarm?.at !== memory?.alarm?.at;
  }

  /** The command line beside the console remembers in the same cache. */
  #reload(): Memory | null {
    const { cache, record } = this.#options;
    this.#memory = cache.document<Memory>(record().hostId, 'audit')?.content ?? null;
    return this.#memory;
  }

  /** False after an alarm: the head goes back, or was signed for another history, or the agent itself found damage. */
  #isPlausible(
    memory: Memory,
    { head, envelope, broken }: { readonly head: AuditHead; readonly envelope: string; readonly broken: number },
  ): boolean {
    if (head.number < memory.number) {
      const message = `The audit log ends with entry ${String(head.number)}, but entry ${String(memory.number)} was signed for: entries were cut off.`;
      this.#raise({ number: head.number + 1, message, presented: envelope });
    } else if (head.number === memory.number && head.hash.toString('hex') !== memory.hash) {
      const message = `Entry ${String(head.number)} is not the one that was signed for before: the audit log was written anew.`;
      this.#raise({ number: head.number, message, presented: envelope });
    } else if (broken !== 0 && broken !== memory.acceptedBroken) {
      const message = `The agent found entry ${String(broken)} of its audit log missing or changed.`;
      this.#raise({ number: broken, message, presented: envelope });
    } else return true;
    return false;
  }

  #readHead({ head }: GetHeadResponse): { readonly head: AuditHead; readonly envelope: string } {
    const bytes = SignedEnvelope.encode(head ?? SignedEnvelope.fromPartial({})).finish();
    return { head: this.headOf(head), envelope: Buffer.from(bytes).toString('base64') };
  }

  /** The first alarm counts: what came after it is its consequence. */
  #raise(found: { readonly number: number; readonly message: string; readonly presented: string | null }): void {
    const memory = this.#memory;
    if (memory === null || memory.alarm !== null) return;
    this.#remember({ ...memory, alarm: { ...found, at: this.#options.clock.now(), remembered: memory.envelope } });
  }

  #remember(memory: Omit<Memory, 'checkedAt'>): void {
    const { cache, clock, record } = this.#options;
    const checkedAt = memory.alarm === null ? clock.now() : (this.#memory?.checkedAt ?? clock.now());
    this.#memory = { ...memory, checkedAt };
    cache.putDocuments([{ hostId: record().hostId, kind: 'audit', at: clock.now(), content: this.#memory }]);
  }

  #keep(tail: readonly Buffer[]): void {
    if (tail.length === 0) return;
    const { cache, clock, record } = this.#options;
    const { hostId } = record();
    const before = cache.document<KeptEntries>(hostId, 'audit-entries')?.content.entries ?? [];
    const entries = [...before, ...tail.map((bytes) => bytes.toString('base64'))].slice(-keptMax);
    cache.putDocuments([{ hostId, kind: 'audit-entries', at: clock.now(), content: { entries } satisfies KeptEntries }]);
  }
}

const endOf = ({ walked }: Memory): ChainEnd => ({ number: walked.number, hash: Buffer.from(walked.hash, 'hex') });

const memoryOf = (head: AuditHead, envelope: string, walked: Memory['walked']): Omit<Memory, 'checkedAt' | 'firstNumber'> => ({
  number: head.number,
  hash: head.hash.toString('hex'),
  signedAt: head.atMs,
  envelope,
  walked,
  gap: null,
  alarm: null,
  past: [],
  acceptedBroken: 0,
});

interface WalkStart {
  /** Null: believe the first entry's word for what came before it. */
  readonly end: ChainEnd | null;
  readonly after: number;
  readonly gap: Memory['gap'];
}

const startOf = (memory: Memory | null, { number, firstNumber }: { readonly number: number; readonly firstNumber: number }): WalkStart => {
  if (memory === null) {
    const after = Math.max(firstNumber - 1, number - firstWalk);
    return { end: after <= 0 ? auditGenesis : null, after: Math.max(0, after), gap: null };
  }
  const end = endOf(memory);
  if (firstNumber <= end.number + 1) return { end, after: end.number, gap: null };
  return { end: null, after: firstNumber - 1, gap: { first: end.number + 1, last: firstNumber - 1 } };
};

/** Walks from the start towards the head and proves that they are one chain. Raises AUDIT_BROKEN, CANCELLED and what the host says. */
const walk = async (
  client: AgentClient,
  { start, head }: { readonly start: WalkStart; readonly head: AuditHead },
  signal: AbortSignal,
): Promise<{ readonly walked: Memory['walked']; readonly tail: readonly Buffer[] }> => {
  let { end } = start;
  const target = Math.min(head.number, start.after + walkMax);
  let tail: Buffer[] = [];
  if (target > start.after) {
    for await (const piece of client.listAuditEntries({ after: start.after, max: target - start.after }, signal)) {
      for (const bytes of piece) {
        end = extendChain(end ?? { number: start.after, hash: Buffer.from(previousHashOf(bytes)) }, bytes);
        tail.push(bytes);
      }
      if (tail.length > keptMax) tail = tail.slice(-keptMax);
      if (end !== null && end.number >= target) break;
    }
    throwIfCancelled(signal);
  }
  const reached = end ?? { number: start.after, hash: head.hash };
  if (reached.number < target) throw missing(reached.number + 1);
  if (reached.number === head.number && !reached.hash.equals(head.hash)) throw rewritten(head.number);
  return { walked: { number: reached.number, hash: reached.hash.toString('hex') }, tail };
};

const missing = (number: number): NestError =>
  new NestError('AUDIT_BROKEN', `Entry ${String(number)} was signed for, but the host does not give it.`, { details: { number } });
const rewritten = (number: number): NestError =>
  new NestError(
    'AUDIT_BROKEN',
    `The entries do not lead to the head that the host signed: one up to entry ${String(number)} was changed.`,
    {
      details: { number },
    },
  );
