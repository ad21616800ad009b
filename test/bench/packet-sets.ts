/** Policies and packets whose cost the packet suite measures. */
import { parsePolicy } from '../../native/image/api.ts';
import type { Policy, PolicyDenyList, PolicyMapping } from '../../native/image/api.ts';
import { buildPacket, tcpFlags } from '../support/packet.ts';
import { Random } from '../support/random-policy.ts';
import { workloadPorts } from './workload.ts';

/** Where nest-packet varies two bytes of a packet. */
export const offsets = { destinationAddress: 14 + 18, sourcePort: 14 + 20, sourcePort6: 14 + 40 } as const;

/** An address that {@link benchPolicy} can deny; its packets are those of {@link establishedPacket}. */
export const floodSource = '198.19.250.77';
/** A backend that is a neighbour on the link its packets come by. */
export const forwardNetwork = { host: '198.19.252.1', backend: '198.19.252.10' } as const;
const virtualAddress = '198.19.253.1';

/** Source ports, and 64 of the destination ports that {@link benchPolicy} allows. */
export const newFlowBits = 22;

const payloadBytes = 18;
const flowEnds = { source: '198.19.250.1', destination: '198.19.251.1' };
const flowPort = 5001;

/** The addresses that {@link deniedPacket} varies over: 198.18.0.0/20. However many services there are, they share them evenly. */
const variedBits = 12;

/**
 * A policy of that many mappings, at least 10. One allows the flows of {@link establishedPacket}; another denies whatever
 * {@link deniedPacket} asks, at the top priority, so that every such packet goes all the way through the tables.
 */
export const benchPolicy = (
  mappings: number,
  more: { readonly denyPrefixes?: number; readonly denied?: string; readonly mappings?: readonly PolicyMapping[] } = {},
): Policy => {
  const random = new Random(mappings);
  const serviceBits = Math.min(variedBits - 1, Math.max(3, Math.floor(Math.log2(mappings / 4))));
  const services = Array.from({ length: 2 ** serviceBits }, (_, index) => ({
    name: `s${String(index)}`,
    addresses: [sharedNetwork(index, serviceBits), `2001:db8:${index.toString(16)}::/64`],
  }));
  const traffic = Array.from({ length: mappings - 2 }, (_, index): PolicyMapping => ({
    name: `m${String(index).padStart(5, '0')}`,
    sources: [index % 10 === 0 ? 'any' : `s${String((index * 7) % services.length)}`],
    destinations: [`s${String(index % services.length)}`],
    protocols: [random.pick(['tcp', 'udp', 'any'] as const)],
    ports: workloadPorts(random, 'mixed'),
    action: random.chance(0.7) ? 'allow' : 'deny',
    priority: random.between(0, 999),
  }));
  return parsePolicy({
    apiVersion: 'nest/v1',
    kind: 'Policy',
    defaultAction: 'deny',
    denyLists: denyListsOf(more, random),
    services: [...services, { name: 'bench-from', addresses: ['198.19.250.0/24'] }, { name: 'bench-to', addresses: ['198.19.251.0/24'] }],
    mappings: [
      ...traffic,
      ...(more.mappings ?? []),
      {
        name: 'bench-allow',
        sources: ['bench-from'],
        destinations: ['bench-to'],
        protocols: ['tcp', 'udp'],
        ports: ['5001-5099'],
        action: 'allow',
        priority: 1000,
      },
      { name: 'bench-deny', sources: ['s0'], destinations: ['any'], protocols: ['tcp'], action: 'deny', priority: 1000 },
    ],
  });
};

const portsPerRule = 10;

/**
 * A policy of that many mappings, at least 1,000, with ten ports each; beside them those of a {@link benchPolicy}, and one that allows the
 * flows of {@link newFlowPacket6}.
 */
export const portRulesPolicy = (mappings: number): Policy => {
  const random = new Random(mappings);
  // Half as many mappings of the other kind make an eighth as many services.
  const services = 2 ** Math.min(variedBits - 1, Math.floor(Math.log2(mappings / 8)));
  const service = (): string => `s${String(random.between(0, services - 1))}`;
  const rules = Array.from({ length: mappings }, (_, index): PolicyMapping => {
    const ports = Array.from({ length: portsPerRule }, (_unused, slice) => String(6000 * slice + random.between(1, 5000)));
    return {
      name: `p${String(index).padStart(5, '0')}`,
      sources: [service()],
      destinations: [service()],
      protocols: ['tcp'],
      ports,
      action: 'allow',
      priority: 500,
    };
  });
  const allow6: PolicyMapping = {
    name: 'bench-allow6',
    sources: ['any'],
    destinations: ['any'],
    protocols: ['udp'],
    ports: [`${String(flowPort)}-${String(flowPort + 98)}`],
    action: 'allow',
    priority: 1000,
  };
  return benchPolicy(mappings / 2, { mappings: [...rules, allow6] });
};

/** Allows what testpmd's flowgen sends: UDP to port 1001, between addresses of its own. */
export const flowgenMapping: PolicyMapping = {
  name: 'bench-flowgen',
  sources: ['any'],
  destinations: ['any'],
  protocols: ['udp'],
  ports: ['1001'],
  action: 'allow',
  priority: 1000,
};

/** Random prefixes outside the network that packets are made of, half of them single addresses, and the one that is meant. */
const denyListsOf = (
  { denyPrefixes = 0, denied }: { readonly denyPrefixes?: number; readonly denied?: string },
  random: Random,
): PolicyDenyList[] => {
  if (denyPrefixes === 0 && denied === undefined) return [];
  const prefixes = Array.from({ length: denyPrefixes }, (_, index) => randomPrefix(random, index % 2 === 0 ? 32 : random.between(16, 28)));
  return [{ name: 'bench', prefixes: denied === undefined ? prefixes : [...prefixes, denied] }];
};

const randomPrefix = (random: Random, length: number): string => {
  // 198.18.0.0/15 stays free.
  const address = ((random.between(1, 190) << 24) | random.between(0, 0xff_ffff)) >>> 0;
  const network = (address & (length === 32 ? 0xffff_ffff : ~(0xffff_ffff >>> length))) >>> 0;
  return `${[24, 16, 8, 0].map((shift) => (network >>> shift) & 255).join('.')}/${String(length)}`;
};

/** A policy that is little more than so many different denied prefixes. */
export const denyListPolicy = (prefixes: number, { length, seed }: { readonly length: number; readonly seed: number }): Policy => {
  const random = new Random(seed + length);
  const found = new Set<string>();
  while (found.size < prefixes) found.add(randomPrefix(random, length));
  return parsePolicy({
    apiVersion: 'nest/v1',
    kind: 'Policy',
    defaultAction: 'allow',
    services: [],
    mappings: [],
    denyLists: [{ name: 'bench', prefixes: [...found] }],
  });
};

/** Balances a virtual address over one backend; packets are those of {@link balancedPacket}. */
export const balancedPolicy = (): Policy =>
  parsePolicy({
    apiVersion: 'nest/v1',
    kind: 'Policy',
    defaultAction: 'deny',
    services: [{ name: 'virtual', addresses: [virtualAddress] }],
    mappings: [
      {
        name: 'balance',
        sources: ['any'],
        destinations: ['virtual'],
        protocols: ['tcp', 'udp'],
        ports: [String(flowPort)],
        action: 'balance',
        priority: 100,
        backends: [{ name: 'only', address: forwardNetwork.backend, port: 8000 }],
      },
    ],
  });

/** A packet of one flow to the virtual address. */
export const balancedPacket = (): Uint8Array =>
  buildPacket({
    source: flowEnds.source,
    destination: virtualAddress,
    transport: { kind: 'udp', sourcePort: 40_000, destinationPort: flowPort },
    payloadBytes: 56,
  });

/** A packet that the denying mapping nearest to the middle of the policy's order matches. */
export const midListPacket = (policy: Policy): Uint8Array => {
  const ordered = policy.mappings
    .filter(
      ({ action, ports, sources, protocols }) =>
        action === 'deny' && ports.length > 0 && !sources.includes('any') && !protocols.includes('udp'),
    )
    .toSorted((a, b) => b.priority - a.priority);
  const middle = ordered.toSorted((a, b) => Math.abs(a.priority - 500) - Math.abs(b.priority - 500))[0];
  if (middle === undefined) throw new RangeError('The policy has no denying mapping with ports.');
  const addressOf = (names: readonly string[]): string => {
    const network = policy.services.find(({ name }) => name === names[0])?.addresses[0] ?? '';
    return network.replace(/\/.*$/, '');
  };
  const [port = ''] = middle.ports;
  return buildPacket({
    source: addressOf(middle.sources),
    destination: addressOf(middle.destinations),
    transport: { kind: 'tcp', sourcePort: 40_000, destinationPort: Number.parseInt(port, 10), flags: tcpFlags.syn },
    payloadBytes,
  });
};

/** Network number `index` of 2^bits that share 198.18.0.0/20. */
const sharedNetwork = (index: number, bits: number): string => {
  const address = index << (variedBits - bits);
  return `198.18.${String(address >> 8)}.${String(address & 255)}/${String(32 - variedBits + bits)}`;
};

/** A packet of an allowed flow; varying its source port gives as many flows, established after the first round. */
export const establishedPacket = (source: string = flowEnds.source): Uint8Array =>
  buildPacket({
    ...flowEnds,
    source,
    transport: { kind: 'tcp', sourcePort: 0, destinationPort: flowPort, flags: tcpFlags.ack },
    payloadBytes,
  });

/** A denied packet: it never gets a flow, so it is judged every time. Varying its destination spreads it over the services. */
export const deniedPacket = (): Uint8Array =>
  buildPacket({
    source: '198.18.0.1',
    destination: '198.18.0.0',
    transport: { kind: 'tcp', sourcePort: 40_000, destinationPort: 8080, flags: tcpFlags.syn },
    payloadBytes,
  });

/** The first packet of a new, allowed flow; varying its ports by {@link newFlowBits} gives four million flows. */
export const newFlowPacket = (source: string = flowEnds.source): Uint8Array =>
  buildPacket({
    ...flowEnds,
    source,
    transport: { kind: 'udp', sourcePort: 0, destinationPort: flowPort },
    payloadBytes,
  });

/** The same over IPv6. */
export const newFlowPacket6 = (): Uint8Array =>
  buildPacket({
    source: '2001:db8:fff0::1',
    destination: '2001:db8:fff1::1',
    transport: { kind: 'udp', sourcePort: 0, destinationPort: flowPort },
    payloadBytes,
  });
