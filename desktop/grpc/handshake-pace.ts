/**
 * How long a handshake may take. Where both ends are busy every handshake is slow, and to give their places to others then, or to end them
 * and begin anew, only makes all of them slower: so the limits follow what handshakes have taken lately.
 */
import { connectPlaceMs, connectPlaceMsMax, helloTimeoutMs, helloTimeoutMsMax } from './wire-limits.ts';

export interface HandshakePace {
  /** A host that has not finished by then gives its place to the next and goes on beside, milliseconds. */
  readonly placeMs: number;
  /** Handshake and first call, milliseconds. */
  readonly timeoutMs: number;
  /** A handshake with its first call has succeeded after so many milliseconds. */
  took(ms: number): void;
}

/** A host may be so many times slower than hosts usually are. */
const slowFactor = 4;
/** Weight of the latest handshake: eight or so make the usual one. */
const weight = 1 / 8;

/** Of one thread: begins with the limits for hosts that answer at once. */
export const createHandshakePace = (): HandshakePace => {
  let usualMs = 0;
  return {
    get placeMs() {
      return Math.min(connectPlaceMsMax, Math.max(connectPlaceMs, slowFactor * usualMs));
    },
    get timeoutMs() {
      return Math.min(helloTimeoutMsMax, Math.max(helloTimeoutMs, slowFactor * usualMs));
    },
    took: (ms) => {
      usualMs += (ms - usualMs) * weight;
    },
  };
};
