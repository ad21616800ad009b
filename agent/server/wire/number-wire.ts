import { NestError } from '../../../proto/model/error.ts';

/** A wire number as a safe integer. Throws INPUT_INVALID naming the field. */
export const toSafeNumber = (value: bigint, field: string): number => {
  if (value > BigInt(Number.MAX_SAFE_INTEGER))
    throw new NestError('INPUT_INVALID', `${field} is out of range. Read the current value from the host and try again.`);
  return Number(value);
};

/** Zero means the default; anything else must be within the bounds. Throws INPUT_INVALID naming the field. */
export const withDefault = (
  value: number,
  bounds: { readonly field: string; readonly min: number; readonly max: number; readonly fallback: number },
): number => {
  if (value === 0) return bounds.fallback;
  if (value < bounds.min || value > bounds.max)
    throw new NestError('INPUT_INVALID', `${bounds.field} is ${value}, it must be ${bounds.min} to ${bounds.max}. Correct it.`);
  return value;
};
