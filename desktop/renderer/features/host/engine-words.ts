/** Engines in words: what each choice means, and what happens when it is taken. */
import type { EngineName, InterfaceRow } from '../../../bridge/model.ts';

export const engineChoices = ['auto', 'xdp', 'af_xdp', 'dpdk', 'off'] as const satisfies readonly EngineName[];

export const engineTitles: Readonly<Record<EngineName, string>> = {
  auto: 'Automatic',
  xdp: 'XDP',
  af_xdp: 'AF_XDP',
  dpdk: 'DPDK',
  off: 'Off',
};

export const engineMeanings: Readonly<Record<EngineName, string>> = {
  auto: 'The host takes the engine that serves this interface best, and says why.',
  xdp: 'In the kernel, native where the driver can, else generic.',
  af_xdp: 'In a process of its own, over sockets of the kernel.',
  dpdk: 'In a process of its own, with drivers of its own.',
  off: 'Nothing is judged on this interface.',
};

/** What taking a choice does, in sentences for the one who confirms it. */
export const engineConsequences = (choice: EngineName, name: string): readonly string[] => {
  if (choice === 'off')
    return [
      `From now on every packet on ${name} passes unjudged: no mapping, deny list or limit applies to it.`,
      'Nothing is cut. Other interfaces keep their engines; the flow table stays.',
    ];
  const change = `The host loads ${choice === 'auto' ? 'the engine it finds best' : engineTitles[choice]} on ${name} and hands traffic over.`;
  return [
    change,
    'Policy and counters stay. Engines do not share flows: live connections are judged anew, and those that cross to an interface of another engine fail under default deny, balancing and NAT.',
    choice === 'af_xdp' || choice === 'dpdk'
      ? 'If it does not start, or dies later, the interface falls back to XDP, or passes packets unjudged where XDP cannot be loaded. The page then says so.'
      : 'If it does not load, the engine that serves the interface now stays.',
  ];
};

export interface EngineProbe {
  readonly isAvailable: boolean;
  readonly reason: string;
}

/** Whether a choice can serve the interface, and why not, from what the host probed. */
export const probeOf = ({ engines }: Pick<InterfaceRow, 'engines'>, choice: EngineName): EngineProbe => {
  if (choice === 'auto' || choice === 'off') return { isAvailable: true, reason: '' };
  const probes = engines.filter(({ engine }) => (choice === 'xdp' ? engine.startsWith('xdp') : engine === choice));
  const able = probes.find(({ available }) => available);
  if (able !== undefined) return { isAvailable: true, reason: able.reason };
  return { isAvailable: false, reason: probes[0]?.reason ?? 'the host has not probed it' };
};

/** "10 Gbit/s" of megabits. */
export const speedText = (megabits: number | null): string =>
  megabits === null ? '–' : megabits >= 1_000 ? `${String(megabits / 1_000)} Gbit/s` : `${String(megabits)} Mbit/s`;
