/** Policies that benchmarks compile and load; the same seed gives the same policy. */
import { parsePolicy } from '../../native/image/api.ts';
import type { Policy, PolicyMapping } from '../../native/image/api.ts';
import { Random } from '../support/random-policy.ts';

export type PortKind = 'single' | 'range' | 'mixed';

export interface WorkloadOptions {
  readonly mappings: number;
  readonly services: number;
  readonly ports: PortKind;
  /** How many services every address is in, at least; 1 = disjoint services. */
  readonly overlap?: number;
}

/** Mappings between random services, each service with one IPv4 /28 and one IPv6 /64. */
export const workloadPolicy = (options: WorkloadOptions): Policy => {
  const random = new Random(options.mappings * 31 + options.services);
  const overlap = options.overlap ?? 1;
  const services = Array.from({ length: options.services }, (_, index) => ({
    name: `s${String(index)}`,
    addresses: Array.from({ length: overlap }, (_unused, step) => networksOf((index + step) % options.services)).flat(),
  }));
  const mappings = Array.from({ length: options.mappings }, (_, index): PolicyMapping => {
    const service = (): string => `s${String(random.between(0, options.services - 1))}`;
    const ports = workloadPorts(random, options.ports);
    return {
      name: `m${String(index).padStart(5, '0')}`,
      sources: [options.ports === 'mixed' && random.chance(0.1) ? 'any' : service()],
      destinations: [service()],
      protocols: options.ports === 'mixed' ? [random.pick(['tcp', 'udp', 'any'] as const)] : ['tcp'],
      ports,
      action: random.chance(0.7) ? 'allow' : 'deny',
      priority: random.between(0, 1000),
    };
  });
  return parsePolicy({ apiVersion: 'nest/v1', kind: 'Policy', defaultAction: 'deny', services, mappings });
};

const networksOf = (index: number): string[] => [
  `198.${String(18 + (index >> 12))}.${String((index >> 4) & 255)}.${String((index & 15) * 16)}/28`,
  `2001:db8:${index.toString(16)}::/64`,
];

/** Ports of one mapping. */
export const workloadPorts = (random: Random, kind: PortKind): string[] => {
  const single = (): string => String(random.between(1, 65_535));
  const range = (): string => {
    const first = random.between(1, 65_000);
    return `${String(first)}-${String(Math.min(65_535, first + random.between(1, 2000)))}`;
  };
  if (kind === 'single') return [single()];
  if (kind === 'range') return [range()];
  const draw = random.next();
  if (draw < 0.4) return [single()];
  if (draw < 0.6) return [`${single()},${single()},${single()}`];
  return draw < 0.8 ? [range()] : [];
};
