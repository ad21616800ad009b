import { createHash } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import { NestError } from '../../proto/model/error.ts';
import type { Caller, IdentityControl } from '../control/identity/api.ts';
import type { Connection } from './connections.ts';

export interface PeerCheck {
  readonly identity: Pick<IdentityControl, 'callerOf'>;
  /** True: the peer must be of our fleet. False: any key will do, the enrolment proves the rest. */
  readonly enrolled: boolean;
  /** Lets a caller be locked out before its certificate ends. */
  readonly isRevoked: (caller: Caller) => boolean;
}

/** What the finished TLS handshake says about the peer. Throws CERTIFICATE_MISSING, CERTIFICATE_INVALID, FLEET_MISMATCH. */
export const checkPeer = (socket: TLSSocket, check: PeerCheck): Connection => {
  const peer = socket.getPeerX509Certificate();
  if (peer === undefined) {
    throw new NestError(
      'CERTIFICATE_MISSING',
      'This port needs a client certificate. Connect with a Nest console that belongs to the fleet.',
    );
  }
  const spkiHash = createHash('sha256')
    .update(peer.publicKey.export({ type: 'spki', format: 'der' }))
    .digest();
  const connection = { socket, endsAtMs: peer.validToDate.getTime(), spkiHash };
  if (!check.enrolled) {
    if (peer.publicKey.asymmetricKeyDetails?.namedCurve !== 'prime256v1')
      throw new NestError('CERTIFICATE_INVALID', 'The client certificate is not for a P-256 key. Update the console.');
    return { ...connection, caller: null };
  }
  // First who it claims to be: "another fleet" and "expired" help more than "not trusted".
  const caller = check.identity.callerOf(peer.raw);
  if (!socket.authorized) {
    throw new NestError(
      'CERTIFICATE_INVALID',
      'Your certificate is not signed by the root of this fleet. Connect with the console that enrolled this host.',
      { cause: socket.authorizationError },
    );
  }
  refuseRevoked(caller, check);
  return { ...connection, caller };
};

/** What may change while a connection lives; cheap, for every call. Throws CERTIFICATE_INVALID. */
export const recheckPeer = ({ caller, endsAtMs }: Connection, check: Pick<PeerCheck, 'isRevoked'> & { readonly nowMs: number }): void => {
  if (caller === null) return;
  if (check.nowMs >= endsAtMs)
    throw new NestError('CERTIFICATE_INVALID', 'Your certificate has expired. Renew it in the console, then connect again.');
  refuseRevoked(caller, check);
};

/** Throws CERTIFICATE_INVALID when the caller is locked out. */
const refuseRevoked = (caller: Caller, check: Pick<PeerCheck, 'isRevoked'>): void => {
  if (check.isRevoked(caller)) throw new NestError('CERTIFICATE_INVALID', 'Your certificate is revoked. Ask an owner of the fleet.');
};
