/**
 * Seeded randomness and random policies for tests. Services overlap, nest and come in both families; mappings collide on
 * purpose, so that priorities, deny before allow and names decide. The same seed gives the same policy.
 */
import type { PolicyDocument, PolicyMapping, PolicyProtocol, PolicyService } from '../../native/image/policy-schema.ts';

/** A small, fast generator (mulberry32); good enough to spread tests, not for secrets. */
export class Random {
  #state: number;

  /** Any 32-bit integer; print it with every failure. */
  constructor(seed: number) {
    this.#state = seed | 0;
  }

  /** 0 <= value < 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b_79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  }

  /** Whole number from..to, both included. */
  between(from: number, to: number): number {
    return from + Math.floor(this.next() * (to - from + 1));
  }

  /** True with this probability. */
  chance(probability: number): boolean {
    return this.next() < probability;
  }

  /** One of the list, which must not be empty. */
  pick<T>(list: readonly T[]): T {
    const item = list[Math.floor(this.next() * list.length)];
    if (item === undefined && list.length === 0) throw new RangeError('Random.pick needs a list with an entry.');
    return item as T;
  }

  /** A shuffled copy. */
  shuffle<T>(list: readonly T[]): T[] {
    const copy = [...list];
    for (let last = copy.length - 1; last > 0; last--) {
      const other = this.between(0, last);
      [copy[last], copy[other]] = [copy[other] as T, copy[last] as T];
    }
    return copy;
  }
}

export interface RandomPolicyOptions {
  /** Default: a third of the mappings, at least 20. */
  readonly services?: number;
  /** Default 50. */
  readonly mappings?: number;
}

/** Ports that random policies and random packets share, so that they meet. */
export const interestingPorts: readonly number[] = [1, 22, 53, 80, 123, 443, 853, 5201, 8000, 8050, 8100, 8443, 9100, 65_535];

/** A valid policy whose mappings all have different names and whose services all have different names. */
export const randomPolicy = (random: Random, options: RandomPolicyOptions = {}): PolicyDocument => {
  const mappingCount = options.mappings ?? 50;
  const serviceCount = options.services ?? Math.max(20, Math.ceil(mappingCount / 3));
  const services = Array.from({ length: serviceCount }, (_, position) => randomService(random, position));
  const names = services.map(({ name }) => name);
  const mappings = Array.from({ length: mappingCount }, (_, position) => randomMapping(random, position, names));
  return {
    apiVersion: 'nest/v1',
    kind: 'Policy',
    defaultAction: random.chance(0.5) ? 'allow' : 'deny',
    services: random.shuffle(services),
    mappings: random.shuffle(mappings),
  };
};

/** Text of an address inside 198.18.0.0/15, from few enough that packets hit services. */
export const randomIpv4 = (random: Random): string =>
  `198.${String(random.between(18, 19))}.${String(random.pick([0, 1, 2, 3, 64, 128, 255]))}.${String(random.between(0, 255))}`;

/** Likewise inside 2001:db8::/32. */
export const randomIpv6 = (random: Random): string =>
  `2001:db8:${random.between(0, 3).toString(16)}:${random.between(0, 3).toString(16)}:0:0:0:${random.between(0, 255).toString(16)}`;

const randomService = (random: Random, position: number): PolicyService => ({
  name: `${random.pick(['web', 'db', 'edge', 'Cache'])}-${String(position)}`,
  addresses: Array.from({ length: random.between(1, 5) }, () => (random.chance(0.6) ? randomPrefix4(random) : randomPrefix6(random))),
});

const randomPrefix4 = (random: Random): string => {
  const [, second = '18', third = '0', fourth = '0'] = randomIpv4(random).split('.');
  const length = random.chance(0.01) ? 0 : random.pick([15, 17, 24, 24, 25, 25, 28, 28, 31, 32, 32, 32]);
  const cut = (value: string, bits: number): string =>
    String(bits >= 8 ? Number(value) : bits <= 0 ? 0 : Number(value) & (0xff << (8 - bits)) & 0xff);
  const address = `${cut('198', length)}.${cut(second, length - 8)}.${cut(third, length - 16)}.${cut(fourth, length - 24)}`;
  return length === 32 && random.chance(0.5) ? address : `${address}/${String(length)}`;
};

const randomPrefix6 = (random: Random): string => {
  const [, , third = '0', fourth = '0', , , , last = '0'] = randomIpv6(random).split(':');
  if (random.chance(0.01)) return '::/0';
  switch (random.between(1, 7)) {
    case 1:
      return '2001:db8::/32';
    case 2:
      return `2001:db8:${third}::/48`;
    case 3:
      return `2001:db8:${third}:${fourth}::/64`;
    case 4:
      return `2001:db8:${third}:${fourth}::${(Number.parseInt(last, 16) & 0xf0).toString(16)}/124`;
    default:
      return `2001:db8:${third}:${fourth}::${last}`;
  }
};

const randomMapping = (random: Random, position: number, services: readonly string[]): PolicyMapping => {
  const protocols = random.pick<readonly PolicyProtocol[]>([
    ['tcp'],
    ['udp'],
    ['icmp'],
    ['any'],
    ['tcp', 'udp'],
    ['udp', 'icmp'],
    ['tcp', 'any'],
  ]);
  return {
    name: `${random.pick(['allow', 'deny', 'm', 'Z'])}.${String(position)}`,
    sources: randomSide(random, services),
    destinations: randomSide(random, services),
    protocols,
    ports: protocols.includes('icmp') || random.chance(0.3) ? [] : Array.from({ length: random.between(1, 3) }, () => randomPorts(random)),
    action: random.chance(0.5) ? 'allow' : 'deny',
    priority: random.chance(0.4) ? random.pick([0, 100, 100, 500, 1000]) : random.between(0, 1000),
  };
};

const randomSide = (random: Random, services: readonly string[]): string[] =>
  services.length === 0 || random.chance(0.06) ? ['any'] : Array.from({ length: random.between(1, 3) }, () => random.pick(services));

const randomPorts = (random: Random): string => {
  const port = (): number => (random.chance(0.8) ? random.pick(interestingPorts) : random.between(1, 65_535));
  const range = (): string => {
    const [a, b] = [port(), port()];
    return `${String(Math.min(a, b))}-${String(Math.max(a, b))}`;
  };
  return Array.from({ length: random.chance(0.2) ? 3 : 1 }, () => (random.chance(0.4) ? range() : String(port()))).join(',');
};
