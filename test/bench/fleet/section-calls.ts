/** One call at a time on an idle connection, beside the same call by raw http2 and by the stock library without TLS. */
import { toRow } from '../report.ts';
import type { LatencyFigures } from './console-orders.ts';
import { startProcess } from './process-calls.ts';
import type { FleetSection } from './section.ts';

const calls = 2000;
/** The first ones are slower at both ends, as long as functions are compiled. */
const rounds = 7;
const quietAgents = 8;

export const unarySection: FleetSection = {
  name: 'unary',
  run: async (bench) => {
    const fleet = await bench.fleet({ agents: quietAgents, flowsPerSecond: 0 });
    await using server = startProcess(new URL('plain-server.ts', import.meta.url));
    const { port } = (await server.call('listen', {}, bench.signal)) as { readonly port: number };
    await using console = await bench.console(fleet, { from: 0, to: 1 });
    await console.order('connect', {});
    const [ours, raw, plain]: [LatencyFigures[], LatencyFigures[], LatencyFigures[]] = [[], [], []];
    const measurements = [
      async () => void ours.push(await console.order('unary', { calls })),
      async () => void raw.push(await console.order('rawUnary', { calls })),
      async () => void plain.push(await console.order('plainUnary', { port, calls })),
    ];
    for (let round = 0; round < rounds; round += 1) {
      // Each round begins with another one: what comes first finds the processors at rest.
      for (let place = 0; place < measurements.length; place += 1) await measurements[(round + place) % measurements.length]?.();
    }
    const row = (figure: string, figures: readonly LatencyFigures[], targets: readonly [number, number] | null) => [
      toRow({
        figure: `${figure} p50`,
        unit: 'ms',
        samples: figures.map(({ p50Ms }) => p50Ms),
        ...(targets === null ? {} : { target: { op: '<=', value: targets[0] } as const }),
      }),
      toRow({
        figure: `${figure} p99`,
        unit: 'ms',
        samples: figures.map(({ p99Ms }) => p99Ms),
        ...(targets === null ? {} : { target: { op: '<=', value: targets[1] } as const }),
      }),
    ];
    return [
      ...row('unary idle', ours, [0.8, 10]),
      ...row('unary, raw http2, TLS', raw, null),
      ...row('unary, grpc-js without TLS', plain, null),
    ];
  },
};
