/** A call to a server that is not ours: TLS (plain only to this very machine), no redirects, a deadline, a limit on what is read. */

/** Why such a call failed; `message` is a part of a sentence that may be shown. */
export class OutsideError extends Error {}

export interface GuardedLimits {
  readonly timeoutMs: number;
  /** Of the answer. */
  readonly bytesMax: number;
  readonly signal: AbortSignal;
}

/** The whole answer, already read. Raises OutsideError, or what the caller's signal was aborted with. */
export const guardedFetch = async (url: string, init: RequestInit, { timeoutMs, bytesMax, signal }: GuardedLimits): Promise<Response> => {
  if (!isAllowedUrl(url)) throw new OutsideError('its address is neither https nor on this machine');
  const deadline = AbortSignal.timeout(timeoutMs);
  try {
    const answer = await fetch(url, { ...init, redirect: 'manual', signal: AbortSignal.any([signal, deadline]) });
    if (answer.type === 'opaqueredirect' || (answer.status >= 300 && answer.status < 400)) {
      await answer.body?.cancel();
      throw new OutsideError('it answers with a redirect, which is not followed');
    }
    const bytes = await readBounded(answer, bytesMax);
    const hasBody = answer.status !== 204 && answer.status !== 205;
    return new Response(hasBody ? bytes : null, { status: answer.status, headers: answer.headers });
  } catch (error) {
    if (signal.aborted || error instanceof OutsideError) throw error;
    if (deadline.aborted) throw new OutsideError(`it did not answer within ${String(Math.ceil(timeoutMs / 1000))} s`, { cause: error });
    throw new OutsideError(reasonOf(error), { cause: error });
  }
};

/** https anywhere, http on this machine only. */
export const isAllowedUrl = (text: string): boolean => {
  const url = URL.parse(text);
  if (url === null || url.username !== '' || url.password !== '') return false;
  return url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback(url.hostname));
};

/** By its spelling alone: no name is looked up. */
export const isLoopback = (hostName: string): boolean =>
  hostName === 'localhost' || hostName === '[::1]' || /^127(\.\d{1,3}){3}$/.test(hostName);

const readBounded = async (answer: Response, bytesMax: number): Promise<Uint8Array<ArrayBuffer>> => {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  // The loop ends with the body; leaving it cancels what is still on its way.
  for await (const chunk of (answer.body ?? []) as AsyncIterable<Uint8Array>) {
    bytes += chunk.length;
    if (bytes > bytesMax) throw new OutsideError(`its answer is longer than ${String(bytesMax >> 10)} KB`);
    chunks.push(chunk);
  }
  return new Uint8Array(Buffer.concat(chunks));
};

const reasons: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens at its address',
  ECONNRESET: 'it broke the connection off',
  ENOTFOUND: 'its name is not known here',
  EAI_AGAIN: 'its name cannot be looked up now',
  ENETUNREACH: 'there is no way to its network',
  EHOSTUNREACH: 'there is no way to it',
  CERT_HAS_EXPIRED: 'its TLS certificate has expired',
  ERR_TLS_CERT_ALTNAME_INVALID: 'its TLS certificate is for another name',
};

const certificateCodes = /SELF_SIGNED|UNABLE_TO_VERIFY|UNABLE_TO_GET_ISSUER|CERT_/;

/** fetch puts the system's code into the cause. */
const reasonOf = (error: unknown): string => {
  const code = error instanceof Error ? codeOf(error.cause) || codeOf(error) : '';
  const known = reasons[code];
  if (known !== undefined) return known;
  return certificateCodes.test(code) ? 'its TLS certificate is not from an authority that this system trusts' : 'the connection failed';
};

const codeOf = (value: unknown): string =>
  typeof value === 'object' && value !== null && 'code' in value && typeof value.code === 'string' ? value.code : '';
