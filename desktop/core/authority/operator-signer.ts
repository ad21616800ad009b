/** The operator's device as the signer of documents: its key, and the chain others check it by. */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import type { EnvelopeSigner } from '../../../proto/model/envelope.ts';
import type { FleetKeys } from './fleet-authority.ts';

const certificatePattern = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** Signs with the key and chain the console connects with at that moment: a renewal is followed at once. */
export const operatorSigner = (keysNow: () => Pick<FleetKeys, 'root' | 'operator'>): EnvelopeSigner => {
  let known: { readonly operator: FleetKeys['operator']; readonly signer: EnvelopeSigner } | null = null;
  const now = (): EnvelopeSigner => {
    const keys = keysNow();
    if (known?.operator !== keys.operator) known = { operator: keys.operator, signer: signerOf(keys) };
    return known.signer;
  };
  return {
    get privateKey() {
      return now().privateKey;
    },
    get publicKey() {
      return now().publicKey;
    },
    get certificateChain() {
      return now().certificateChain;
    },
  };
};

const signerOf = ({ root, operator }: Pick<FleetKeys, 'root' | 'operator'>): EnvelopeSigner => {
  const chain = (operator.certificate.match(certificatePattern) ?? []).map((pem) => new X509Certificate(pem));
  const rootBytes = new X509Certificate(root.certificate).raw;
  const [leaf] = chain;
  if (leaf === undefined) throw new Error('the operator has no certificate');
  return {
    privateKey: createPrivateKey(operator.privateKey),
    publicKey: leaf.publicKey,
    certificateChain: chain.map(({ raw }) => raw).filter((raw) => !raw.equals(rootBytes)),
  };
};

/** spiffe://<fleet>/operator/<name> of the operator's own certificate. */
export const operatorSubject = ({ operator }: Pick<FleetKeys, 'operator'>): string =>
  /URI:(spiffe:[^,\s]+)/.exec(new X509Certificate(operator.certificate).subjectAltName ?? '')?.[1] ?? '';
