/**
 * The fleet root outside of the console: one file under a passphrase, for a safe. Argon2id makes the key, AES-256-GCM keeps the box,
 * and everything readable in the file is bound to it.
 */
import { X509Certificate, createCipheriv, createDecipheriv, createPrivateKey, createPublicKey } from 'node:crypto';
import { z } from 'zod';
import { NestError } from '../../../proto/model/error.ts';
import type { RandomBytes } from '../../lib/api.ts';
import { deriveKey, kdfCostDefault, kdfSchema, refuseWeakPassphrase } from '../vault/passphrase-key.ts';
import type { KdfCost } from '../vault/passphrase-key.ts';
import type { KeyPair } from './certificate-maker.ts';

const nonceBytes = 12;
const tagBytes = 16;
/** A root file is about 1.5 KB; more is not one. */
export const rootFileCharactersMax = 64 << 10;

const fileSchema = z.strictObject({
  format: z.literal('nest-fleet-root'),
  version: z.literal(1),
  fleetId: z.string(),
  fleetName: z.string(),
  certificate: z.string(),
  kdf: kdfSchema,
  nonce: z.base64(),
  box: z.base64(),
});
type RootFile = z.output<typeof fileSchema>;

export interface RootSecret {
  readonly fleetId: string;
  readonly fleetName: string;
  readonly root: KeyPair;
}

/** Text of the file. Raises PASSPHRASE_WEAK. */
export const sealRoot = async (
  secret: RootSecret,
  passphrase: string,
  options: { readonly random: RandomBytes; readonly cost?: KdfCost },
): Promise<string> => {
  refuseWeakPassphrase(passphrase);
  const { random, cost = kdfCostDefault } = options;
  const plan = {
    format: 'nest-fleet-root',
    version: 1,
    fleetId: secret.fleetId,
    fleetName: secret.fleetName,
    certificate: secret.root.certificate,
    kdf: { name: 'argon2id', salt: Buffer.from(random(16)).toString('base64'), ...cost },
  } as const;
  const nonce = random(nonceBytes);
  const cipher = createCipheriv('aes-256-gcm', await deriveKey(passphrase, plan.kdf), nonce);
  cipher.setAAD(associatedData(plan));
  const box = Buffer.concat([cipher.update(secret.root.privateKey, 'utf8'), cipher.final(), cipher.getAuthTag()]);
  return `${JSON.stringify({ ...plan, nonce: Buffer.from(nonce).toString('base64'), box: box.toString('base64') }, null, 2)}\n`;
};

/** Opens it and checks that the key is the certificate's. Raises INPUT_INVALID for what is no root file, PASSPHRASE_WRONG. */
export const openRoot = async (text: string, passphrase: string): Promise<RootSecret> => {
  const { nonce, box, ...plan } = parseFile(text);
  const bytes = Buffer.from(box, 'base64');
  const decipher = createDecipheriv('aes-256-gcm', await deriveKey(passphrase, plan.kdf), Buffer.from(nonce, 'base64'));
  decipher.setAAD(associatedData(plan));
  let privateKey: string;
  try {
    decipher.setAuthTag(bytes.subarray(-tagBytes));
    privateKey = Buffer.concat([decipher.update(bytes.subarray(0, -tagBytes)), decipher.final()]).toString();
    if (!createPublicKey(createPrivateKey(privateKey)).equals(new X509Certificate(plan.certificate).publicKey))
      throw new Error('the key is not the one of the certificate');
  } catch (error) {
    throw new NestError('PASSPHRASE_WRONG', 'The passphrase is not the one of this root file, or the file was changed. Try again.', {
      cause: error,
    });
  }
  return { fleetId: plan.fleetId, fleetName: plan.fleetName, root: { certificate: plan.certificate, privateKey } };
};

const parseFile = (text: string): RootFile => {
  try {
    if (text.length > rootFileCharactersMax) throw new Error('too long');
    return fileSchema.parse(JSON.parse(text));
  } catch (error) {
    throw new NestError('INPUT_INVALID', 'This is not the file of a fleet root. Choose what "nest fleet root export" has written.', {
      cause: error,
    });
  }
};

const associatedData = ({ format, version, fleetId, fleetName, certificate, kdf }: Omit<RootFile, 'nonce' | 'box'>): Buffer =>
  Buffer.from(JSON.stringify([format, version, fleetId, fleetName, certificate, kdf.name, kdf.salt, kdf.memoryKiB, kdf.passes, kdf.lanes]));
