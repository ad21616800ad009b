/** Failures as RTK Query hands them on. */
import type { SerializedError } from '@reduxjs/toolkit';
import type { Failure } from './failure.ts';
import { toFailure } from './failure.ts';

/** Null when there is none, or when the caller itself gave up. */
export const failureOf = (error: Failure | SerializedError | undefined): Failure | null => {
  if (error === undefined) return null;
  const failure = toFailure(error);
  return failure.code === 'CANCELLED' ? null : failure;
};
