/** A console meets a thousand agents, loses all connections at once, and gets them back. */
import { toRow } from '../report.ts';
import type { Row } from '../report.ts';
import type { ConnectFigures } from './console-orders.ts';
import { startProcess } from './process-calls.ts';
import { agents, rounds } from './section.ts';
import type { FleetBench, FleetSection } from './section.ts';

/** Longest pause of the event loop that an operator does not feel as hanging. */
const blockMsMax = 250;

export const connectSection: FleetSection = {
  name: 'connect',
  run: async (bench) => {
    const fleet = await bench.fleet({ agents });
    const cold: ConnectFigures[] = [];
    const raw: ConnectFigures[] = [];
    for (let round = 0; round < rounds; round += 1) {
      await using peer = await bench.console(fleet, { from: 0, to: agents });
      raw.push(await peer.order('rawConnect', {}));
      await using console = await bench.console(fleet, { from: 0, to: agents });
      cold.push(await console.order('connect', {}));
      bench.progress(`connect ${round + 1} of ${rounds}: ${Math.round(cold.at(-1)?.ms ?? 0)} ms`);
    }
    const plain = await plainConnects(bench);
    return [
      ...connectRows('connect 1,000 agents cold', cold, 6),
      ...peerRows('raw http2, TLS, first call', raw),
      ...peerRows('grpc-js without TLS, first call', plain),
    ];
  },
};

export const stormSection: FleetSection = {
  name: 'storm',
  run: async (bench) => {
    const fleet = await bench.fleet({ agents });
    await using console = await bench.console(fleet, { from: 0, to: agents });
    await console.order('connect', {});
    const back: ConnectFigures[] = [];
    for (let round = 0; round < rounds; round += 1) {
      await console.order('arm', {});
      await fleet.drop();
      back.push(await console.order('return', {}));
      bench.progress(`storm ${round + 1} of ${rounds}: ${Math.round(back.at(-1)?.ms ?? 0)} ms`);
    }
    return [
      ...connectRows('reconnect storm of 1,000', back, 5),
      toRow({
        figure: 'reconnect storm: resumed',
        unit: '%',
        samples: back.map(({ resumed }) => resumed * 100),
        target: { op: '>=', value: 95 },
      }),
    ];
  },
};

const plainConnects = async (bench: FleetBench): Promise<ConnectFigures[]> => {
  await using server = startProcess(new URL('plain-server.ts', import.meta.url));
  const { port } = (await server.call('listen', {}, bench.signal)) as { readonly port: number };
  const plain: ConnectFigures[] = [];
  for (let round = 0; round < rounds; round += 1) {
    await using console = await bench.console(await bench.fleet({ agents }), { from: 0, to: 1 });
    plain.push(await console.order('plainConnect', { port, channels: agents }));
  }
  return plain;
};

const connectRows = (figure: string, figures: readonly ConnectFigures[], seconds: number): readonly Row[] => [
  toRow({ figure, unit: 's', samples: figures.map(({ ms }) => ms / 1000), target: { op: '<=', value: seconds } }),
  toRow({
    figure: `${figure}: longest event-loop block`,
    unit: 'ms',
    samples: figures.map(({ blockMs }) => blockMs),
    target: { op: '<=', value: blockMsMax },
  }),
  toRow({ figure: `${figure}: console CPU a connection`, unit: 'ms', samples: figures.map(({ cpuMs }) => cpuMs / agents) }),
];

const peerRows = (figure: string, figures: readonly ConnectFigures[]): readonly Row[] => [
  toRow({ figure: `1,000 x ${figure}`, unit: 's', samples: figures.map(({ ms }) => ms / 1000) }),
  toRow({ figure: `${figure}: CPU a connection`, unit: 'ms', samples: figures.map(({ cpuMs }) => cpuMs / agents) }),
  toRow({
    figure: `${figure}: memory a connection`,
    unit: 'KB',
    samples: figures.map(({ beforeBytes, afterBytes }) => (afterBytes - beforeBytes) / agents / 1024),
  }),
];
