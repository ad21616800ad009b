/** Walks a chain of audit entries from the oldest that is kept: the same on the agent, on the console and in an export. */
import { auditActions, auditGenesis, auditNumberOf, decodeAuditEntry, extendChain, hasRequestHash, previousHashOf } from './audit.ts';
import type { ChainEnd } from './audit.ts';
import { errorCodeOf, toErrorShape } from './error.ts';

/** The first entry that is missing or changed, and what is wrong with it. */
export interface AuditProblem {
  readonly number: number;
  readonly message: string;
}

/** Finds most entries that cannot speak of a retirement without decoding them. */
const retiredMark = Buffer.from(auditActions.retired);

export class AuditWalk {
  /** 0 until the first entry was taken. */
  first = 0;
  end: ChainEnd = auditGenesis;
  /** What the first entry says came before it; null when nothing may have. */
  #anchor: Buffer | null = null;
  /** Hash (hex) of the last entry that was retired, by its number, as the log says. */
  readonly #retired = new Map<number, string>();

  /** One more entry; `firstNumber` is what the first of all must have, when that is known. Raises AUDIT_BROKEN with details.number. */
  take(bytes: Buffer, firstNumber?: number): void {
    if (this.first === 0) this.#begin(bytes, firstNumber ?? auditNumberOf(bytes));
    this.end = extendChain(this.end, bytes);
    if (!hasRequestHash(bytes) && bytes.includes(retiredMark)) this.#readRetirement(bytes);
  }

  /** The log begins with entry 1, or says itself with which hash what came before was retired. Asked at the end. */
  beginning(): AuditProblem | null {
    if (this.#anchor === null || this.#retired.get(this.first - 1) === this.#anchor.toString('hex')) return null;
    const before = this.first - 1;
    return { number: before, message: `Entries up to ${String(before)} are missing and the log does not say that they were retired.` };
  }

  #begin(bytes: Buffer, number: number): void {
    this.first = number;
    if (number <= 1) return;
    this.#anchor = Buffer.from(previousHashOf(bytes));
    this.end = { number: number - 1, hash: this.#anchor };
  }

  #readRetirement(bytes: Buffer): void {
    const { actor, action, target, detail } = decodeAuditEntry(bytes);
    const last = /^\d+-(\d+)$/.exec(target)?.[1];
    if (actor === 'agent' && action === auditActions.retired && last !== undefined) this.#retired.set(Number(last), detail);
  }
}

/** What an AUDIT_BROKEN says; anything else is thrown on. */
export const auditProblemOf = (error: unknown, fallback: number): AuditProblem => {
  if (errorCodeOf(error) !== 'AUDIT_BROKEN') throw error;
  const { message, details } = toErrorShape(error);
  const { number } = details;
  return { number: typeof number === 'number' ? number : fallback, message };
};
