/** Certificates this console made for programs: they are in files elsewhere, so what ends when is noted here. */
import type { FleetCache } from '../cache/fleet-cache.ts';

export interface ClientCertificate {
  /** "client/backup" */
  readonly subject: string;
  /** Lower-case hex. */
  readonly serial: string;
  /** SHA-256 of the public key, lower-case hex. */
  readonly fingerprint: string;
  /** Milliseconds since the Unix epoch. */
  readonly endsAt: number;
}

const valueName = 'access.client-certificates';
/** Certificates kept; the oldest go. */
const keptMax = 1_000;
/** What has ended is shown so much longer, milliseconds. */
const endedShownMs = 30 * 86_400_000;

type Notes = Pick<FleetCache, 'value' | 'putValue'>;

/** In the order they were made. */
export const clientCertificates = (cache: Notes): readonly ClientCertificate[] =>
  cache.value<readonly ClientCertificate[]>(valueName) ?? [];

/** `now`: milliseconds since the Unix epoch. */
export const noteClientCertificate = (cache: Notes, made: ClientCertificate, now: number): void => {
  const kept = clientCertificates(cache).filter(({ endsAt }) => endsAt > now - endedShownMs);
  cache.putValue(valueName, [...kept, made].slice(-keptMax));
};
