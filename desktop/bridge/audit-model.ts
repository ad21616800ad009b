/** Plain data about the audit logs of the fleet that crosses the bridge; the conventions are those of model.ts. */

/** One entry of one host's log. */
export interface AuditRow {
  readonly hostId: string;
  readonly hostName: string;
  readonly number: number;
  /** By the host's clock. */
  readonly at: number;
  /** Subject of a certificate, "agent", "local:<uid>"; empty for a stranger. */
  readonly actor: string;
  /** SHA-256 of the caller's public key, hex; empty when there is none. */
  readonly device: string;
  readonly source: string;
  readonly action: string;
  readonly target: string;
  /** Hex; empty when there was no request. */
  readonly requestHash: string;
  /** "started", "OK", or the code that refused. */
  readonly result: string;
  readonly revisionBefore: number | null;
  readonly revisionAfter: number | null;
  /** Number of the "started" entry that this one ends; null = none. */
  readonly opening: number | null;
  /** How many alike it stands for. */
  readonly count: number;
  readonly detail: string;
}

export interface AuditTimeline {
  readonly at: number;
  /** The newest first, over all hosts that were asked. */
  readonly rows: readonly AuditRow[];
  readonly hosts: readonly AuditSearched[];
}

export interface AuditSearched {
  readonly hostId: string;
  readonly hostName: string;
  /** False: only what the console kept of this host was searched. */
  readonly live: boolean;
  /** The oldest entry that was looked at; null when there was none. */
  readonly searchedTo: number | null;
  /** Whether the host has older entries that were not looked at. */
  readonly hasMore: boolean;
  /** Why nothing, or not all, could be read. */
  readonly problem: { readonly code: string; readonly message: string } | null;
}

/** sound: everything the console has seen still holds. gap: entries were retired before it saw them. alarm: the log was cut or rewritten. unknown: never seen. */
export type AuditState = 'sound' | 'gap' | 'alarm' | 'unknown';

export interface AuditHeadRow {
  readonly hostId: string;
  readonly hostName: string;
  readonly state: AuditState;
  /** The signed head that this console remembers. */
  readonly number: number | null;
  readonly hash: string | null;
  readonly signedAt: number | null;
  /** When the host last proved that its log extends what was remembered. */
  readonly checkedAt: number | null;
  /** The oldest entry that the host keeps. */
  readonly firstNumber: number | null;
  readonly alarm: { readonly at: number; readonly number: number; readonly message: string } | null;
  readonly gap: { readonly first: number; readonly last: number } | null;
  /** Why the last check could not be made; null when it was. */
  readonly problem: string | null;
}

/** Every entry of one host walked by the console, from the oldest that is kept to a fresh signed head. */
export interface AuditCheck {
  readonly hostId: string;
  readonly hostName: string;
  readonly first: number;
  readonly last: number;
  readonly entries: number;
  readonly durationMs: number;
  /** The first entry that is missing or changed. */
  readonly problem: { readonly number: number; readonly message: string } | null;
}

/** A part of an export, JSON lines. */
export interface AuditExportPiece {
  readonly text: string;
  /** What to ask for next; null at the end. */
  readonly next: number | null;
}
