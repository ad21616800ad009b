/** One stream down and one document up over a path that holds everything back: the HTTP/2 windows show. */
import { toRow } from '../report.ts';
import { startProcess } from './process-calls.ts';
import { rounds } from './section.ts';
import type { FleetSection } from './section.ts';

const quietAgents = 8;
/** Each way; 35 ms there and back. */
const delayMs = 17.5;
/** More than an agent takes as a policy: it is received whole, looked at and refused, so the time is that of the path. */
const uploadBytes = 3_500_000;
const countMs = 5_000;

export const delaySection: FleetSection = {
  name: 'delay',
  run: async (bench) => {
    const fleet = await bench.fleet({ agents: quietAgents, flowsPerSecond: 0 });
    const [agent] = fleet.agents;
    if (agent === undefined) throw new Error('The fleet is empty.');
    await using proxy = startProcess(new URL('delay-proxy.ts', import.meta.url));
    const { port } = (await proxy.call('listen', { address: agent.address, port: agent.port, delayMs }, bench.signal)) as {
      readonly port: number;
    };
    await using console = await bench.console(fleet, { from: 0, to: 1 }, { via: { address: '127.0.0.1', port } });
    await console.order('connect', {});
    const [down, up, latency]: [number[], number[], number[]] = [[], [], []];
    for (let round = 0; round < rounds; round += 1) {
      latency.push((await console.order('unary', { calls: 20 })).p50Ms);
      down.push((await console.order('flows', { ms: countMs, hosts: 1 })).bytesPerSecond / 1e6);
      up.push((await console.order('upload', { bytes: uploadBytes })).ms / 1000);
    }
    return [
      toRow({ figure: 'delay proxy: unary p50', unit: 'ms', samples: latency }),
      toRow({ figure: 'one stream over 35 ms, down', unit: 'MB/s', samples: down, target: { op: '>=', value: 30 } }),
      toRow({ figure: '3.5 MB over 35 ms, up, until the answer', unit: 's', samples: up, target: { op: '<=', value: 0.3 } }),
    ];
  },
};
