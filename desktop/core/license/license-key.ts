/** Licence keys: what one looks like, and how little of it is ever shown. */
import { createHash } from 'node:crypto';
import { NestError } from '../../../proto/model/error.ts';

/** The last group is said to be a check of the others; how is published nowhere, so it is not checked. */
const keyPattern = /^PENG(-[A-Z0-9]{4}){5}$/;

/** True for a key as it is kept: upper case, no spaces. */
export const isLicenseKey = (text: string): boolean => keyPattern.test(text);

/** The key as it is kept. Raises LICENSE_INVALID. */
export const parseLicenseKey = (text: string): string => {
  const key = text.trim().toUpperCase();
  if (isLicenseKey(key)) return key;
  throw new NestError(
    'LICENSE_INVALID',
    'This is no licence key. One is PENG and five groups of four letters or digits, with dashes between them; copy the whole of it.',
  );
};

/** All of a key that may be shown or logged. */
export const endingOf = (key: string): string => key.slice(-4);

/** Ties an answer to the key it was given for, without keeping the key beside it. */
export const keyHashOf = (key: string): string => createHash('sha256').update(`nest licence key ${key}`).digest('hex');
