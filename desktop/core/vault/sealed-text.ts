/** A text under a passphrase: argon2id makes the key, AES-256-GCM keeps the box. For what must wait on disk before there is a vault. */
import { createCipheriv, createDecipheriv } from 'node:crypto';
import { z } from 'zod';
import { NestError } from '../../../proto/model/error.ts';
import type { RandomBytes } from '../../lib/api.ts';
import { deriveKey, kdfCostDefault, kdfSchema, refuseWeakPassphrase } from './passphrase-key.ts';

const sealedSchema = z.strictObject({ kdf: kdfSchema, nonce: z.base64(), box: z.base64() });
export type SealedText = z.output<typeof sealedSchema>;

/** `label` says what it is for; it opens under no other. Raises PASSPHRASE_WEAK. */
export const sealText = async (
  content: { readonly label: string; readonly text: string },
  passphrase: string,
  random: RandomBytes,
): Promise<SealedText> => {
  refuseWeakPassphrase(passphrase);
  const kdf = { name: 'argon2id', salt: Buffer.from(random(16)).toString('base64'), ...kdfCostDefault } as const;
  const nonce = random(12);
  const cipher = createCipheriv('aes-256-gcm', await deriveKey(passphrase, kdf), nonce);
  cipher.setAAD(Buffer.from(content.label));
  const box = Buffer.concat([cipher.update(content.text, 'utf8'), cipher.final(), cipher.getAuthTag()]);
  return { kdf, nonce: Buffer.from(nonce).toString('base64'), box: box.toString('base64') };
};

/** Raises PASSPHRASE_WRONG, also for what was changed; STATE_CORRUPT for what was never sealed. */
export const openText = async (label: string, sealed: unknown, passphrase: string): Promise<string> => {
  const parsed = sealedSchema.safeParse(sealed);
  if (!parsed.success)
    throw new NestError('STATE_CORRUPT', 'What was kept for this step is damaged. Begin it again.', { cause: parsed.error });
  const { kdf, nonce, box } = parsed.data;
  const bytes = Buffer.from(box, 'base64');
  try {
    const decipher = createDecipheriv('aes-256-gcm', await deriveKey(passphrase, kdf), Buffer.from(nonce, 'base64'));
    decipher.setAAD(Buffer.from(label));
    decipher.setAuthTag(bytes.subarray(-16));
    return Buffer.concat([decipher.update(bytes.subarray(0, -16)), decipher.final()]).toString();
  } catch (error) {
    throw new NestError('PASSPHRASE_WRONG', 'The passphrase is not the one that was given before. Try again.', { cause: error });
  }
};
