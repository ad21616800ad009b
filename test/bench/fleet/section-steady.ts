/** Connected fleets that only send their statuses: one console with a thousand hosts, two with five thousand between them. */
import { toRow } from '../report.ts';
import type { Row } from '../report.ts';
import type { ConnectFigures, SteadyFigures } from './console-orders.ts';
import { agents, rounds } from './section.ts';
import type { FleetSection } from './section.ts';

const steadyMs = 15_000;
/** After connecting, before measuring. */
const settleMs = 5_000;
const crowdAgents = 5000;
const crowdShards = 2;
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
    for (let round = 0; round < rounds; round += 1) figures.push(await console.order('steady', { ms: steadyMs }));
    return [
      toRow({
        figure: 'CPU of 1,000 agents at 1 Hz',
        unit: '% of a core',
        samples: figures.map(({ cpu }) => cpu * 100),
        target: { op: '<=', value: 12 },
      }),
      toRow({
        figure: '1,000 agents: statuses received',
        unit: '1/s',
        samples: figures.map(({ statuses }) => (statuses / steadyMs) * 1000),
      }),
      ...lagRows('1,000 agents', figures),
      memoryRow('1,000 agents', [connected], agents),
    ];
  },
};

export const crowdSection: FleetSection = {
  name: 'crowd',
  run: async (bench) => {
    const fleet = await bench.fleet({ agents: crowdAgents });
    await using consoles = new AsyncDisposableStack();
    const share = crowdAgents / crowdShards;
    const shards = await Promise.all(
      Array.from({ length: crowdShards }, (_, shard) => bench.console(fleet, { from: shard * share, to: (shard + 1) * share })),
    );
    for (const shard of shards) consoles.use(shard);
    const connected = await Promise.all(shards.map((shard) => shard.order('connect', {})));
    bench.progress(`crowd connected: ${connected.map(({ ms }) => `${Math.round(ms)} ms`).join(', ')}`);
    await Promise.all(shards.map((shard) => shard.order('steady', { ms: settleMs })));
    const figures: SteadyFigures[] = [];
    for (let round = 0; round < rounds; round += 1) {
      const both = await Promise.all(shards.map((shard) => shard.order('steady', { ms: steadyMs })));
      // The worse shard counts.
      figures.push(...both.toSorted((a, b) => b.lagP99Ms - a.lagP99Ms).slice(0, 1));
    }
    return [
      toRow({ figure: '5,000 agents in 2 shards: connect', unit: 's', samples: [Math.max(...connected.map(({ ms }) => ms)) / 1000] }),
      toRow({ figure: '5,000 agents in 2 shards: CPU a shard', unit: '% of a core', samples: figures.map(({ cpu }) => cpu * 100) }),
      ...lagRows('5,000 agents in 2 shards', figures),
      memoryRow('5,000 agents in 2 shards', connected, share),
    ];
  },
};

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

const memoryRow = (who: string, figures: readonly ConnectFigures[], connections: number): Row =>
  toRow({
    figure: `${who}: memory a connection`,
    unit: 'KB',
    samples: figures.map(({ beforeBytes, afterBytes }) => (afterBytes - beforeBytes) / connections / 1024),
    target: { op: '<=', value: kilobytesMax },
  });
