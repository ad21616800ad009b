/** What the measuring half of suite "packet" hands to the reporting half. */
import type { CostSample } from './packet-tool.ts';

/** Samples of every figure; medians need at least seven. */
export const rounds = 7;
export const mappingCounts = [10, 100, 1000, 10_000] as const;
/** Different packets in turn: one is as hot as it gets, 4,096 touch as many flows or services. */
export const flowCounts = [1, 4096] as const;
/** New flows a second; 0 = as fast as the sender can. */
export const eventRates = [50_000, 100_000, 200_000, 0] as const;
export const eventSeriesPerRate = 7;

export interface PacketMeasurements {
  /** By number of different packets, then by number of mappings. */
  readonly costs: readonly (readonly { readonly established: readonly CostSample[]; readonly denied: readonly CostSample[] }[])[];
  /** By number of mappings. */
  readonly reloads: readonly (readonly { readonly compileMs: number; readonly loadMs: number; readonly flipMs: number }[])[];
  readonly events: readonly {
    readonly rate: number;
    readonly sent: number;
    readonly taken: number;
    readonly lost: number;
    readonly recordsPerSecond: number;
  }[];
}
