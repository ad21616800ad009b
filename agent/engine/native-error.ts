/** Native failures become Nest's codes here and nowhere else. */
import type { NativeErrorCode } from '../../native/index.ts';
import { NestError } from '../../proto/model/error.ts';
import type { NestErrorCode } from '../../proto/model/error.ts';

const codes: Readonly<Record<NativeErrorCode, NestErrorCode>> = {
  NATIVE_UNAVAILABLE: 'ENGINE_UNAVAILABLE',
  NATIVE_PERMISSION: 'ENGINE_UNAVAILABLE',
  NATIVE_KERNEL_TOO_OLD: 'ENGINE_UNAVAILABLE',
  NATIVE_VERIFIER_REJECTED: 'ENGINE_FAILED',
  NATIVE_BPFFS_MISSING: 'ENGINE_UNAVAILABLE',
  NATIVE_INTERFACE_UNKNOWN: 'INTERFACE_UNKNOWN',
  NATIVE_INTERFACE_FOREIGN_PROGRAM: 'INTERFACE_FOREIGN_PROGRAM',
  NATIVE_INTERFACES_EXHAUSTED: 'INTERFACES_EXHAUSTED',
  NATIVE_ATTACH_FAILED: 'ENGINE_FAILED',
  NATIVE_IMAGE_INVALID: 'IMAGE_INVALID',
  NATIVE_TABLE_FULL: 'POLICY_TOO_LARGE',
  NATIVE_PIN_INCOMPATIBLE: 'ENGINE_FAILED',
  NATIVE_PACKET_INVALID: 'PACKET_INVALID',
  NATIVE_CLOSED: 'ENGINE_UNAVAILABLE',
  NATIVE_SYSTEM: 'ENGINE_FAILED',
};

/** The failure as a NestError: what failed, then the addon's next step, as one sentence; details carry the native code and the verifier's last lines. */
export const nativeError = (failure: unknown): NestError => {
  if (failure instanceof NestError) return failure;
  const fields =
    typeof failure === 'object' && failure !== null
      ? (failure as { code?: unknown; step?: unknown; verifierLog?: unknown; message?: unknown })
      : {};
  const code = typeof fields.code === 'string' ? codes[fields.code as NativeErrorCode] : undefined;
  if (code === undefined) {
    return new NestError('ENGINE_FAILED', "The data path failed in a way it does not explain. Look into the agent's log, then try again.", {
      cause: failure,
    });
  }
  const what = typeof fields.message === 'string' && fields.message !== '' ? fields.message : 'the data path failed';
  const step = typeof fields.step === 'string' && fields.step !== '' && !what.includes(fields.step) ? `: ${fields.step}` : '';
  return new NestError(code, asSentence(`${what.replace(/\.$/, '')}${step}`), {
    cause: failure,
    details: { native: fields.code, ...(typeof fields.verifierLog === 'string' ? { verifierLog: fields.verifierLog } : {}) },
  });
};

/** A first word that may be a name (lan0, lan0.120) stays as it is. */
const asSentence = (text: string): string => {
  const isWord = /^[a-z]+ /.test(text);
  return `${isWord ? text.charAt(0).toUpperCase() + text.slice(1) : text}${text.endsWith('.') ? '' : '.'}`;
};

/** Runs a native call; what it throws is translated. */
export const translated = async <T>(call: () => Promise<T>): Promise<T> => {
  try {
    return await call();
  } catch (error) {
    throw nativeError(error);
  }
};
