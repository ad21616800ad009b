/** What a view shows when a call fails: plain data, so that it may live in the store. */
export interface Failure {
  /** Code of proto/nest/v1/error.proto. */
  readonly code: string;
  readonly message: string;
}

/** The failure of anything thrown. What carries no code came from below the bridge and is not shown word by word. */
export const toFailure = (error: unknown): Failure => {
  if (typeof error === 'object' && error !== null) {
    const { code, message, name } = error as { code?: unknown; message?: unknown; name?: unknown };
    if (typeof code === 'string' && typeof message === 'string') return { code, message };
    if (name === 'AbortError') return { code: 'CANCELLED', message: 'The call was cancelled.' };
  }
  return { code: 'INTERNAL', message: 'Something went wrong inside the console. Try again; its log names the cause.' };
};

/** True when the caller itself gave the call up: nothing to show. */
export const isCancelled = (failure: Failure): boolean => failure.code === 'CANCELLED';
