/** A revoked certificate of a device is also a lock in the access bundle: lists are read in handshakes, a lock ends what runs. */
import { errorCodeOf } from '../../../proto/model/error.ts';
import type { CertificateRow } from '../../bridge/model.ts';
import type { FleetSession } from '../fleet/fleet-session.ts';

/** How a lock names a device. */
export const deviceTarget = (fingerprint: string): string => `device/${fingerprint}`;

/** True when the access bundle locks this key. */
export const isDeviceLocked = ({ access }: Pick<FleetSession, 'access'>, fingerprint: string): boolean =>
  access.book.chain.body?.locks.some(({ target }) => target === deviceTarget(fingerprint)) ?? false;

/**
 * Locks the device of an operator's certificate and says whether it is locked now. It is not where this console holds no owner's key,
 * where other owners have to sign as well, and while the bundle is forked.
 */
export const lockDevice = (session: Pick<FleetSession, 'access'>, { kind, fingerprint, serial }: CertificateRow): boolean => {
  if (kind !== 'operator' || fingerprint === null || session.access.book.publicKey === null) return false;
  if (isDeviceLocked(session, fingerprint)) return true;
  try {
    session.access.book.change({ kind: 'lock', target: deviceTarget(fingerprint), reason: `certificate ${serial ?? ''} was revoked` });
  } catch (error) {
    // The list of revoked certificates still says it.
    if (!lockRefusals.has(errorCodeOf(error))) throw error;
  }
  return isDeviceLocked(session, fingerprint);
};

const lockRefusals: ReadonlySet<string> = new Set(['ACCESS_INVALID', 'ACCESS_FORKED', 'SCOPE_MISSING']);
