/** A value in the cache that nobody without the vault can read or change: AES-256-GCM under a key that the vault keeps. */
import { createCipheriv, createDecipheriv, hkdfSync } from 'node:crypto';
import { z } from 'zod';
import type { RandomBytes } from '../../lib/api.ts';

const sealBytes = 32;
const tagBytes = 16;
const boxSchema = z.strictObject({ nonce: z.base64(), box: z.base64() });

/** What a vault keeps for it, base64. */
export const newSeal = (random: RandomBytes): string => Buffer.from(random(sealBytes)).toString('base64');

/** `label` says what it is for: under another it does not open. */
export const sealValue = (content: { readonly label: string; readonly value: unknown }, seal: string, random: RandomBytes): unknown => {
  const nonce = random(12);
  const cipher = createCipheriv('aes-256-gcm', keyOf(seal, content.label), nonce);
  const box = Buffer.concat([cipher.update(JSON.stringify(content.value), 'utf8'), cipher.final(), cipher.getAuthTag()]);
  return { nonce: Buffer.from(nonce).toString('base64'), box: box.toString('base64') };
};

/** Null for what was never sealed here, or was changed. */
export const openValue = (label: string, sealed: unknown, seal: string): unknown => {
  const parsed = boxSchema.safeParse(sealed);
  if (!parsed.success) return null;
  const bytes = Buffer.from(parsed.data.box, 'base64');
  if (bytes.length < tagBytes) return null;
  try {
    const decipher = createDecipheriv('aes-256-gcm', keyOf(seal, label), Buffer.from(parsed.data.nonce, 'base64'));
    decipher.setAuthTag(bytes.subarray(-tagBytes));
    return JSON.parse(Buffer.concat([decipher.update(bytes.subarray(0, -tagBytes)), decipher.final()]).toString()) as unknown;
  } catch {
    // GCM says no more than that the tag does not fit.
    return null;
  }
};

const keyOf = (seal: string, label: string): Buffer => Buffer.from(hkdfSync('sha256', Buffer.from(seal, 'base64'), '', label, 32));
