/** The file of a vault: a readable header and an AES-256-GCM box whose associated data is that header. */
import { createCipheriv, createDecipheriv } from 'node:crypto';
import { open, readFile, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { z } from 'zod';
import { NestError } from '../../../proto/model/error.ts';
import type { RandomBytes } from '../../lib/api.ts';
import { kdfSchema } from './passphrase-key.ts';

const nonceBytes = 12;
const tagBytes = 16;
const base64 = z.base64();

const fileSchema = z.strictObject({
  format: z.literal('nest-vault'),
  version: z.literal(1),
  storage: z.enum(['keychain', 'passphrase']),
  fleet: z.strictObject({ fleetId: z.string(), fleetName: z.string(), operatorName: z.string(), operatorCertificateEndsAt: z.number() }),
  /** Only with a passphrase. */
  kdf: z.optional(kdfSchema),
  nonce: base64,
  box: base64,
});

export type VaultFile = z.output<typeof fileSchema>;
export type VaultPlan = Omit<VaultFile, 'nonce' | 'box'>;

/** Encrypts a secret under a 32-byte key; the plan is bound to it. */
export const sealVault = (
  plan: VaultPlan,
  secret: Uint8Array,
  context: { readonly key: Uint8Array; readonly random: RandomBytes },
): VaultFile => {
  const nonce = context.random(nonceBytes);
  const cipher = createCipheriv('aes-256-gcm', context.key, nonce);
  cipher.setAAD(associatedData(plan));
  const box = Buffer.concat([cipher.update(secret), cipher.final(), cipher.getAuthTag()]);
  return { ...plan, nonce: Buffer.from(nonce).toString('base64'), box: box.toString('base64') };
};

/** Decrypts; undefined when the key is wrong or anything in the file was changed: the two cannot be told apart. */
export const unsealVault = (file: VaultFile, key: Uint8Array): Uint8Array | undefined => {
  const { nonce, box, ...plan } = file;
  const bytes = Buffer.from(box, 'base64');
  if (bytes.length < tagBytes) return undefined;
  try {
    const decipher = createDecipheriv('aes-256-gcm', key, Buffer.from(nonce, 'base64'));
    decipher.setAAD(associatedData(plan));
    decipher.setAuthTag(bytes.subarray(-tagBytes));
    return new Uint8Array(Buffer.concat([decipher.update(bytes.subarray(0, -tagBytes)), decipher.final()]));
  } catch {
    // GCM says no more than that the tag does not fit.
    return undefined;
  }
};

const associatedData = ({ format, version, storage, fleet, kdf }: VaultPlan): Buffer =>
  Buffer.from(
    JSON.stringify([
      format,
      version,
      storage,
      fleet.fleetId,
      fleet.fleetName,
      fleet.operatorName,
      fleet.operatorCertificateEndsAt,
      ...(kdf === undefined ? [] : [kdf.name, kdf.salt, kdf.memoryKiB, kdf.passes, kdf.lanes]),
    ]),
  );

/** Reads a vault; undefined when there is none. Raises STATE_CORRUPT, STATE_FAILED. */
export const readVaultFile = async (path: string): Promise<VaultFile | undefined> => {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new NestError('STATE_FAILED', 'The file with the keys of the fleet cannot be read. Check the rights on the data folder.', {
      cause: error,
    });
  }
  try {
    return fileSchema.parse(JSON.parse(text));
  } catch (error) {
    throw new NestError('STATE_CORRUPT', 'The file with the keys of the fleet is damaged. Restore vault.json from a backup.', {
      cause: error,
    });
  }
};

/** Writes text so that after a crash either the old or the new file is there. Only the owner may read it. Raises STATE_FAILED. */
export const writePrivateFile = async (path: string, text: string): Promise<void> => {
  const temporary = `${path}.new`;
  try {
    await using file = await open(temporary, 'w', 0o600);
    await file.writeFile(text);
    await file.sync();
    await rename(temporary, path);
    await using folder = await open(dirname(path), 'r');
    // A folder cannot be synced on every system; there the rename alone has to do.
    await folder.sync().catch(() => undefined);
  } catch (error) {
    throw new NestError('STATE_FAILED', 'The data folder cannot be written. Check its rights and the free space.', { cause: error });
  }
};
