/** What the console knows without asking anybody: the inventory, the last words of every host, the draft, the rollouts. */

export interface HostRecord {
  readonly hostId: string;
  readonly name: string;
  readonly address: string;
  readonly port: number;
  readonly labels: readonly string[];
  /** SHA-256 of the approved public key (SPKI), lower-case hex. */
  readonly spkiSha256: string;
  readonly certificateEndsAt: number;
  readonly enrolledAt: number;
  /** The cluster its token was bound to. */
  readonly cluster?: string | undefined;
  /** Who issued its certificate; missing in records from before there were authorities: the root. */
  readonly issuedBy?: 'root' | 'agents' | undefined;
  /** Lower-case hex; missing until this console issued a certificate itself. */
  readonly certificateSerial?: string | undefined;
  /** The key that follows, while a change of keys is under way: either may answer. */
  readonly nextSpkiSha256?: string | undefined;
  /** Which lists of revoked certificates this console took there last. */
  readonly revocationSha256?: string | undefined;
  /** SHA-256 of the root's public key that its certificate leads to; missing in records from before roots could change. */
  readonly rootSha256?: string | undefined;
  /** The last step of a change of the root it is known to have taken. */
  readonly rootStep?: number | undefined;
}

/** Kinds of documents kept per host, one of each. */
export type DocumentKind =
  'host' | 'sample' | 'counters' | 'flows' | 'revisions' | 'policy' | 'balancers' | 'deny-lists' | 'audit' | 'audit-entries';

/** What the console writes down about its own work, by id. */
export type RecordKind = 'rollout-plan' | 'rollout-progress' | 'rollout-lease' | 'rollout-command' | 'intent' | 'group';

export interface CachedDocument<Content> {
  /** When it was measured, milliseconds since the Unix epoch. */
  readonly at: number;
  readonly content: Content;
}

/** Every call may raise STATE_FAILED (disk full, no rights). Calls are short and synchronous. */
export interface FleetCache {
  hosts(): readonly HostRecord[];
  putHost(record: HostRecord): void;
  /** Removes the host and every document of it. */
  removeHost(hostId: string): void;
  document<Content>(hostId: string, kind: DocumentKind): CachedDocument<Content> | null;
  putDocuments(
    documents: readonly { readonly hostId: string; readonly kind: DocumentKind; readonly at: number; readonly content: unknown }[],
  ): void;
  /** Console-wide values by name, for instance the draft. */
  value<Content>(name: string): Content | null;
  putValue(name: string, content: unknown): void;
  dropValue(name: string): void;
  /** Newest first. */
  rollouts<Content>(limit: number): readonly Content[];
  putRollout(rolloutId: string, startedAt: number, content: unknown): void;
  /** Records of one kind, newest first. */
  records<Content>(kind: RecordKind, limit: number): readonly Content[];
  record<Content>(kind: RecordKind, id: string): Content | null;
  putRecord(kind: RecordKind, id: string, record: { readonly at: number; readonly content: unknown }): void;
  dropRecord(kind: RecordKind, id: string): void;
  /** True once after another process changed the file. */
  isChangedElsewhere(): boolean;
  close(): void;
}
