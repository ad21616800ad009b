/** What a bridge server is given. */
import type { BridgeHandlers } from './contract.ts';

/** What the server tells its host about a failure that is a bug, so that it is logged once, with its stack. */
export interface BridgeFault {
  readonly method: string;
  readonly correlationId: string;
  readonly error: unknown;
}

export interface BridgeServerOptions {
  readonly handlers: BridgeHandlers;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** A short text, unlike all before it. */
  readonly newCorrelationId: () => string;
  readonly onFault: (fault: BridgeFault) => void;
}
