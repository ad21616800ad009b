/** What one packet costs, net of an empty program, whatever the number of mappings and flows; xdp-filter on the same packets beside it. */
import { compilePolicy } from '../../native/image/api.ts';
import { benchPolicy, deniedPacket, establishedPacket, offsets } from './packet-sets.ts';
import { measureCost } from './packet-tool.ts';
import type { CostSample } from './packet-tool.ts';
import { BenchRefused, isSteady, median, toRow } from './report.ts';
import type { Row } from './report.ts';
import { count, rounds } from './section.ts';
import type { Bench, Section } from './section.ts';

const mappingCounts = [10, 100, 1000, 10_000] as const;
/** Different packets in turn: one is as hot as it gets. */
const flowCounts = [1, 4096, 65_536] as const;
/** The empty program may move that much between the rounds of a run. */
const driftMax = 0.1;
const denyPrefixes = 10_000;
/**
 * Relative to ten mappings. Established flows ask the flow table alone; a judgement walks two prefix tries, whose depth
 * grows with the logarithm of the number of prefixes: a thousand times the mappings may cost twice as much.
 */
const growthMax = { established: 1.1, denied: 2 } as const;
/** Relative to xdp-filter on the same packets, by number of flows. */
const filterRatioMax: Readonly<Record<number, number>> = { 1: 2.2, 4096: 2.2, 65_536: 4.5 };

type Kind = 'established' | 'denied';
/** By number of flows, then by number of mappings; one sample a round. */
interface Costs {
  readonly established: readonly (readonly (readonly CostSample[])[])[];
  readonly denied: readonly (readonly (readonly CostSample[])[])[];
}

const measure = async (bench: Bench): Promise<Costs> => {
  const images = mappingCounts.map((mappings) => compilePolicy(benchPolicy(mappings, { denyPrefixes })).image);
  const empty = (): CostSample[][][] => flowCounts.map(() => mappingCounts.map(() => []));
  const costs = { established: empty(), denied: empty() };
  // Rounds over all sizes, so that whatever the machine does meanwhile hits all of them alike.
  for (let round = 0; round < rounds; round++) {
    console.error(`cost: round ${String(round + 1)} of ${String(rounds)}`);
    for (const [size, image] of images.entries()) {
      bench.throwIfUnwanted();
      await bench.swap(image);
      for (const [spread, packets] of flowCounts.entries()) {
        const request = { pinPath: bench.pinPath, packets };
        const established = { ...request, packet: establishedPacket(), varyOffset: offsets.sourcePort };
        costs.established[spread]?.[size]?.push(await measureCost(established, bench.signal));
        const denied = { ...request, packet: deniedPacket(), varyOffset: offsets.destinationAddress };
        costs.denied[spread]?.[size]?.push(await measureCost(denied, bench.signal));
      }
    }
  }
  return costs;
};

const net = (samples: readonly CostSample[]): number[] => samples.map(({ nestNs, emptyNs }) => nestNs - emptyNs);
const filterNet = (samples: readonly CostSample[]): number[] =>
  samples.flatMap(({ xdpFilterNs, emptyNs }) => (xdpFilterNs === undefined ? [] : [xdpFilterNs - emptyNs]));

const rows = (costs: Costs): Row[] => flowCounts.flatMap((packets, spread) => flowRows(costs, packets, spread));

const flowRows = (costs: Costs, packets: number, spread: number): Row[] => {
  const found: Row[] = [floorRow(costs, packets, spread)];
  for (const kind of ['established', 'denied'] as const) {
    const sizes = costs[kind][spread] ?? [];
    const base = { figure: nameOf(kind, packets, 0), samples: net(sizes[0] ?? []) };
    for (const [size, samples] of sizes.entries()) {
      const figure = nameOf(kind, packets, size);
      const measured = { figure, unit: 'ns/packet net', samples: net(samples) };
      found.push(toRow(size === 0 ? measured : { ...measured, baseline: base, target: { op: '<=', value: growthMax[kind] } }));
    }
  }
  return [...found, ...filterRows(costs.established[spread]?.at(-1) ?? [], packets)];
};

/** Ours against xdp-filter where it is installed, with the largest policy. */
const filterRows = (samples: readonly CostSample[], packets: number): Row[] => {
  const filter = filterNet(samples);
  if (filter.length < samples.length) return [];
  const figure = `xdp-filter alw_all, 10,000 addresses, ${count(packets, 'packet')}`;
  return [
    toRow({ figure, unit: 'ns/packet net', samples: filter }),
    toRow({
      figure: `${nameOf('established', packets, mappingCounts.length - 1)}, to xdp-filter`,
      unit: 'ns/packet net',
      samples: net(samples),
      baseline: { figure, samples: filter },
      target: { op: '<=', value: filterRatioMax[packets] ?? 1 },
    }),
  ];
};

const nameOf = (kind: Kind, packets: number, size: number): string =>
  `${kind}, ${count(packets, 'packet')}, ${count(mappingCounts[size] ?? 0, 'mapping')}`;

/** The guard: the empty program does the same in every round, so whatever moves it is the machine. */
const floorRow = (costs: Costs, packets: number, spread: number): Row => {
  const cells = [...(costs.established[spread] ?? []), ...(costs.denied[spread] ?? [])];
  const perRound = Array.from({ length: rounds }, (_, round) => median(cells.flatMap((cell) => cell[round]?.emptyNs ?? [])));
  const figure = `empty program, ${count(packets, 'packet')}`;
  if (!isSteady(perRound, driftMax))
    throw new BenchRefused(
      `the empty program took ${Math.min(...perRound).toFixed(1)} to ${Math.max(...perRound).toFixed(1)} ns (${figure}): more than 10 % apart. Leave the machine alone and run again.`,
    );
  return toRow({ figure, unit: 'ns/packet', samples: perRound });
};

export const costSection: Section<Costs> = { name: 'cost', measure, rows };
