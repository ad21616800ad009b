/** Plain data about the licence that crosses the bridge; the conventions are those of model.ts. */

/**
 * development: not in release mode, nothing is gated. community: no licence. unchecked: a key that no server has judged yet. valid; grace: the
 * server is away, less than 24 h; limited: up to 14 d, or a file within its grace; lapsed: away longer; expired; invalid: refused by the server.
 */
export type LicenseState = 'development' | 'community' | 'unchecked' | 'valid' | 'grace' | 'limited' | 'lapsed' | 'expired' | 'invalid';

export interface LicenseView {
  readonly at: number;
  readonly state: LicenseState;
  /** What the state comes from. */
  readonly source: 'server' | 'file' | 'none';
  readonly product: string;
  readonly tier: string | null;
  readonly customer: string | null;
  /** Only the last four characters of a key are ever shown. */
  readonly key: { readonly origin: 'vault' | 'environment'; readonly ending: string } | null;
  /** Of the licence itself; null = not known, or without an end. */
  readonly endsAt: number | null;
  /** When the state gets worse unless the server answers; null = not by time alone. */
  readonly until: number | null;
  readonly server: string | null;
  /** The last good answer, the last try, and the next. */
  readonly checkedAt: number | null;
  readonly triedAt: number | null;
  readonly nextCheckAt: number | null;
  readonly problem: { readonly code: string; readonly message: string } | null;
  readonly notice: { readonly severity: 'info' | 'warning'; readonly message: string } | null;
  readonly hosts: LicenseCount;
  readonly clusters: LicenseCount;
  readonly features: readonly { readonly name: string; readonly isOn: boolean }[];
  readonly file: { readonly customer: string; readonly endsAt: number } | null;
}

export interface LicenseCount {
  readonly used: number;
  /** Null = unlimited. */
  readonly max: number | null;
}

/** What the server says now; `feature` when one was asked for by name. */
export interface LicenseCheck {
  readonly license: LicenseView;
  readonly feature: { readonly name: string; readonly isEntitled: boolean } | null;
}
