/**
 * Who may use the web host: a one-time token becomes a session cookie. Tokens and cookies are kept as hashes and
 * compared in constant time; both are 256 random bits.
 */
import { createHash, timingSafeEqual } from 'node:crypto';

export interface AccessOptions {
  /** Monotonic milliseconds. */
  readonly now: () => number;
  readonly randomBytes: (count: number) => Uint8Array;
}

export interface Session {
  readonly key: string;
  /** Connections open now; a session with one is never idle. */
  connections: number;
  usedAt: number;
}

export const accessLimits = {
  /** The session idle the longest gives way to a new one. */
  sessionsMax: 8,
  connectionsPerSessionMax: 8,
  sessionIdleMs: 12 * 60 * 60_000,
  /** Links not used yet; the oldest gives way. */
  tokensMax: 4,
} as const;

export class Access {
  readonly #options: AccessOptions;
  readonly #tokens: Buffer[] = [];
  readonly #sessions = new Map<string, Session>();

  constructor(options: AccessOptions) {
    this.#options = options;
  }

  get sessionCount(): number {
    this.#dropIdle();
    return this.#sessions.size;
  }

  /** A new one-time token. */
  issueToken(): string {
    const token = this.#secret();
    this.#tokens.push(hashOf(token));
    if (this.#tokens.length > accessLimits.tokensMax) this.#tokens.shift();
    return token;
  }

  /** Uses a token up; returns the secret of the new session, undefined when the token is wrong or was used. */
  redeem(token: string): string | undefined {
    const hash = hashOf(token);
    // All are compared, so that the time tells nothing about which was near.
    const found = this.#tokens.reduce((at, known, index) => (timingSafeEqual(known, hash) ? index : at), -1);
    if (found < 0) return undefined;
    this.#tokens.splice(found, 1);
    this.#makeRoom();
    const secret = this.#secret();
    const key = hashOf(secret).toString('hex');
    this.#sessions.set(key, { key, connections: 0, usedAt: this.#options.now() });
    return secret;
  }

  /** The session of a secret, marked as used now. */
  find(secret: string | undefined): Session | undefined {
    if (secret === undefined) return undefined;
    this.#dropIdle();
    // The look-up is by hash: its time depends on nothing an attacker can steer towards a secret.
    const session = this.#sessions.get(hashOf(secret).toString('hex'));
    if (session !== undefined) session.usedAt = this.#options.now();
    return session;
  }

  #dropIdle(): void {
    const oldest = this.#options.now() - accessLimits.sessionIdleMs;
    for (const session of this.#sessions.values()) {
      if (session.connections === 0 && session.usedAt < oldest) this.#sessions.delete(session.key);
    }
  }

  #makeRoom(): void {
    this.#dropIdle();
    if (this.#sessions.size < accessLimits.sessionsMax) return;
    const [stalest] = [...this.#sessions.values()].sort(
      (a, b) => Math.min(a.connections, 1) - Math.min(b.connections, 1) || a.usedAt - b.usedAt,
    );
    if (stalest !== undefined) this.#sessions.delete(stalest.key);
  }

  #secret(): string {
    return Buffer.from(this.#options.randomBytes(32)).toString('base64url');
  }
}

const hashOf = (secret: string): Buffer => createHash('sha256').update(secret).digest();
