/** From words to a key: argon2id, as every file under a passphrase uses it. */
import { hashRaw } from '@node-rs/argon2';
import { z } from 'zod';
import { NestError } from '../../../proto/model/error.ts';

export const passphraseCharactersMin = 10;

/** How a key was made, kept beside what it encrypts. Bounds keep a forged file from taking all memory. */
export const kdfSchema = z.strictObject({
  name: z.literal('argon2id'),
  salt: z.base64(),
  memoryKiB: z.int().min(8_192).max(1_048_576),
  passes: z.int().min(1).max(16),
  lanes: z.int().min(1).max(8),
});

export type Kdf = z.output<typeof kdfSchema>;
export type KdfCost = Pick<Kdf, 'memoryKiB' | 'passes' | 'lanes'>;

/** About a quarter of a second and 64 MiB a guess. */
export const kdfCostDefault: KdfCost = { memoryKiB: 65_536, passes: 3, lanes: 1 };

/** 32 bytes. Argon2id is what the package does unless told otherwise. Unicode is normalised: the same words typed on another system give the same key. */
export const deriveKey = async (passphrase: string, kdf: Kdf): Promise<Uint8Array> =>
  new Uint8Array(
    await hashRaw(passphrase.normalize('NFKC'), {
      memoryCost: kdf.memoryKiB,
      timeCost: kdf.passes,
      parallelism: kdf.lanes,
      outputLen: 32,
      salt: Buffer.from(kdf.salt, 'base64'),
    }),
  );

/** Raises PASSPHRASE_WEAK. */
export const refuseWeakPassphrase = (passphrase: string | undefined): void => {
  if (passphrase !== undefined && passphrase.length >= passphraseCharactersMin) return;
  throw new NestError(
    'PASSPHRASE_WEAK',
    `The passphrase needs at least ${String(passphraseCharactersMin)} characters. A few unrelated words make a good one.`,
  );
};
