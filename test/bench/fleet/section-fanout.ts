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
    const figures: FanoutFigures[] = [];
    const agentsCpuMs: number[] = [];
    for (let round = 0; round < rounds; round += 1) {
      const before = await fleet.measure();
      const done = await console.order('fanout', { policy: policyOf(round) });
      agentsCpuMs.push(((await fleet.measure()).cpuMicros - before.cpuMicros) / 1000 / agents);
      if (done.confirmed !== agents) throw new Error(`${agents - done.confirmed} agents did not confirm.`);
      figures.push(done);
      // The next plan starts from the revision that statuses tell.
      await console.order('steady', { ms: 2_500 });
      bench.progress(`fanout ${round + 1} of ${rounds}: ${Math.round(done.ms)} ms`);
    }
    return [
      toRow({
        figure: 'policy of 32 KB planned, applied, confirmed on 1,000',
        unit: 's',
        samples: figures.map(({ ms }) => ms / 1000),
        target: { op: '<=', value: 4 },
      }),
      toRow({ figure: 'fan-out: console CPU a host', unit: 'ms', samples: figures.map(({ cpuMs }) => cpuMs / agents) }),
      toRow({ figure: 'fan-out: CPU of the agent itself', unit: 'ms', samples: agentsCpuMs }),
      toRow({ figure: 'fan-out: longest event-loop block', unit: 'ms', samples: figures.map(({ blockMs }) => blockMs) }),
    ];
  },
};

/** A document of at least 32 KB that differs from round to round. */
const policyOf = (round: number): string => {
  const services: { readonly name: string; readonly addresses: readonly string[] }[] = [];
  const document = { apiVersion: 'nest/v1', kind: 'Policy', defaultAction: 'allow', services, mappings: [] };
  for (let number = 0; JSON.stringify(document).length < policyBytes; number += 20) {
    for (let more = number; more < number + 20; more += 1)
      services.push({ name: `service-${round}-${more}`, addresses: [`198.18.${more >> 8}.${more & 255}`] });
  }
  return JSON.stringify(document);
};
