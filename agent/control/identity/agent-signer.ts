/** The agent as a signer of documents: with the key that it shows in TLS, which consoles know and nobody else has. */
import { X509Certificate, createPrivateKey, createPublicKey } from 'node:crypto';
import type { EnvelopeSigner } from '../../../proto/model/envelope.ts';

/** The part of an agent's identity that signs. */
export interface SigningIdentity {
  readonly agentId: string;
  readonly fleetId: string;
  /** PEM. */
  readonly privateKey: string;
  readonly certificateChain: string;
}

/** Makes a signer of an identity, and the same one again while the identity stays. */
export const createAgentSigner = (): ((identity: SigningIdentity) => EnvelopeSigner) => {
  let known: { readonly identity: SigningIdentity; readonly signer: EnvelopeSigner } | null = null;
  return (current) => {
    if (known?.identity.privateKey !== current.privateKey || known.identity.certificateChain !== current.certificateChain)
      known = { identity: current, signer: signerOf(current) };
    return known.signer;
  };
};

const signerOf = ({ privateKey, certificateChain }: SigningIdentity): EnvelopeSigner => {
  const key = createPrivateKey(privateKey);
  const certificates = certificateChain.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  // Verifiers bring the root themselves.
  const chain = certificates.map((pem) => new X509Certificate(pem)).filter(({ subject, issuer }) => subject !== issuer);
  return { privateKey: key, publicKey: createPublicKey(key), certificateChain: chain.map(({ raw }) => raw) };
};
