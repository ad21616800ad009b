/** Connected fleets that only send their statuses: one console with a thousand hosts, one with five thousand. */
import { toRow } from '../report.ts';
import type { Row } from '../report.ts';
import type { ConnectFigures, SteadyFigures } from './console-orders.ts';
import { agents, rounds } from './section.ts';
import type { FleetSection } from './section.ts';

const steadyMs = 15_000;
/** After connecting, before measuring. */
const settleMs = 5_000;
const crowdAgents = 5000;
const kilobytesMax = 160;
const lagMsMax = 25;

export const steadySection: FleetSection = {
  name: 'steady',
  run: async (bench) => {
    const fleet = await bench.fleet({ agents });
    await using console = await bench.console(fleet, { from: 0, to: agents });
    const connected = await console.order('connect', {});
    await console.order('steady', { ms: settleMs });
    const figures: SteadyFigures[] = [];
    const agentsCpu: number[] = [];
    for (let round = 0; round < rounds; round += 1) {
      const before = await fleet.measure();
      figures.push(await console.order('steady', { ms: steadyMs }));
      agentsCpu.push(shareOfCore(before.cpuMicros, (await fleet.measure()).cpuMicros));
    }
    return [
      toRow({
        figure: 'CPU of 1,000 agents at 1 Hz',
        unit: '% of a core',
        samples: figures.map(({ cpu }) => cpu * 100),
        target: { op: '<=', value: 12 },
      }),
      toRow({ figure: '1,000 agents: CPU of the agents themselves', unit: '% of a core', samples: agentsCpu }),
      toRow({
        figure: '1,000 agents: statuses received',
        unit: '1/s',
        samples: figures.map(({ statuses }) => (statuses / steadyMs) * 1000),
      }),
      ...lagRows('1,000 agents', figures),
      memoryRow('1,000 agents', [connected, agents], null),
    ];
  },
};

export const crowdSection: FleetSection = {
  name: 'crowd',
  run: async (bench) => {
    const fleet = await bench.fleet({ agents: crowdAgents });
    await using console = await bench.console(fleet, { from: 0, to: crowdAgents });
    const connected = await console.order('connect', {});
    bench.progress(`crowd connected: ${Math.round(connected.ms)} ms`);
    await console.order('steady', { ms: settleMs });
    const figures: SteadyFigures[] = [];
    const agentsCpu: number[] = [];
    for (let round = 0; round < rounds; round += 1) {
      const before = await fleet.measure();
      figures.push(await console.order('steady', { ms: steadyMs }));
      agentsCpu.push(shareOfCore(before.cpuMicros, (await fleet.measure()).cpuMicros));
    }
    const who = '5,000 agents, one console in 4 shards';
    return [
      toRow({ figure: `${who}: connect`, unit: 's', samples: [connected.ms / 1000] }),
      toRow({ figure: `${who}: CPU`, unit: '% of a core', samples: figures.map(({ cpu }) => cpu * 100) }),
      toRow({ figure: `${who}: CPU of the agents`, unit: '% of a core', samples: agentsCpu }),
      ...lagRows(who, figures),
      memoryRow(who, [connected, crowdAgents], kilobytesMax),
    ];
  },
};

/** Over one measurement, percent. */
const shareOfCore = (beforeMicros: number, afterMicros: number): number => ((afterMicros - beforeMicros) / 1000 / steadyMs) * 100;

const lagRows = (who: string, figures: readonly SteadyFigures[]): readonly Row[] => [
  toRow({ figure: `${who}: status lag p50`, unit: 'ms', samples: figures.map(({ lagP50Ms }) => lagP50Ms) }),
  toRow({
    figure: `${who}: status lag p99`,
    unit: 'ms',
    samples: figures.map(({ lagP99Ms }) => lagP99Ms),
    target: { op: '<=', value: lagMsMax },
  }),
  toRow({ figure: `${who}: longest event-loop block`, unit: 'ms', samples: figures.map(({ blockMs }) => blockMs) }),
];

/** A thousand hosts share what threads cost among few: the aim is for five thousand. */
const memoryRow = (
  who: string,
  [{ beforeBytes, afterBytes }, connections]: readonly [ConnectFigures, number],
  kilobytes: number | null,
): Row =>
  toRow({
    figure: `${who}: memory a connection`,
    unit: 'KB',
    samples: [(afterBytes - beforeBytes) / connections / 1024],
    ...(kilobytes === null ? {} : { target: { op: '<=', value: kilobytes } as const }),
  });
