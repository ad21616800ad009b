/** Signs heads with the key that the agent shows in TLS: consoles know it, and nobody else has it. */
import { X509Certificate, createPrivateKey, createPublicKey } from 'node:crypto';
import { sealAuditHead } from '../../../proto/model/audit.ts';
import type { ChainEnd } from '../../../proto/model/audit.ts';
import type { EnvelopeSigner } from '../../../proto/model/envelope.ts';
import type { AgentIdentity } from '../identity/api.ts';

type SigningIdentity = Pick<AgentIdentity, 'agentId' | 'fleetId' | 'privateKey' | 'certificateChain'>;

/** The envelope of a head (its bytes); null while the agent has no fleet. */
export type HeadSigner = (end: ChainEnd, atMs: number) => Buffer | null;

export const createHeadSigner = (identity: () => SigningIdentity | null): HeadSigner => {
  let known: { readonly identity: SigningIdentity; readonly signer: EnvelopeSigner } | null = null;
  return (end, atMs) => {
    const current = identity();
    if (current === null) return null;
    if (known?.identity.privateKey !== current.privateKey || known.identity.certificateChain !== current.certificateChain)
      known = { identity: current, signer: signerOf(current) };
    return sealAuditHead({ ...end, atMs, agentId: current.agentId, fleetId: current.fleetId }, known.signer);
  };
};

const signerOf = ({ privateKey, certificateChain }: SigningIdentity): EnvelopeSigner => {
  const key = createPrivateKey(privateKey);
  const certificates = certificateChain.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return { privateKey: key, publicKey: createPublicKey(key), certificateChain: certificates.map((pem) => new X509Certificate(pem).raw) };
};
