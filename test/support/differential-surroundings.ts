/** Interfaces, addresses and next hops of the namespace the comparison runs in, for each runtime in its own terms. */
import { execFileSync } from 'node:child_process';
import type { VerdictInterface, VerdictRoute } from '../../native/wasm/index.ts';
import { addressBytes } from './packet.ts';

export interface Surroundings {
  readonly interfaceIndex: number;
  readonly interfaces: readonly VerdictInterface[];
  readonly routes: readonly VerdictRoute[];
  readonly toolArguments: readonly string[];
}

interface Link {
  readonly ifname: string;
  readonly ifindex: number;
  readonly address: string;
}

/** v0 is where packets come in, w0 another way out, whose frames are short. */
export const ends = [
  { name: 'v0', address4: '192.0.2.1', address6: '2001:db8:a::1', mtu: 1500 },
  { name: 'w0', address4: '203.0.113.1', address6: '2001:db8:b::1', mtu: 1280 },
] as const;

export const nextHops = [
  { prefix: '198.19.128.0', length: 17, via: '192.0.2.2', by: 'v0', mac: '020000000a02' },
  { prefix: '198.19.64.0', length: 18, via: '203.0.113.2', by: 'w0', mac: '020000000b02' },
  { prefix: '2001:db8:2::', length: 48, via: '2001:db8:a::2', by: 'v0', mac: '020000000a02' },
  { prefix: '2001:db8:3::', length: 48, via: '2001:db8:b::2', by: 'w0', mac: '020000000b02' },
] as const;

const macBytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(':', ''), 'hex'));

/** The MAC addresses that build/test-differential.ts gives them: packets that leave carry them. */
export const readSurroundings = (): Surroundings => {
  const links = JSON.parse(execFileSync('ip', ['-j', 'link', 'show'], { encoding: 'utf8' })) as readonly Link[];
  return surroundingsFor((name) => {
    const link = links.find(({ ifname }) => ifname === name);
    if (link === undefined) throw new Error(`The namespace has no interface ${name}.`);
    return link;
  });
};

/** Likewise of interfaces that need not exist. */
export const surroundingsFor = (linkOf: (name: string) => Pick<Link, 'ifindex' | 'address'>): Surroundings => {
  const interfaces = ends.map(({ name, address4, address6 }) => ({
    index: linkOf(name).ifindex,
    canTransmit: true,
    address4: addressBytes(address4),
    address6: addressBytes(address6),
  }));
  const routes = nextHops.map(({ prefix, length, by, mac }): VerdictRoute => ({
    family: prefix.includes(':') ? 6 : 4,
    prefix: addressBytes(prefix),
    length,
    egress: linkOf(by).ifindex,
    mtu: ends.find(({ name }) => name === by)?.mtu ?? 0,
    destinationMac: macBytes(mac),
    sourceMac: macBytes(linkOf(by).address),
  }));
  return {
    interfaceIndex: linkOf('v0').ifindex,
    interfaces,
    routes,
    toolArguments: [
      '--interface',
      'v0',
      ...ends.flatMap(({ name, address4, address6 }) => [
        '--address',
        `${String(linkOf(name).ifindex)},${address4},${address6}`,
        '--port',
        String(linkOf(name).ifindex),
      ]),
      ...nextHops.flatMap(({ prefix, length, by, mac }, position) => [
        '--route',
        [prefix, length, linkOf(by).ifindex, routes[position]?.mtu ?? 0, mac, linkOf(by).address.replaceAll(':', '')].join(','),
      ]),
    ],
  };
};
