/** What one packet costs, net of an empty program, whatever the number of mappings and flows; xdp-filter on the same packets beside it. */
import { compilePolicy } from '../../native/image/api.ts';
import { benchPolicy, deniedPacket, establishedPacket, offsets } from './packet-sets.ts';
import { measureCost } from './packet-tool.ts';
import type { CostSample } from './packet-tool.ts';
import { BenchRefused, median, steadyRounds, toRow } from './report.ts';
import type { Row } from './report.ts';
import { count } from './section.ts';
import type { Bench, Section } from './section.ts';

const mappingCounts = [10, 100, 1000, 10_000] as const;
/** Different packets in turn: one is as hot as it gets. */
const flowCounts = [1, 4096, 65_536] as const;
/** More than elsewhere: where the flows of one round lie in memory moves a ratio by a tenth, and only the next round moves it elsewhere. */
const rounds = 9;
/** Rounds count together when their empty programs lie within that share of each other: a processor at another clock measures something else. */
const driftMax = 0.1;
/** By then there are enough of them, or the machine is too restless. */
const roundsMax = 2 * rounds;
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
  for (let round = 0; round < roundsMax && steadyRounds(floors(costs), driftMax).length < rounds; round++) {
    console.error(`cost: round ${String(round + 1)}, ${String(rounds)} alike are needed`);
    // Whatever comes first in a round follows another kind of work: each size does so in turn.
    for (const place of images.keys()) {
      const size = (place + round) % images.length;
      const image = images[size];
      if (image === undefined) throw new RangeError(`There is no size ${String(size)}.`);
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

/** Of the rounds that the guard lets pass. */
const rows = (costs: Costs): Row[] => {
  const all = floors(costs);
  const steady = steadyRounds(all, driftMax);
  if (steady.length < rounds)
    throw new BenchRefused(
      `the empty program took ${Math.min(...all).toFixed(1)} to ${Math.max(...all).toFixed(1)} ns in ${String(all.length)} rounds, only ${String(steady.length)} of them alike. Leave the machine alone and run again.`,
    );
  const kept = (cells: Costs[Kind]): Costs[Kind] =>
    cells.map((sizes) => sizes.map((samples) => steady.flatMap((round) => samples[round] ?? [])));
  const counted = { established: kept(costs.established), denied: kept(costs.denied) };
  return [
    toRow({ figure: 'empty program, all rounds', unit: 'ns/packet', samples: all }),
    toRow({
      figure: `rounds left out: more than ${String(driftMax * 100)} % apart`,
      unit: 'rounds',
      samples: [all.length - steady.length],
    }),
    ...flowCounts.flatMap((packets, spread) => flowRows(counted, packets, spread)),
  ];
};

/** What the empty program took in every round: it does the same each time, so whatever moves it is the machine. */
const floors = ({ established, denied }: Costs): number[] => {
  const cells = [...established, ...denied].flat();
  const done = Math.min(...cells.map(({ length }) => length));
  return Array.from({ length: done }, (_, round) => median(cells.flatMap((cell) => cell[round]?.emptyNs ?? [])));
};

const flowRows = (costs: Costs, packets: number, spread: number): Row[] => {
  const found: Row[] = [];
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

export const costSection: Section<Costs> = { name: 'cost', measure, rows };
