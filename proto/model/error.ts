/**
 * The one error class of Nest. Codes come from proto/nest/v1/error.proto; docs/ERRORS.md explains each.
 * Test `code`, never `instanceof` across a process and never the message.
 */
import { ErrorCode } from '../gen/nest/v1/error.ts';

/** Code without prefix, for instance "POLICY_INVALID". */
export type NestErrorCode = Exclude<keyof typeof ErrorCode, 'UNSPECIFIED' | 'UNRECOGNIZED'>;

/** Details are plain data: they cross processes. */
export type NestErrorDetails = Readonly<Record<string, unknown>>;

export interface NestErrorOptions {
  readonly details?: NestErrorDetails;
  readonly cause?: unknown;
}

/** An expected failure: `message` is safe to show to an operator and says the next step; secrets stay in `cause`. */
export class NestError extends Error {
  readonly code: NestErrorCode;
  readonly details: NestErrorDetails;

  constructor(code: NestErrorCode, message: string, options: NestErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'NestError';
    this.code = code;
    this.details = options.details ?? {};
  }
}

/** The error as plain data, for a border. */
export interface ErrorShape {
  readonly code: NestErrorCode;
  readonly message: string;
  readonly details: NestErrorDetails;
}

/** Every code, in the order of the proto file. */
export const errorCodes: readonly NestErrorCode[] = Object.keys(ErrorCode).filter(
  (name): name is NestErrorCode => name !== 'UNSPECIFIED' && name !== 'UNRECOGNIZED',
);

/** True when the text is a known code. */
export const isErrorCode = (text: string): text is NestErrorCode => (errorCodes as readonly string[]).includes(text);

/** The code of anything thrown: its own when it is one of Nest's, CANCELLED for an aborted signal, else INTERNAL. */
export const errorCodeOf = (error: unknown): NestErrorCode => {
  if (typeof error !== 'object' || error === null) return 'INTERNAL';
  const { code, name } = error as { code?: unknown; name?: unknown };
  if (typeof code === 'string' && isErrorCode(code)) return code;
  return name === 'AbortError' ? 'CANCELLED' : 'INTERNAL';
};

/** Plain shape of anything thrown. What is not Nest's own becomes INTERNAL with a neutral message: internals stay home. */
export const toErrorShape = (error: unknown): ErrorShape => {
  const code = errorCodeOf(error);
  if (code === 'CANCELLED') return { code, message: 'The call was cancelled.', details: {} };
  if (error instanceof Error && 'code' in error && code === error.code) {
    const details =
      'details' in error && typeof error.details === 'object' && error.details !== null ? (error.details as NestErrorDetails) : {};
    return { code, message: error.message, details };
  }
  return { code: 'INTERNAL', message: 'Something went wrong inside Nest. Look into its log for the cause, then try again.', details: {} };
};
