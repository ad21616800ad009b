/** Suite "fleet": what a thousand agents cost a console, beside raw http2 and the stock gRPC library in the same run. */
import { bundleAll } from '../../build/bundle.ts';
import { Simulator } from '../simulator/simulator.ts';
import { startBenchConsole } from './fleet/bench-console.ts';
import { fleetSections } from './fleet/sections.ts';
import type { FleetBench } from './fleet/section.ts';
import { BenchRefused } from './report.ts';
import type { Suite } from './report.ts';

export const fleetSuite: Suite = {
  name: 'fleet',
  summary:
    'connect, storm, steady, fan-out, revoking, calls, flows, a long path with simulated agents (makes and removes them), and snapshot files',
  sections: fleetSections.map(({ name }) => name),
  run: async (name, signal, progress) => {
    if (process.platform !== 'linux') throw new BenchRefused('the simulator needs Linux.');
    const section = fleetSections.find((each) => each.name === name);
    if (section === undefined) throw new RangeError(`There is no section "${name}".`);
    // Shards as they are shipped: from the sources each would also carry what makes TypeScript run, 44 MB of it.
    bundleAll(['shard']);
    // Fleets do not outlive their section: what one leaves running would be measured by the next.
    await using fleets = new AsyncDisposableStack();
    return await section.run(benchOf({ fleets, signal, progress }));
  },
};

const benchOf = ({
  fleets,
  signal,
  progress,
}: Pick<FleetBench, 'signal' | 'progress'> & { readonly fleets: AsyncDisposableStack }): FleetBench => {
  const known = new Map<string, Simulator>();
  return {
    signal,
    progress,
    fleet: async (options) => {
      const name = JSON.stringify(options);
      const up = known.get(name) ?? fleets.use(await Simulator.up({ ...options, signal, progress }));
      known.set(name, up);
      return up;
    },
    console: async ({ fleet, keys }, { from, to }, way) => {
      const opened = startBenchConsole(signal);
      try {
        const { hosts } = await opened.order('open', {
          dataDirectory: fleet.dataDirectory,
          keys,
          from,
          to,
          ...way,
        });
        if (hosts !== to - from) throw new Error(`The inventory has ${hosts} of ${to - from} hosts.`);
        return opened;
      } catch (error) {
        await opened[Symbol.asyncDispose]();
        throw error;
      }
    },
  };
};
