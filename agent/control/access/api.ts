/**
 * Who may do what on this host: keeps the chain of signed access updates and decides about every call. Used by the server, wired by
 * system.ts. Until the first bundle has arrived operators hold every scope and clients all but administration; never again afterwards,
 * also when the stored bundle is lost. It never signs anything and believes no messenger, only signatures.
 */
import type { AccessBody, AccessClientKey } from '../../../proto/model/access/body.ts';
import type { AccessFork } from '../../../proto/model/access/chain.ts';
import type { Refusal } from '../../../proto/model/access/decide.ts';
import type { SignedEnvelope } from '../../../proto/model/access/update.ts';

export type { SignedEnvelope } from '../../../proto/model/access/update.ts';

export interface AccessCaller {
  /** spiffe://<fleet>/operator/<name> */
  readonly subject: string;
  readonly kind: 'operator' | 'client';
  /** SHA-256 of the public key it connects with, hex; empty for none in particular. */
  readonly device: string;
}

export interface AccessState {
  /** 0 = no bundle yet. */
  readonly epoch: number;
  readonly revision: number;
  /** Hex; empty without a bundle. */
  readonly hash: string;
  readonly issuedAtMs: number;
  readonly notAfterMs: number;
  /** Who signed it: spiffe://<fleet>/operator/<name>; empty without a bundle. */
  readonly author: string;
  /** Too old, or not the newest any more: what changes something waits. */
  readonly isStale: boolean;
}

export interface AccessControl {
  head(): AccessState;
  /** What counts now; null without a bundle. */
  body(): AccessBody | null;
  /** Null = allowed. `mapping` is empty for the host as a whole. */
  decide(caller: AccessCaller, scope: string, mapping?: string): Refusal | null;
  /** True when the caller holds the scope for some mapping and the request has to name it. */
  needsMapping(caller: AccessCaller, scope: string): boolean;
  isLocked(caller: AccessCaller): boolean;
  /** Everybody and every device that is locked out ("operator/bob", "device/<SHA-256>"), with the owner's words. */
  locks(): readonly { readonly target: string; readonly reason: string }[];
  /** True when the caller is locked or holds nothing here: its connections end. */
  isCut(caller: AccessCaller): boolean;
  /** Keys of which a client must show one beside its certificate, expired ones left out; null when its certificate is enough. */
  clientKeys(caller: AccessCaller): readonly AccessClientKey[] | null;
  /**
   * Takes updates, oldest first, and stores them before it answers. What is known already is passed over. Raises ACCESS_INVALID,
   * ACCESS_FORKED, INPUT_INVALID, LIMIT_REACHED, NOT_ENROLLED, STATE_FAILED (then it is in force, but would not survive a restart).
   */
  push(envelopes: readonly SignedEnvelope[]): Promise<{ readonly accepted: number }>;
  /** Of the present epoch, from after a revision; all of it when the caller is at another epoch. */
  updates(after: { readonly epoch: number; readonly revision: number }): {
    readonly updates: readonly SignedEnvelope[];
    readonly isMore: boolean;
  };
  forks(): readonly AccessFork[];
  /** Called after every change of what is decided; returns the way to stop listening. */
  onChanged(listener: () => void): () => void;
  /** Takes up the fleet the host belongs to now; call it after every change of identity. Raises STATE_FAILED. */
  refresh(): Promise<void>;
  close(): void;
}
