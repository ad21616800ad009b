/** The audit log of an agent whose disk did not let it open at start: enforcement comes first, so the agent starts, changes nothing, and tries again. */
import { NestError } from '../../../proto/model/error.ts';
import type { Clock, Timer } from '../../lib/clock.ts';
import type { AuditAppend, AuditControl, AuditFact, AuditVerdict, SignedHead } from './api.ts';

const retryMs = 10_000;
/** What the agent does by itself meanwhile; beyond it the oldest are kept. */
const notesMax = 256;

const noHash = new Uint8Array(0);

export class LateAudit implements AuditControl {
  readonly #open: () => Promise<AuditControl>;
  readonly #clock: Clock;
  #log: AuditControl | null = null;
  #opening: Promise<AuditControl> | null = null;
  #notes: AuditFact[] = [];
  #timer: Timer | null = null;
  #isClosed = false;

  constructor(open: () => Promise<AuditControl>, clock: Clock) {
    this.#open = open;
    this.#clock = clock;
    this.#arm();
  }

  async append(fact: AuditFact, options?: AuditAppend): Promise<number> {
    return (await this.#opened()).append(fact, options);
  }

  async refused(fact: AuditFact): Promise<void> {
    return (await this.#opened()).refused(fact);
  }

  note(fact: AuditFact): void {
    if (this.#log !== null) this.#log.note(fact);
    else if (this.#notes.length < notesMax) this.#notes.push(fact);
  }

  async head(): Promise<SignedHead> {
    return (await this.#opened()).head();
  }

  extent(): { readonly first: number; readonly last: number } {
    return this.#log?.extent() ?? { first: 0, last: 0 };
  }

  end(): { readonly number: number; readonly hash: Uint8Array } {
    return this.#log?.end() ?? { number: 0, hash: noHash };
  }

  broken(): number | null {
    return this.#log?.broken() ?? null;
  }

  async *entries(after: number, max: number): AsyncIterable<readonly Buffer[]> {
    yield* (await this.#opened()).entries(after, max);
  }

  async verify(): Promise<AuditVerdict> {
    return (await this.#opened()).verify();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#timer?.cancel();
    await this.#opening?.catch(() => undefined);
    await this.#log?.close();
  }

  /** Raises AUDIT_FAILED. */
  async #opened(): Promise<AuditControl> {
    if (this.#log !== null) return this.#log;
    this.#opening ??= this.#tryOpen();
    return this.#opening;
  }

  async #tryOpen(): Promise<AuditControl> {
    try {
      if (this.#isClosed) throw new NestError('CANCELLED', 'The agent stops.');
      const log = await this.#open();
      this.#log = log;
      this.#timer?.cancel();
      for (const fact of this.#notes) log.note(fact);
      this.#notes = [];
      return log;
    } catch (error) {
      throw new NestError(
        'AUDIT_FAILED',
        "The audit log cannot be opened, so this was not done. Check disk space and permissions of the agent's state directory, then try again.",
        { cause: error },
      );
    } finally {
      this.#opening = null;
    }
  }

  #arm(): void {
    this.#timer = this.#clock.after(retryMs, () => {
      this.#opened().catch(() => {
        if (!this.#isClosed) this.#arm();
      });
    });
  }
}
