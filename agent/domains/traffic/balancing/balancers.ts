import { completeHealthCheck, formatAddress, parseAddress, parsePorts } from '../../../engine/api.ts';
import type { Policy } from '../../../engine/api.ts';
import type { Clock } from '../../../lib/clock.ts';
import type { Balancer } from '../api.ts';
import { createHealthChecks } from '../health/health-checks.ts';
import type { BackendHealth, CheckedBackend } from '../health/health-checks.ts';
import type { Probe } from '../health/probe.ts';
import { backendPlaces } from './backend-places.ts';
import type { BackendPlace } from './backend-places.ts';

/** NEST_BACKEND_* */
const stateNumbers = { up: 0, drain: 1, down: 2 } as const;

export interface BalancersOptions {
  readonly clock: Clock;
  readonly probe: Probe;
  /** The states have changed and belong into the data path now. */
  readonly onStates: () => void;
  /** For the log: whose health has become what. */
  readonly onHealth: (mapping: string, backend: string, health: BackendHealth) => void;
}

/** What the data path has counted for one backend under the policy in force. */
export interface BackendCount {
  readonly flows: bigint;
  readonly packets: bigint;
  readonly bytes: bigint;
}

export interface BackendCounts {
  /** By backend index. */
  readonly of: (index: number) => BackendCount;
  /** By mapping, slash and backend; null: not known yet. */
  readonly liveFlows: ReadonlyMap<string, number> | null;
}

/** The balancing mappings of the policy in force, their health checks, and what the data path does with each backend. */
export interface Balancers {
  /** Balances by this policy from now on; null: none is in force. */
  use(policy: Policy | null): void;
  /** NEST_BACKEND_* by backend index: what the policy wants, and down where the health check says so. */
  states(): Uint8Array;
  /** True when a health check makes a difference to what the image itself says. */
  readonly differsFromImage: boolean;
  view(counts: BackendCounts): readonly Balancer[];
  /** The backend of a mapping at an address (as Nest writes it) and port; empty when there is none. */
  nameAt(mapping: string, address: string, port: number): string;
  close(): void;
}

/** Balancers without a policy yet. */
export const createBalancers = (options: BalancersOptions): Balancers => new PolicyBalancers(options);

class PolicyBalancers implements Balancers {
  readonly #options: BalancersOptions;
  readonly #checks;
  #places: readonly BackendPlace[] = [];
  /** Of services, by name. */
  #addresses: ReadonlyMap<string, readonly string[]> = new Map();
  /** Names of backends, by where they are. */
  #names: ReadonlyMap<string, string> = new Map();

  constructor(options: BalancersOptions) {
    this.#options = options;
    this.#checks = createHealthChecks({
      clock: options.clock,
      probe: options.probe,
      onChange: (key, health) => this.#changed(key, health),
    });
  }

  use(policy: Policy | null): void {
    this.#places = policy === null ? [] : backendPlaces(policy);
    this.#names = new Map(this.#places.map((place) => [endOf(place), place.backend.name]));
    this.#addresses = new Map(policy?.services.map(({ name, addresses }) => [name, addresses]));
    this.#checks.watch(this.#places.flatMap((place) => checkOf(place) ?? []));
  }

  states(): Uint8Array {
    return Uint8Array.from(this.#places, (place) => stateNumbers[this.#effective(place)]);
  }

  get differsFromImage(): boolean {
    return this.#places.some((place) => this.#effective(place) !== place.backend.state);
  }

  view({ of: countOf, liveFlows }: BackendCounts): readonly Balancer[] {
    const balancers = new Map<string, Balancer & { readonly backends: Balancer['backends'][number][] }>();
    for (const [index, place] of this.#places.entries()) {
      const { mapping, backend } = place;
      const balancer = balancers.get(mapping.name) ?? { ...headOf(place, this.#addresses), backends: [] };
      balancers.set(mapping.name, balancer);
      const { health, detail, sinceMs } = this.#checks.health(keyOf(place));
      const { flows, packets, bytes } = countOf(index);
      balancer.backends.push({
        name: backend.name,
        address: backend.address,
        port: backend.port ?? 0,
        weight: backend.weight,
        wanted: backend.state,
        effective: this.#effective(place),
        health,
        healthDetail: detail,
        healthSinceMs: sinceMs,
        flows,
        liveFlows: liveFlows === null ? null : (liveFlows.get(keyOf(place)) ?? 0),
        count: { packets, bytes },
      });
    }
    return [...balancers.values()];
  }

  nameAt(mapping: string, address: string, port: number): string {
    return this.#names.get(`${mapping} ${address} ${String(port)}`) ?? this.#names.get(`${mapping} ${address} 0`) ?? '';
  }

  close(): void {
    this.#checks.close();
    this.#places = [];
  }

  #effective(place: BackendPlace): 'up' | 'drain' | 'down' {
    return this.#checks.health(keyOf(place)).health === 'down' ? 'down' : place.backend.state;
  }

  #changed(key: string, health: BackendHealth): void {
    const place = this.#places.find((candidate) => keyOf(candidate) === key);
    if (place === undefined) return;
    this.#options.onHealth(place.mapping.name, place.backend.name, health);
    this.#options.onStates();
  }
}

const headOf = ({ mapping }: BackendPlace, addresses: ReadonlyMap<string, readonly string[]>): Omit<Balancer, 'backends'> => ({
  mapping: mapping.name,
  destinations: mapping.destinations.flatMap((name) => addresses.get(name) ?? [name]),
  protocols: mapping.protocols,
  ports: mapping.ports,
  nat: mapping.nat ?? 'dnat',
  affinity: mapping.affinity ?? 'none',
  healthCheck: mapping.healthCheck === undefined ? null : completeHealthCheck(mapping.healthCheck),
});

const keyOf = ({ mapping, backend }: BackendPlace): string => `${mapping.name}/${backend.name}`;

/** Port 0: as in the packet. Packets carry addresses in one spelling, documents in any. */
const endOf = ({ mapping, backend }: BackendPlace): string => {
  const address = parseAddress(backend.address);
  return `${mapping.name} ${address === undefined ? backend.address : formatAddress(address)} ${String(backend.port ?? 0)}`;
};

/** Nothing to check: no check is wanted, the operator has taken it down, or there is no port to ask. */
const checkOf = (place: BackendPlace): CheckedBackend | undefined => {
  const { mapping, backend } = place;
  const check = mapping.healthCheck;
  if (check === undefined || backend.state === 'down') return undefined;
  const port = backend.port ?? lowestPort(mapping.ports);
  if (port === undefined && check.kind !== 'icmp') return undefined;
  const { kind, path, intervalMs, timeoutMs, rise, fall } = completeHealthCheck(check);
  return {
    key: keyOf(place),
    target: { kind, address: backend.address, port: port ?? 0, path, timeoutMs },
    intervalMs,
    rise,
    fall,
  };
};

/** Where a backend without a port of its own is asked; undefined when the mapping names none either. */
const lowestPort = (entries: readonly string[]): number | undefined => {
  const firsts = entries.flatMap((text) => {
    const ranges = parsePorts(text);
    return 'code' in ranges ? [] : ranges.map(({ first }) => first);
  });
  return firsts.length === 0 ? undefined : Math.min(...firsts);
};
