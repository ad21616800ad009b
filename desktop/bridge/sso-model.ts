/** Plain data about single sign-on that crosses the bridge; the conventions are those of model.ts. */

export interface SsoSettings {
  readonly issuer: string;
  readonly clientId: string;
  /** Whether the console opens only after a fresh sign-in. */
  readonly required: boolean;
  /** Domains of e-mail addresses that are let in; empty = whoever the provider signs in. */
  readonly domains: readonly string[];
}

export interface SsoSignIn {
  readonly subject: string;
  readonly email: string | null;
  readonly at: number;
  /** So long it opens the console. */
  readonly until: number;
}

/** A sign-in under way: open the address in any browser and type the code. */
export interface SsoLogin {
  readonly state: 'waiting' | 'done' | 'failed' | 'cancelled';
  readonly verificationUri: string;
  /** With the code in it already, when the provider has such an address. */
  readonly verificationUriComplete: string | null;
  readonly userCode: string;
  readonly expiresAt: number;
  readonly problem: { readonly code: string; readonly message: string } | null;
}

export interface SsoEvent {
  readonly at: number;
  readonly kind: 'configured' | 'removed' | 'signed-in' | 'signed-out' | 'opened-without-sign-in';
  readonly detail: string;
}

export interface SsoView {
  /** While the fleet is locked: as it was when it was open last. */
  readonly settings: SsoSettings | null;
  /** Whether the licence covers setting it up; null while the fleet is locked. */
  readonly isLicensed: boolean | null;
  /** The sign-in that counts now. */
  readonly signIn: SsoSignIn | null;
  readonly login: SsoLogin | null;
  /** Set when the console was opened without the sign-in it asks for, until the next sign-in. */
  readonly withoutSignIn: { readonly at: number; readonly reason: string } | null;
  /** The newest first, at most 50. Of this console; what was done on hosts is in their audit logs. */
  readonly events: readonly SsoEvent[];
}
