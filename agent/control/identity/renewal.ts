import { sign, X509Certificate } from 'node:crypto';
import { keyChangeInput } from '../../../proto/model/enrollment.ts';
import { NestError } from '../../../proto/model/error.ts';
import { spkiHashOf } from './agent-key.ts';
import type { AgentKey } from './agent-key.ts';
import { checkChain } from './certificate-chain.ts';
import type { CheckedChain } from './certificate-chain.ts';
import { pemCertificates } from './identity-record.ts';
import type { StoredIdentity } from './identity-record.ts';

/** The present key's word for the one that follows it. ECDSA P-256 with SHA-256, IEEE P1363 form. */
export const signKeyChange = (agentId: string, present: AgentKey, next: AgentKey): Buffer =>
  sign('sha256', keyChangeInput(agentId, next.publicKey.export({ type: 'spki', format: 'der' })), {
    key: present.privateKey,
    dsaEncoding: 'ieee-p1363',
  });

export interface Renewal {
  readonly chain: CheckedChain;
  readonly key: AgentKey;
}

/**
 * Judges a certificate that is to follow the present one: under a trusted root, for one of `keys`, the same agent of the same fleet,
 * and not older than what it replaces. Throws CERTIFICATE_INVALID, IDENTITY_MISMATCH.
 */
export const checkRenewal = (
  identity: StoredIdentity,
  certificateChain: readonly Uint8Array[],
  { keys, nowMs }: { readonly keys: readonly AgentKey[]; readonly nowMs: number },
): Renewal => {
  const leaf = readLeaf(certificateChain);
  const key = keys.find(({ spkiHash }) => spkiHash.equals(spkiHashOf(leaf.publicKey)));
  if (key === undefined)
    throw new NestError(
      'CERTIFICATE_INVALID',
      'The certificate is for a key this agent does not have. Ask for a new signing request first.',
    );
  const chain = checkUnderRoots(identity, certificateChain, { key, nowMs });
  if (chain.agentId !== identity.agentId)
    throw new NestError('IDENTITY_MISMATCH', `The certificate is for another agent than ${identity.agentId}. Choose the right host.`);
  if (leaf.validFromDate < new X509Certificate(identity.leaf).validFromDate)
    throw new NestError('CERTIFICATE_INVALID', 'The certificate is older than the one this agent has. Issue a new one.');
  return { chain, key };
};

/** Under whichever trusted root it holds; the refusal is the first root's, which is the fleet's own. */
const checkUnderRoots = (
  { root, fleetId }: StoredIdentity,
  certificateChain: readonly Uint8Array[],
  { key, nowMs }: { readonly key: AgentKey; readonly nowMs: number },
): CheckedChain => {
  let refusal: unknown;
  for (const pem of pemCertificates(root)) {
    const trusted = new X509Certificate(pem);
    try {
      return checkChain(
        { certificateChain, fleetRoot: trusted.raw, fleetId },
        { rootSpkiHash: spkiHashOf(trusted.publicKey), agentSpkiHash: key.spkiHash, nowMs },
      );
    } catch (error) {
      refusal ??= error;
    }
  }
  throw refusal;
};

const readLeaf = ([leaf]: readonly Uint8Array[]): X509Certificate => {
  try {
    return new X509Certificate(Buffer.from(leaf ?? new Uint8Array()));
  } catch (error) {
    throw new NestError('CERTIFICATE_INVALID', 'The certificate cannot be read. Issue a new one.', { cause: error });
  }
};
