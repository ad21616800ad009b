/** Policies and packets whose cost the packet suite measures. */
import { parsePolicy } from '../../native/image/api.ts';
import type { Policy, PolicyMapping } from '../../native/image/api.ts';
import { buildPacket, tcpFlags } from '../support/packet.ts';
import { Random } from '../support/random-policy.ts';
import { workloadPorts } from './workload.ts';

/** Where nest-packet varies two bytes of a packet. */
export const offsets = { destinationAddress: 14 + 18, sourcePort: 14 + 20 } as const;

const payloadBytes = 18;
const flowEnds = { source: '198.19.250.1', destination: '198.19.251.1' };
const flowPort = 5001;

/** The addresses that {@link deniedPacket} varies over: 198.18.0.0/20. However many services there are, they share them evenly. */
const variedBits = 12;

/**
 * A policy of that many mappings, at least 10. One allows the flows of {@link establishedPacket}; another denies whatever
 * {@link deniedPacket} asks, at the top priority, so that every such packet goes all the way through the tables.
 */
export const benchPolicy = (mappings: number): Policy => {
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
    services: [...services, { name: 'bench-from', addresses: ['198.19.250.0/24'] }, { name: 'bench-to', addresses: ['198.19.251.0/24'] }],
    mappings: [
      ...traffic,
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

/** Network number `index` of 2^bits that share 198.18.0.0/20. */
const sharedNetwork = (index: number, bits: number): string => {
  const address = index << (variedBits - bits);
  return `198.18.${String(address >> 8)}.${String(address & 255)}/${String(32 - variedBits + bits)}`;
};

/** A packet of an allowed flow; varying its source port gives as many flows, established after the first round. */
export const establishedPacket = (): Uint8Array =>
  buildPacket({ ...flowEnds, transport: { kind: 'tcp', sourcePort: 0, destinationPort: flowPort, flags: tcpFlags.ack }, payloadBytes });

/** A denied packet: it never gets a flow, so it is judged every time. Varying its destination spreads it over the services. */
export const deniedPacket = (): Uint8Array =>
  buildPacket({
    source: '198.18.0.1',
    destination: '198.18.0.0',
    transport: { kind: 'tcp', sourcePort: 40_000, destinationPort: 8080, flags: tcpFlags.syn },
    payloadBytes,
  });

/** The first packet of a new, allowed flow; varying its source port gives 65,536 flows for each series (0..253). */
export const newFlowPacket = (series: number): Uint8Array =>
  buildPacket({
    ...flowEnds,
    source: `198.19.250.${String(series + 1)}`,
    transport: { kind: 'udp', sourcePort: 0, destinationPort: flowPort },
    payloadBytes,
  });
