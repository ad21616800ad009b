/** The key an owner signs access updates with: Ed25519, in the vault, never on a host. */
import { createPrivateKey, createPublicKey, generateKeyPairSync } from 'node:crypto';
import { keyIdOf } from '../../../proto/model/envelope.ts';
import type { EnvelopeSigner } from '../../../proto/model/envelope.ts';

/** A fresh private key, PEM. */
export const createOwnerKey = (): string => generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();

/** What signs with a private key (PEM): an owner's, or the fleet root's. */
export const signerOf = (pem: string): EnvelopeSigner => {
  const privateKey = createPrivateKey(pem);
  return { privateKey, publicKey: createPublicKey(privateKey), certificateChain: [] };
};

/** The entry of an owner in a body. */
export const ownerEntryOf = (
  signer: EnvelopeSigner,
  subject: string,
): { readonly keyId: string; readonly publicKey: Buffer; readonly subject: string } => ({
  keyId: keyIdOf(signer.publicKey).toString('hex'),
  publicKey: signer.publicKey.export({ type: 'spki', format: 'der' }),
  subject,
});
