/** Somebody proved, or failed to prove, who they are or what they may do: told by the server, exported as a log of its own. */
export interface AuthenticationEvent {
  /** connection: mutual TLS. call: a call refused for who called. enrollment: its window and each of its steps. */
  readonly kind: 'connection' | 'call' | 'enrollment';
  readonly isAccepted: boolean;
  /** Address of the peer; empty when not known, or when it happened on the host itself. */
  readonly source: string;
  /** Subject of the verified certificate; empty when there is none. */
  readonly subject: string;
  /** What was asked for: the call's path, or a word. */
  readonly action: string;
  /** OK, or the code that refused. */
  readonly code: string;
}
