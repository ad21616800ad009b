/** The counters of the hosts of one wave over the last minutes: what a change is compared with. */
import { ratesOf } from './rollout-gates.ts';
import type { Sample } from './rollout-gates.ts';

/** Samples are taken so far apart at least. */
const spacingMs = 900;
/** Kept beyond the baseline, for the watch after the change. */
const tailMs = 15_000;

export interface Sampler {
  add(hostId: string, sample: Sample): void;
  /** Rates before the change; null until they were measured for long enough. */
  baseline(hostId: string): Readonly<Record<string, number>> | null;
  /** Samples since a moment, oldest first. */
  since(hostId: string, monotonicMs: number): readonly Sample[];
  clear(): void;
}

/** `baselineMs` 0: nothing is compared with, rates before count as 0. */
export const createSampler = (baselineMs: number): Sampler => {
  const byHost = new Map<string, Sample[]>();
  return {
    add: (hostId, sample) => {
      const samples = byHost.get(hostId) ?? [];
      byHost.set(hostId, samples);
      const last = samples.at(-1);
      if (last !== undefined && sample.monotonicMs - last.monotonicMs < spacingMs) return;
      // Counters that went back are of another life of the data path.
      if (last !== undefined && Object.entries(last.drops).some(([reason, packets]) => (sample.drops[reason] ?? 0) < packets))
        samples.length = 0;
      samples.push(sample);
      const from = sample.monotonicMs - baselineMs - tailMs;
      while ((samples[0]?.monotonicMs ?? from) < from) samples.shift();
    },
    baseline: (hostId) => {
      if (baselineMs === 0) return {};
      const samples = byHost.get(hostId) ?? [];
      const [first] = samples;
      const last = samples.at(-1);
      if (first === undefined || last === undefined || last.monotonicMs - first.monotonicMs < baselineMs) return null;
      return ratesOf(samples, baselineMs + spacingMs);
    },
    since: (hostId, monotonicMs) => (byHost.get(hostId) ?? []).filter((sample) => sample.monotonicMs >= monotonicMs),
    clear: () => byHost.clear(),
  };
};
