import { X509Certificate } from 'node:crypto';
import { identityOf, isIssuerFitting } from '../../../proto/model/certificate-path.ts';
import { NestError } from '../../../proto/model/error.ts';
import type { Caller } from './api.ts';
import { isP256 } from './agent-key.ts';

/**
 * Who a verified client certificate (parsed, or DER) speaks for. Throws CERTIFICATE_INVALID when it is not in date, not P-256 or
 * not an operator's or client's by the authority for them, FLEET_MISMATCH when it is of another fleet.
 */
export const readCaller = (
  certificate: Uint8Array | X509Certificate,
  expected: { readonly fleetId: string; readonly nowMs: number; readonly rootNames: readonly string[] },
): Caller => {
  const parsed = certificate instanceof X509Certificate ? certificate : parse(certificate);
  if (expected.nowMs >= parsed.validToDate.getTime()) {
    throw new NestError('CERTIFICATE_INVALID', 'Your certificate has expired. Renew it in the console, then connect again.');
  }
  if (expected.nowMs < parsed.validFromDate.getTime()) {
    throw new NestError('CERTIFICATE_INVALID', "Your certificate is not valid yet. Compare the console's clock with this host's.");
  }
  if (!isP256(parsed.publicKey))
    throw new NestError('CERTIFICATE_INVALID', 'Your certificate is not for a P-256 key. Issue a new one in the console.');
  const id = identityOf(parsed);
  if (id.fleetId !== expected.fleetId)
    throw new NestError(
      'FLEET_MISMATCH',
      'Your certificate belongs to another fleet than this host. Connect with the console of its fleet.',
    );
  if (id.kind === 'agent')
    throw new NestError('CERTIFICATE_INVALID', "An agent's certificate may not manage hosts. Connect with an operator's.");
  if (!isIssuerFitting(parsed, id, expected.rootNames))
    throw new NestError(
      'CERTIFICATE_INVALID',
      'Your certificate was issued by an authority that may not name operators. Issue a new one in the console of an owner.',
    );
  return { subject: id.subject, kind: id.kind, name: id.name };
};

const parse = (certificate: Uint8Array): X509Certificate => {
  try {
    return new X509Certificate(Buffer.from(certificate));
  } catch (error) {
    throw new NestError('CERTIFICATE_INVALID', 'Your certificate cannot be read. Issue a new one in the console.', { cause: error });
  }
};
