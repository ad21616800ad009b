/**
 * The audit log of this host: what was changed or refused, by whom, in a hash chain whose end the agent signs. Used by the server
 * (every changing or refused call), by the command line (commands on the host) and by system.ts (what the agent does by itself). It
 * never decides who may do what, never drops an entry silently, and never rewrites one.
 */
import type { AuditFact } from '../../../proto/model/audit.ts';

export type { AuditFact } from '../../../proto/model/audit.ts';

export interface AuditVerdict {
  /** The entries that are kept; 0 and 0 when there are none. */
  readonly first: number;
  readonly last: number;
  /** The first entry that is missing or changed, and what is wrong with it; null when all is well. */
  readonly problem: { readonly number: number; readonly message: string } | null;
}

export interface SignedHead {
  /** Bytes of a SignedEnvelope "nest.audit-head.v1". */
  readonly envelope: Buffer;
  readonly number: number;
}

export interface AuditAppend {
  /** Starts writing at once instead of waiting a few milliseconds for company. Either way the promise resolves when the entry is durable. */
  readonly durable?: boolean;
}

export interface AuditControl {
  /** Resolves with the entry's number once it is durable. Raises AUDIT_FAILED: then the call it is about must fail, too. */
  append(fact: AuditFact, options?: AuditAppend): Promise<number>;
  /**
   * A refusal, of which a hostile caller can make any number: those alike are counted within a minute and written as one entry with
   * their count. Resolves when the entry is durable, or the refusal is counted. Raises AUDIT_FAILED.
   */
  refused(fact: AuditFact): Promise<void>;
  /** Something the agent does by itself and must not leave undone. Never raises: the entry waits in memory until it can be written, and a health warning says so. */
  note(fact: AuditFact): void;
  /** A signed head over the last durable entry. Raises NOT_ENROLLED (no fleet, so nobody who knows the key), NOT_FOUND (no entry yet). */
  head(): Promise<SignedHead>;
  /** Numbers of the oldest and the newest entry; 0 and 0 when there are none. */
  extent(): { readonly first: number; readonly last: number };
  /** Number and hash of the newest durable entry; 0 when there is none. At no cost. */
  end(): { readonly number: number; readonly hash: Uint8Array };
  /** The first entry known to be missing or changed; null when none is. */
  broken(): number | null;
  /** At most `max` entries with numbers above `after`, in order, in pieces of at most 500. Raises AUDIT_BROKEN where the files are damaged, STATE_FAILED. */
  entries(after: number, max: number): AsyncIterable<readonly Buffer[]>;
  /** Checks everything that is kept: every entry, the chain, and the signed heads over it. Raises STATE_FAILED when files cannot be read. */
  verify(): Promise<AuditVerdict>;
  /** Writes what waits, then closes. Idempotent. */
  close(): Promise<void>;
}
