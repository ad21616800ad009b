/** A part of suite "fleet": what it needs is brought up for it, what it measured becomes rows. */
import type { Simulator } from '../../simulator/simulator.ts';
import type { Row } from '../report.ts';
import type { BenchConsole } from './bench-console.ts';
import type { ConsoleOrders } from './console-orders.ts';

export interface FleetBench {
  /** Simulated agents; the same request gets the same fleet for the whole run. 100 flows a second unless said otherwise; 0 = as fast as they are read. */
  fleet(options: { readonly agents: number; readonly flowsPerSecond?: number }): Promise<Simulator>;
  /**
   * A console in a process of its own that knows the hosts from `from` up to, not including, `to`; the first over another place when
   * `via` is given, as another operator when one is. The caller closes it.
   */
  console(
    fleet: Simulator,
    share: { readonly from: number; readonly to: number },
    way?: Pick<ConsoleOrders['open']['request'], 'via' | 'operator'>,
  ): Promise<BenchConsole>;
  readonly signal: AbortSignal;
  readonly progress: (line: string) => void;
}

export interface FleetSection {
  readonly name: string;
  /** Raises what its parts raise. */
  readonly run: (bench: FleetBench) => Promise<readonly Row[]>;
}

/** Agents of most figures. */
export const agents = 1000;
/** Repetitions of a figure that costs seconds. */
export const rounds = 3;
