/** An operator of nobody's fleet: certificates with the right shape and the wrong root. */
import 'reflect-metadata';
import * as x509 from '@peculiar/x509';

export interface ForeignIdentity {
  /** PEM. */
  readonly key: string;
  readonly certificate: string;
  /** Same key; names the fleet it is not of as its issuer. */
  readonly impostorCertificate: string;
}

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const dayMs = 86_400_000;

export const foreignIdentity = async (): Promise<ForeignIdentity> => {
  const keys = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const pkcs8 = Buffer.from(await crypto.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64');
  const certificateOf = async (fleet: string): Promise<string> =>
    (
      await x509.X509CertificateGenerator.createSelfSigned({
        serialNumber: '01',
        name: `CN=operator of ${fleet}`,
        notBefore: new Date(Date.now() - dayMs),
        notAfter: new Date(Date.now() + dayMs),
        keys,
        signingAlgorithm: algorithm,
        extensions: [
          new x509.SubjectAlternativeNameExtension([{ type: 'url', value: `spiffe://${fleet}/operator/mallory` }]),
          new x509.ExtendedKeyUsageExtension(['1.3.6.1.5.5.7.3.2']),
        ],
      })
    ).toString('pem');
  return {
    key: `-----BEGIN PRIVATE KEY-----\n${pkcs8.match(/.{1,64}/g)?.join('\n') ?? ''}\n-----END PRIVATE KEY-----\n`,
    certificate: await certificateOf('01arz3ndektsv4rrffq69g5fav'),
    impostorCertificate: await certificateOf('lab'),
  };
};
