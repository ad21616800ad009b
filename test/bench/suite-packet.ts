/** Suite "packet": what a packet costs whatever the number of mappings, what a reload takes, how many flow records JavaScript takes. */
import { fileURLToPath } from 'node:url';

import { command } from '../lab/command.ts';
import { makeBenchPlace } from './bench-namespace.ts';
import { eventRates, flowCounts, mappingCounts, rounds } from './packet-measurements.ts';
import type { PacketMeasurements } from './packet-measurements.ts';
import type { CostSample } from './packet-tool.ts';
import { BenchRefused, isSteady, median, toRow } from './report.ts';
import type { Measurement, Row, Suite } from './report.ts';

/** The floor may move that much between the rounds of a run. */
const driftMax = 0.1;
const workerTimeoutMs = 15 * 60_000;
/**
 * Cost at any number of mappings, relative to ten. Established flows ask the flow table alone; a judgement walks two prefix
 * tries, whose depth grows with the logarithm of the number of prefixes: a thousand times the mappings may cost twice as much.
 */
const growthMax = { established: 1.1, denied: 2 } as const;

export const packetSuite: Suite = {
  name: 'packet',
  summary: 'cost per packet over 10 to 10,000 mappings, reload, flow events (root; makes and removes its own namespace)',
  run: async (signal) => {
    if (process.getuid?.() !== 0) throw new BenchRefused('loading programs needs root. Run it as root.');
    await using place = await makeBenchPlace(signal);
    const worker = fileURLToPath(new URL('packet-worker.ts', import.meta.url));
    const output = await command(['ip', 'netns', 'exec', place.namespace, process.execPath, worker, place.bpffs, place.link, place.peer], {
      signal,
      timeoutMs: workerTimeoutMs,
    });
    return toRows(JSON.parse(output) as PacketMeasurements);
  },
};

/** Rows of the measurements. Raises BenchRefused when the floor drifted. */
const toRows = ({ costs, reloads, events }: PacketMeasurements): Row[] => {
  const rows: Row[] = [];
  for (const [spread, sizes] of costs.entries()) {
    const packets = flowCounts[spread] ?? 0;
    const name = (kind: string, size: number): string =>
      `${kind}, ${count(packets, 'packet')}, ${count(mappingCounts[size] ?? 0, 'mapping')}`;
    rows.push(floorRow(`empty program, ${count(packets, 'packet')}`, sizes));
    for (const kind of ['established', 'denied'] as const) {
      const samples = sizes.map((cell) => cell[kind]);
      for (const [size, cell] of samples.entries())
        rows.push(
          ...costRows({ name: name(kind, size), cell, base: samples[0] ?? [], baseName: name(kind, 0), growthMax: growthMax[kind] }),
        );
    }
  }
  for (const [size, samples] of reloads.entries()) rows.push(...reloadRows(mappingCounts[size] ?? 0, samples));
  return [...rows, ...eventRows(events)];
};

const count = (value: number, what: string): string => `${value.toLocaleString('en-US')} ${what}${value === 1 ? '' : 's'}`;

/** The guard: the empty program does the same in every round, so whatever moves it is the machine. */
const floorRow = (figure: string, sizes: PacketMeasurements['costs'][number]): Row => {
  const cells = sizes.flatMap(({ established, denied }) => [established, denied]);
  const perRound = Array.from({ length: rounds }, (_, round) => median(cells.flatMap((cell) => cell[round]?.emptyNs ?? [])));
  if (!isSteady(perRound, driftMax)) {
    throw new BenchRefused(
      `the empty program took ${Math.min(...perRound).toFixed(1)} to ${Math.max(...perRound).toFixed(1)} ns (${figure}): more than 10 % apart. Leave the machine alone and run again.`,
    );
  }
  return toRow({ figure, unit: 'ns/packet', samples: perRound });
};

interface CostCell {
  readonly name: string;
  readonly cell: readonly CostSample[];
  readonly base: readonly CostSample[];
  readonly baseName: string;
  readonly growthMax: number;
}

/** Net of the empty program, and relative to ten mappings. */
const costRows = ({ name, cell, base, baseName, growthMax: max }: CostCell): Row[] => {
  const net = (samples: readonly CostSample[]): number[] => samples.map(({ nestNs, emptyNs }) => nestNs - emptyNs);
  const measurement: Measurement = { figure: name, unit: 'ns/packet net', samples: net(cell) };
  if (cell === base) return [toRow(measurement), ...filterRow(name, cell)];
  return [toRow({ ...measurement, baseline: { figure: baseName, samples: net(base) }, target: { op: '<=', value: max } })];
};

/** xdp-filter's packaged program on the same packets, for scale; absent where it is not installed. */
const filterRow = (name: string, cell: readonly CostSample[]): Row[] => {
  const filter = cell.flatMap(({ xdpFilterNs, emptyNs }) => (xdpFilterNs === undefined ? [] : [xdpFilterNs - emptyNs]));
  if (filter.length < cell.length) return [];
  const nest = { figure: name, samples: cell.map(({ nestNs, emptyNs }) => nestNs - emptyNs) };
  return [toRow({ figure: `xdp-filter (no rules) on the same packets`, unit: 'ns/packet net', samples: filter, baseline: nest })];
};

const reloadRows = (mappings: number, samples: PacketMeasurements['reloads'][number]): Row[] => {
  const isLargest = mappings === mappingCounts.at(-1);
  const target = (value: number): { target?: { op: '<='; value: number } } => (isLargest ? { target: { op: '<=', value } } : {});
  const of = count(mappings, 'mapping');
  return [
    toRow({ figure: `compile ${of}`, unit: 'ms', samples: samples.map(({ compileMs }) => compileMs), ...target(2000) }),
    toRow({ figure: `load ${of}`, unit: 'ms', samples: samples.map(({ loadMs }) => loadMs), ...target(1000) }),
    toRow({ figure: `flip ${of}`, unit: 'ms', samples: samples.map(({ flipMs }) => flipMs) }),
  ];
};

const eventRows = (events: PacketMeasurements['events']): Row[] =>
  eventRates.flatMap((rate) => {
    const series = events.filter((event) => event.rate === rate);
    if (series.length === 0) return [];
    const offered = rate === 0 ? 'as fast as the sender can' : `${rate.toLocaleString('en-US')}/s offered`;
    return [
      toRow({
        figure: `flow records taken, ${offered}`,
        unit: 'records/s',
        samples: series.map(({ recordsPerSecond }) => recordsPerSecond),
      }),
      toRow({
        // A sum, not a median: one lost record in one series is a loss.
        figure: `flow records lost in ${series.length} series, ${offered}`,
        unit: 'records',
        samples: [series.reduce((sum, { lost }) => sum + lost, 0)],
        ...(rate === 0 ? {} : { target: { op: '<=' as const, value: 0 } }),
      }),
    ];
  });
