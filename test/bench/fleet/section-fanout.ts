/** One policy of 32 KB planned, applied and confirmed on every host, each host by itself, 64 at a time. */
import { toRow } from '../report.ts';
import type { FanoutFigures } from './console-orders.ts';
import { agents, rounds } from './section.ts';
import type { FleetSection } from './section.ts';

const policyBytes = 32 << 10;

export const fanoutSection: FleetSection = {
  name: 'fanout',
  run: async (bench) => {
    const fleet = await bench.fleet({ agents });
    await using console = await bench.console(fleet, { from: 0, to: agents });
    await console.order('connect', {});
    const agentsCpuMs: number[] = [];
    const fanout = async (round: number): Promise<FanoutFigures> => {
      const before = await fleet.measure();
      const done = await console.order('fanout', { policy: policyOf(round) });
      agentsCpuMs.push(((await fleet.measure()).cpuMicros - before.cpuMicros) / 1000 / agents);
      if (done.confirmed !== agents) throw new Error(`${agents - done.confirmed} agents did not confirm.`);
      // The next plan starts from the revision that statuses tell.
      await console.order('steady', { ms: 2_500 });
      bench.progress(`fanout ${round} of ${rounds}: ${Math.round(done.ms)} ms`);
      return done;
    };
    const first = await fanout(0);
    const figures: FanoutFigures[] = [];
    for (let round = 1; round <= rounds; round += 1) figures.push(await fanout(round));
    return [
      toRow({
        figure: 'policy of 32 KB planned, applied, confirmed on 1,000',
        unit: 's',
        samples: figures.map(({ ms }) => ms / 1000),
        target: { op: '<=', value: 4 },
      }),
      toRow({ figure: 'the same as the first policy: every service is new', unit: 's', samples: [first.ms / 1000] }),
      toRow({ figure: 'fan-out: console CPU a host', unit: 'ms', samples: figures.map(({ cpuMs }) => cpuMs / agents) }),
      toRow({ figure: 'fan-out: CPU of the agent itself', unit: 'ms', samples: agentsCpuMs.slice(1) }),
      toRow({ figure: 'fan-out: longest event-loop block', unit: 'ms', samples: figures.map(({ blockMs }) => blockMs) }),
    ];
  },
};

/** Services that a round changes. */
const changed = 10;

/** A document of at least 32 KB; some of its services differ from round to round. */
const policyOf = (round: number): string => {
  const services: { readonly name: string; readonly addresses: readonly string[] }[] = [];
  const document = { apiVersion: 'nest/v1', kind: 'Policy', defaultAction: 'allow', services, mappings: [] };
  for (let number = 0; JSON.stringify(document).length < policyBytes; number += 20) {
    for (let more = number; more < number + 20; more += 1)
      services.push({ name: `service-${more}`, addresses: [`198.${more < changed ? 18 + (round % 2) : 18}.${more >> 8}.${more & 255}`] });
  }
  return JSON.stringify(document);
};
