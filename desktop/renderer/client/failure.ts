import type { MfaAct } from '../../bridge/model.ts';

/** What a view shows when a call fails: plain data, so that it may live in the store. */
export interface Failure {
  /** Code of proto/nest/v1/error.proto. */
  readonly code: string;
  readonly message: string;
  /** What a code is for, when MFA_REQUIRED asks for one of its own. */
  readonly act?: MfaAct;
  /** MFA_REQUIRED of an operator who has no second factor to prove. */
  readonly hasNoFactor?: true;
}

/** The failure of anything thrown. What carries no code came from below the bridge and is not shown word by word. */
export const toFailure = (error: unknown): Failure => {
  if (typeof error === 'object' && error !== null) {
    const { code, message, name, details } = error as { code?: unknown; message?: unknown; name?: unknown; details?: unknown };
    if (typeof code === 'string' && typeof message === 'string')
      return { code, message, ...(code === 'MFA_REQUIRED' ? askedFor(details) : {}) };
    if (name === 'AbortError') return { code: 'CANCELLED', message: 'The call was cancelled.' };
  }
  return { code: 'INTERNAL', message: 'Something went wrong inside the console. Try again; its log names the cause.' };
};

const askedFor = (details: unknown): Pick<Failure, 'act' | 'hasNoFactor'> => {
  if (typeof details !== 'object' || details === null) return {};
  const { actionHash, hostSetHash, factor } = details as { actionHash?: unknown; hostSetHash?: unknown; factor?: unknown };
  if (factor === 'none') return { hasNoFactor: true };
  return typeof actionHash === 'string' && typeof hostSetHash === 'string' ? { act: { actionHash, hostSetHash } } : {};
};

/** True when the caller itself gave the call up: nothing to show. */
export const isCancelled = (failure: Failure): boolean => failure.code === 'CANCELLED';
