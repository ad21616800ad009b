import { hash } from 'node:crypto';
import type { X509Certificate } from 'node:crypto';
import type { TLSSocket } from 'node:tls';
import { subjectPublicKeyInfo } from '../../proto/model/certificate-key.ts';
import { NestError } from '../../proto/model/error.ts';
import type { Caller, IdentityControl } from '../control/identity/api.ts';
import type { Connection } from './connections.ts';

export interface PeerCheck {
  readonly identity: Pick<IdentityControl, 'callerOf' | 'isCertificateRevoked' | 'judgeClient'>;
  /** True: the peer must be of our fleet. False: any key will do, the enrolment proves the rest. */
  readonly enrolled: boolean;
  /** Lets a caller be locked out before its certificate ends. */
  readonly isRevoked: (caller: Caller) => boolean;
}

/** What the finished TLS handshake says about the peer. Throws CERTIFICATE_MISSING, CERTIFICATE_INVALID, FLEET_MISMATCH, REVOKED. */
export const checkPeer = (socket: TLSSocket, check: PeerCheck): Connection => {
  const peer = socket.getPeerX509Certificate();
  if (peer === undefined) {
    throw new NestError(
      'CERTIFICATE_MISSING',
      'This port needs a client certificate. Connect with a Nest console that belongs to the fleet.',
    );
  }
  const spkiHash = check.enrolled ? spkiHashOf(peer) : hash('sha256', peer.publicKey.export({ type: 'spki', format: 'der' }), 'buffer');
  const { issuer, serialNumber: serial } = peer;
  const certificateHash = hash('sha256', peer.raw, 'buffer');
  const connection = { socket, endsAtMs: peer.validToDate.getTime(), certificate: peer.raw, spkiHash, certificateHash, issuer, serial };
  if (!check.enrolled) {
    if (peer.publicKey.asymmetricKeyDetails?.namedCurve !== 'prime256v1')
      throw new NestError('CERTIFICATE_INVALID', 'The client certificate is not for a P-256 key. Update the console.');
    return { ...connection, caller: null };
  }
  // First who it claims to be: "another fleet" and "expired" help more than "not trusted".
  const caller = check.identity.callerOf(peer);
  if (!socket.authorized) refuseUnlessListsAreMissing(socket, peer, check);
  // Also where OpenSSL has no complete lists to judge by.
  const authority = peer.issuerCertificate;
  if (authority !== undefined && check.identity.isCertificateRevoked({ issuer: authority.issuer, serial: authority.serialNumber }))
    throw revoked();
  refuseRevoked({ ...connection, caller }, check);
  return { ...connection, caller };
};

/** Read where it lies in the certificate, which is used only when its chain leads to the root of the fleet. Throws CERTIFICATE_INVALID. */
const spkiHashOf = (peer: X509Certificate): Buffer => {
  const key = subjectPublicKeyInfo(peer.raw);
  if (key === null) throw new NestError('CERTIFICATE_INVALID', 'Your certificate cannot be read. Issue a new one in the console.');
  return hash('sha256', key, 'buffer');
};

/**
 * A list of revoked certificates that this agent does not have, for instance of a new authority, must not lock everybody out: then the
 * whole chain is judged here, and the lists that are there still count. Throws CERTIFICATE_INVALID, FLEET_MISMATCH, REVOKED.
 */
const refuseUnlessListsAreMissing = (socket: TLSSocket, peer: X509Certificate, { identity }: PeerCheck): void => {
  const cause = String(socket.authorizationError);
  if (cause === 'CERT_REVOKED') throw revoked();
  if (!listCodes.has(cause)) {
    throw new NestError(
      'CERTIFICATE_INVALID',
      'Your certificate is not signed by the root of this fleet. Connect with the console that enrolled this host.',
      { cause },
    );
  }
  const { issuerCertificate } = peer;
  const isAuthority = issuerCertificate !== undefined && issuerCertificate.subject !== issuerCertificate.issuer;
  identity.judgeClient([peer.raw, ...(isAuthority ? [issuerCertificate.raw] : [])]);
};

/** OpenSSL's codes for lists, not for certificates. */
const listCodes: ReadonlySet<string> = new Set(['UNABLE_TO_GET_CRL', 'CRL_HAS_EXPIRED', 'CRL_NOT_YET_VALID', 'UNABLE_TO_GET_CRL_ISSUER']);

/** What may change while a connection lives; cheap, for every call. Throws CERTIFICATE_INVALID, REVOKED. */
export const recheckPeer = (
  connection: Connection,
  check: Pick<PeerCheck, 'isRevoked' | 'identity'> & { readonly nowMs: number },
): void => {
  const { caller, endsAtMs } = connection;
  if (caller === null) return;
  if (check.nowMs >= endsAtMs)
    throw new NestError('CERTIFICATE_INVALID', 'Your certificate has expired. Renew it in the console, then connect again.');
  refuseRevoked({ ...connection, caller }, check);
};

/** Throws CERTIFICATE_INVALID when the caller is locked out, REVOKED when its certificate is on a list. */
const refuseRevoked = (
  { caller, issuer, serial }: Connection & { readonly caller: Caller },
  check: Pick<PeerCheck, 'isRevoked' | 'identity'>,
): void => {
  if (check.identity.isCertificateRevoked({ issuer, serial })) throw revoked();
  if (check.isRevoked(caller)) throw new NestError('CERTIFICATE_INVALID', 'Your certificate is revoked. Ask an owner of the fleet.');
};

const revoked = (): NestError => new NestError('REVOKED', 'Your certificate is revoked. Ask an owner of the fleet for a new one.');
