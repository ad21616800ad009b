/**
 * Frames of the bridge: JSON texts, one frame a message. A conversation opens with `hello` from the client and
 * `welcome` from the server; afterwards both sides ignore frames of a kind they do not know, so that a newer peer may
 * add some. A known frame of a wrong shape is a broken peer: the conversation ends, the server saying why in `fatal`.
 * This file is part of the renderer's first load, so it checks by hand; the schemas are in client-frames.ts.
 */
import type { ErrorShape } from '../../proto/model/error.ts';

export const protocolVersion = 1;

/** What this build speaks beyond plain calls. */
export const capabilities: readonly string[] = ['streams', 'credits', 'cancel'];

/** Limits both ends know. Sizes are bytes of UTF-8. */
export const bridgeLimits = {
  requestBytesMax: 1 << 20,
  /** For methods that carry a policy text. */
  policyRequestBytesMax: 4 << 20,
  streamsMax: 64,
  callsInFlightMax: 256,
  requestsPerSecond: 200,
  /** Frames of any kind; a peer above it is cut off. */
  framesPerSecond: 2000,
  /** Frames of one stream that may be under way without an acknowledgement. */
  streamWindow: 2,
  /** Refused requests in a row before the conversation ends. */
  refusalsMax: 400,
} as const;

/** Methods whose input carries a policy text. */
export const policyMethods: ReadonlySet<string> = new Set([
  'policy.validate',
  'policy.import',
  'policy.merge',
  'policy.plan',
  'groups.plan',
  'draft.put',
  'trace.run',
  'snapshot.trace',
  'rollouts.plan',
  'intents.leave',
]);

/** Largest request frame of a method, bytes. */
export const requestBytesMax = (method: string): number =>
  policyMethods.has(method) ? bridgeLimits.policyRequestBytesMax : bridgeLimits.requestBytesMax;

export interface WireError extends ErrorShape {
  /** Finds the entry in the log of the side that raised it. */
  readonly correlationId: string;
}

/** From the client. `v` of `hello` is the newest version it speaks; of all others it is the agreed one. */
export type ClientFrame =
  | { readonly t: 'hello'; readonly v: number; readonly capabilities: readonly string[] }
  | { readonly t: 'call' | 'open'; readonly v: 1; readonly id: number; readonly m: string; readonly p: unknown }
  | { readonly t: 'cancel'; readonly v: 1; readonly id: number }
  | { readonly t: 'credit'; readonly v: 1; readonly id: number; readonly n: number };

/** From the server. */
export type ServerFrame =
  | { readonly t: 'welcome'; readonly v: number; readonly capabilities: readonly string[] }
  | { readonly t: 'result'; readonly v: 1; readonly id: number; readonly d: unknown }
  | { readonly t: 'error'; readonly v: 1; readonly id: number; readonly e: WireError }
  | { readonly t: 'item'; readonly v: 1; readonly id: number; readonly seq: number; readonly d: unknown }
  | { readonly t: 'end'; readonly v: 1; readonly id: number }
  | { readonly t: 'fatal'; readonly v: number; readonly e: WireError };

/** `ignored`: well formed, of a kind this build does not know. `broken`: why, in words without the peer's data. */
export type Parsed<Frame> =
  { readonly kind: 'frame'; readonly frame: Frame } | { readonly kind: 'ignored' } | { readonly kind: 'broken'; readonly reason: string };

/** The object in a text, when it is one with a kind. */
export const readKind = (
  text: string,
): { readonly kind: 'object'; readonly t: string; readonly value: object } | { readonly kind: 'broken'; readonly reason: string } => {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return { kind: 'broken', reason: 'The frame is not JSON.' };
  }
  const t = typeof value === 'object' && value !== null && 't' in value ? value.t : undefined;
  return typeof t === 'string' ? { kind: 'object', t, value: value as object } : { kind: 'broken', reason: 'The frame has no kind.' };
};

const isNumber = (value: unknown): boolean => typeof value === 'number';
const isError = (value: unknown): boolean =>
  typeof value === 'object' &&
  value !== null &&
  'code' in value &&
  typeof value.code === 'string' &&
  'message' in value &&
  typeof value.message === 'string';
const serverShapes: Readonly<Record<ServerFrame['t'], Readonly<Record<string, (value: unknown) => boolean>>>> = {
  welcome: { v: isNumber, capabilities: Array.isArray },
  result: { id: isNumber },
  error: { id: isNumber, e: isError },
  item: { id: isNumber, seq: isNumber },
  end: { id: isNumber },
  fatal: { e: isError },
};

/** Reads a frame a server sent. */
export const parseServerFrame = (text: string): Parsed<ServerFrame> => {
  const read = readKind(text);
  if (read.kind === 'broken') return read;
  if (!Object.hasOwn(serverShapes, read.t)) return { kind: 'ignored' };
  const fields = read.value as Readonly<Record<string, unknown>>;
  for (const [field, holds] of Object.entries(serverShapes[read.t as ServerFrame['t']])) {
    if (!holds(fields[field])) return { kind: 'broken', reason: `The ${read.t} frame has a wrong ${field}.` };
  }
  return { kind: 'frame', frame: read.value as ServerFrame };
};

/** A frame as text. */
export const encodeFrame = (frame: ClientFrame | ServerFrame): string => JSON.stringify(frame);

/** True when the UTF-8 form of the text has at most `max` bytes. Looks at each character only when the length alone cannot tell. */
export const fitsBytes = (text: string, max: number): boolean => {
  if (text.length > max) return false;
  if (text.length * 3 <= max) return true;
  let bytes = text.length;
  for (let index = 0; index < text.length; index += 1) {
    const unit = text.charCodeAt(index);
    if (unit < 0x80) continue;
    // Half of a surrogate pair stands for two bytes, so it adds one; every other unit from 0x800 on is three bytes.
    bytes += unit < 0x800 || (unit >= 0xd800 && unit <= 0xdfff) ? 1 : 2;
    if (bytes > max) return false;
  }
  return true;
};
