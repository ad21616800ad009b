import { X509Certificate } from 'node:crypto';
import { checkCertificatePath, clientUsage } from '../../../proto/model/certificate-path.ts';
import { NestError } from '../../../proto/model/error.ts';
import type { Clock, Timer } from '../../lib/clock.ts';
import type { IdentityProblem, RevocationReport } from './api.ts';
import { pemCertificates } from './identity-record.ts';
import type { StoredIdentity } from './identity-record.ts';
import type { IdentityStore } from './identity-store.ts';
import { createRevocation, endingMs } from './revocation-lists.ts';
import type { Revocation } from './revocation-lists.ts';

/** Lists begin and end by the clock: looked at so often, milliseconds. */
const lookMs = 10 * 60_000;
const dayMs = 86_400_000;

/** Whom the agent believes, beyond the signatures that OpenSSL checks. */
export interface ClientTrust {
  contextLists(): readonly string[] | null;
  revokedAuthorities(): string;
  isRevoked(certificate: { readonly issuer: string; readonly serial: string }): boolean;
  /** Throws CERTIFICATE_INVALID, FLEET_MISMATCH. */
  judgeClient(certificateChain: readonly Uint8Array[]): void;
  report(): RevocationReport;
  problem(): IdentityProblem | null;
  close(): void;
}

export interface ClientTrustOptions {
  readonly store: Pick<IdentityStore, 'identity'>;
  readonly clock: Clock;
  /** Called when a list begins or ends to count by time alone. */
  readonly onChanged: () => void;
}

/** Follows the stored identity; reads its lists once for each. */
export const createClientTrust = ({ store, clock, onChanged }: ClientTrustOptions): ClientTrust => {
  let read: { readonly identity: StoredIdentity; readonly revocation: Revocation } | null = null;
  const revocation = (): Revocation | null => {
    const { identity } = store;
    if (identity === null) return null;
    if (read?.identity !== identity) read = { identity, revocation: createRevocation(identity) };
    return read.revocation;
  };
  const contextLists = (): readonly string[] | null => revocation()?.contextLists(clock.nowMs()) ?? null;
  let timer: Timer | null = null;
  const state = (): string => JSON.stringify([contextLists(), problemOf(revocation()?.report(clock.nowMs()), clock.nowMs())?.title]);
  let seen = state();
  const look = (): void => {
    const now = state();
    const isOther = now !== seen;
    seen = now;
    timer = clock.after(lookMs, look);
    if (isOther) onChanged();
  };
  timer = clock.after(lookMs, look);
  return {
    contextLists,
    revokedAuthorities: () => revocation()?.revokedAuthorities() ?? '',
    isRevoked: (certificate) => revocation()?.isRevoked(certificate) ?? false,
    judgeClient: (certificateChain) => judge(store.identity, certificateChain, clock.nowMs()),
    report: () => revocation()?.report(clock.nowMs()) ?? { isChecked: false, isKnown: false, missing: [], endsAtMs: null, lists: [] },
    problem: () => problemOf(revocation()?.report(clock.nowMs()), clock.nowMs()),
    close: () => timer?.cancel(),
  };
};

const judge = (identity: StoredIdentity | null, certificateChain: readonly Uint8Array[], nowMs: number): void => {
  if (identity === null) throw new NestError('NOT_ENROLLED', 'This host belongs to no fleet yet. Run "nest-agent join <token>" on it.');
  const roots = pemCertificates(identity.root).map((pem) => new X509Certificate(pem));
  const { path } = checkCertificatePath(completed(identity, certificateChain), {
    roots,
    fleetId: identity.fleetId,
    nowMs,
    usage: clientUsage,
  });
  const [, authority] = path;
  const revocation = createRevocation(identity);
  // The authority itself may have been revoked by the root.
  if (authority !== undefined && revocation.isRevoked({ issuer: authority.issuer, serial: authority.serialNumber }))
    throw new NestError('REVOKED', 'The authority that issued your certificate is revoked. Ask an owner of the fleet.');
};

/** A resumed session shows the leaf alone: its issuer is one the agent knows. */
const completed = ({ authorities }: StoredIdentity, chain: readonly Uint8Array[]): readonly Uint8Array[] => {
  const [leaf] = chain;
  if (leaf === undefined || chain.length > 1) return chain;
  const certificate = new X509Certificate(Buffer.from(leaf));
  const issuer = authorities.find((der) => certificate.checkIssued(new X509Certificate(Buffer.from(der))));
  return issuer === undefined ? chain : [leaf, issuer];
};

const problemOf = (report: RevocationReport | undefined, nowMs: number): IdentityProblem | null => {
  if (report === undefined || !report.isKnown || report.endsAtMs === null) return null;
  if (report.missing.length > 0)
    return {
      title: 'Revoked certificates are not refused by TLS',
      message: `The list of revoked certificates of ${report.missing.map((name) => name.split('\n')[0] ?? '').join(', ')} is missing or over. Locks of the access bundle still hold. Connect a console that holds the authorities of the fleet.`,
      severity: 'critical',
    };
  const leftMs = report.endsAtMs - nowMs;
  if (leftMs > endingMs) return null;
  return {
    title: 'A list of revoked certificates ends soon',
    message: `It ends in ${String(Math.max(0, Math.floor(leftMs / dayMs)))} days. Connect a console that holds the authorities of the fleet.`,
    severity: 'warning',
  };
};
