/** What the benchmark asks its console process to do, and what it answers. */
import type { AccessChange } from '../../../desktop/bridge/access-model.ts';
import type { FleetKeys } from '../../../desktop/core/authority/fleet-authority.ts';

export interface ConnectFigures {
  readonly ms: number;
  /** Share of the connections whose TLS session was resumed, 0..1. */
  readonly resumed: number;
  /** Longest time the event loop did nothing else, milliseconds. */
  readonly blockMs: number;
  /** User and system time of the console process. */
  readonly cpuMs: number;
  /** Resident memory of the console process after collecting garbage, before and after. */
  readonly beforeBytes: number;
  readonly afterBytes: number;
}

export interface SteadyFigures {
  /** CPU of the console process, share of one core. */
  readonly cpu: number;
  readonly statuses: number;
  /** From the reading on the host to its use in the console, milliseconds. */
  readonly lagP50Ms: number;
  readonly lagP99Ms: number;
  readonly lagMaxMs: number;
  readonly blockMs: number;
}

export interface FanoutFigures {
  readonly ms: number;
  /** Of the console. */
  readonly cpuMs: number;
  readonly confirmed: number;
  readonly blockMs: number;
}

export interface LatencyFigures {
  readonly p50Ms: number;
  readonly p99Ms: number;
}

export interface StreamFigures {
  readonly perSecond: number;
  readonly bytesPerSecond: number;
  /** CPU of the reading process a flow, microseconds. */
  readonly cpuMicros: number;
  /** What the streams said they lost. */
  readonly lost: number;
  /** Received and lost, against what happened as far as the reader can tell: must be 0. */
  readonly unaccounted: number;
}

export interface CutFigures {
  /** When the first, the middle and the last link was cut. */
  readonly firstAt: number;
  readonly medianAt: number;
  readonly lastAt: number;
  /** Links whose status stream was ended with the code REVOKED. */
  readonly told: number;
}

export interface ConsoleOrders {
  /** `via` replaces address and port of the first host. */
  open: {
    readonly request: {
      readonly dataDirectory: string;
      readonly keys: FleetKeys;
      readonly from: number;
      readonly to: number;
      readonly via?: { readonly address: string; readonly port: number };
      /** Connects as this operator instead of the fleet's first. */
      readonly operator?: { readonly certificate: string; readonly privateKey: string };
    };
    readonly answer: { readonly hosts: number };
  };
  connect: { readonly request: Record<string, never>; readonly answer: ConnectFigures };
  /** Begins to measure what a loss of every connection costs. */
  arm: { readonly request: Record<string, never>; readonly answer: null };
  return: { readonly request: Record<string, never>; readonly answer: ConnectFigures };
  steady: { readonly request: { readonly ms: number }; readonly answer: SteadyFigures };
  fanout: { readonly request: { readonly policy: string }; readonly answer: FanoutFigures };
  unary: { readonly request: { readonly calls: number }; readonly answer: LatencyFigures };
  flows: { readonly request: { readonly ms: number; readonly hosts: number }; readonly answer: StreamFigures };
  upload: { readonly request: { readonly bytes: number }; readonly answer: { readonly ms: number } };
  /** Carries access bundles to the hosts from now on; answers when all have the one of now. */
  govern: { readonly request: { readonly change: AccessChange | null }; readonly answer: { readonly at: number; readonly lockId: string } };
  /** Begins to note when links break. */
  watchCut: { readonly request: Record<string, never>; readonly answer: null };
  /** Waits until every link was cut since `watchCut`; clock times, milliseconds since the Unix epoch. */
  cut: { readonly request: Record<string, never>; readonly answer: CutFigures };
  /** The same without our client: Node's http2 over the same TLS, nothing decoded. */
  rawConnect: { readonly request: Record<string, never>; readonly answer: ConnectFigures };
  rawUnary: { readonly request: { readonly calls: number }; readonly answer: LatencyFigures };
  rawFlows: { readonly request: { readonly ms: number; readonly hosts: number }; readonly answer: StreamFigures };
  /** The same with the stock library without TLS, against a server of its own. */
  plainConnect: { readonly request: { readonly port: number; readonly channels: number }; readonly answer: ConnectFigures };
  plainUnary: { readonly request: { readonly port: number; readonly calls: number }; readonly answer: LatencyFigures };
  plainFlows: { readonly request: { readonly port: number; readonly ms: number; readonly hosts: number }; readonly answer: StreamFigures };
}

export type OrderName = keyof ConsoleOrders;
export type OrderHandlers = {
  readonly [Name in OrderName]: (request: ConsoleOrders[Name]['request']) => Promise<ConsoleOrders[Name]['answer']>;
};
