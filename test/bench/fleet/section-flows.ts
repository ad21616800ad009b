/** Flow batches from agents to one console: as fast as it reads, and faster than it can, where every loss must be counted. */
import { toRow } from '../report.ts';
import type { StreamFigures } from './console-orders.ts';
import { startProcess } from './process-calls.ts';
import { rounds } from './section.ts';
import type { FleetSection } from './section.ts';

const quietAgents = 8;
const streams = 2;
const countMs = 4_000;
/** More than any console reads, flows a second and stream. */
const floodPerSecond = 2_000_000;

export const flowsSection: FleetSection = {
  name: 'flows',
  run: async (bench) => {
    const fleet = await bench.fleet({ agents: quietAgents, flowsPerSecond: 0 });
    await using server = startProcess(new URL('plain-server.ts', import.meta.url));
    const { port } = (await server.call('listen', {}, bench.signal)) as { readonly port: number };
    await using console = await bench.console(fleet, { from: 0, to: quietAgents });
    await console.order('connect', {});
    const agentMicros: number[] = [];
    const [ours, raw, plain]: [StreamFigures[], StreamFigures[], StreamFigures[]] = [[], [], []];
    for (let round = 0; round < rounds; round += 1) {
      const before = await fleet.measure();
      const figures = await console.order('flows', { ms: countMs, hosts: streams });
      ours.push(figures);
      // The streams run in for half as long before they are counted.
      agentMicros.push(((await fleet.measure()).cpuMicros - before.cpuMicros) / (figures.perSecond * (countMs / 1000) * 1.5));
      raw.push(await console.order('rawFlows', { ms: countMs, hosts: streams }));
      plain.push(await console.order('plainFlows', { port, ms: countMs, hosts: streams }));
    }
    const flooded = await bench.fleet({ agents: 2, flowsPerSecond: floodPerSecond });
    await using behind = await bench.console(flooded, { from: 0, to: 2 });
    await behind.order('connect', {});
    const flood = await behind.order('flows', { ms: countMs, hosts: 2 });
    const speed = (figure: string, figures: readonly StreamFigures[]) =>
      toRow({ figure, unit: 'k/s', samples: figures.map(({ perSecond }) => perSecond / 1000) });
    return [
      toRow({
        figure: 'flows from agents to one console',
        unit: 'k/s',
        samples: ours.map(({ perSecond }) => perSecond / 1000),
        target: { op: '>=', value: 500 },
      }),
      toRow({ figure: 'flows: console CPU a flow', unit: 'us', samples: ours.map(({ cpuMicros }) => cpuMicros) }),
      toRow({ figure: 'flows: agents CPU a flow', unit: 'us', samples: agentMicros }),
      toRow({ figure: 'flows: bytes', unit: 'MB/s', samples: ours.map(({ bytesPerSecond }) => bytesPerSecond / 1e6) }),
      toRow({
        figure: 'flows: missing without being counted',
        unit: 'flows',
        samples: [...ours, flood].map(({ unaccounted }) => unaccounted),
        target: { op: '<=', value: 0 },
      }),
      toRow({ figure: 'flood: delivered', unit: 'k/s', samples: [flood.perSecond / 1000] }),
      toRow({ figure: 'flood: lost and counted', unit: 'k/s', samples: [flood.lost / (countMs / 1000) / 1000] }),
      speed('flows, raw http2, TLS, not decoded', raw),
      speed('flows, grpc-js without TLS', plain),
    ];
  },
};
