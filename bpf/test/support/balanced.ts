/**
 * The policy of the translation tests: one client network, one virtual address for each kind of translation, three servers
 * behind `nat0`, whose neighbours are known.
 */
import { execFileSync } from 'node:child_process';
import type { ImageBackend, ImageContent } from '../../../native/test/support/image-builder.ts';
import { buildImage, l4, match } from '../../../native/test/support/image-builder.ts';
import { address } from '../../../native/test/support/packets.ts';

/** By mapping index, which is also the destination class less one. */
export const kinds = ['dnat', 'full', 'direct', 'masquerade', 'fixed', 'marked'] as const;
export type Kind = (typeof kinds)[number];

export const client = { 4: '198.18.1.10', 6: '2001:db8:1::10' } as const;
export const clientMac = [2, 0, 0, 0, 0, 2];

export const virtual = (family: 4 | 6, kind: Kind): string => {
  const number = String(kinds.indexOf(kind) + 1);
  return family === 4 ? `192.0.2.${number}` : `2001:db8:f::${number}`;
};

export const server = (family: 4 | 6, index: number): string =>
  family === 4 ? `198.18.7.${String(10 + index)}` : `2001:db8:7::1${String(index)}`;
export const serverMac = (index: number): readonly number[] => [2, 0, 0, 0, 7, 10 + index];
/** Of nat0: what full NAT and masquerade appear as. */
export const own = { 4: '198.18.7.1', 6: '2001:db8:7::1' } as const;
export const fixed = { 4: '198.18.9.9', 6: '2001:db8:9::9' } as const;

export interface Choice {
  readonly weights?: readonly number[];
  /** 0 up, 1 drain, 2 down. */
  readonly states?: readonly number[];
  readonly bySource?: boolean;
  /** Indexes of the servers; default the first three. */
  readonly servers?: readonly number[];
  /** Port of the servers; default 8080. */
  readonly port?: number;
}

const backends = (choice: Choice): readonly ImageBackend[] =>
  ([4, 6] as const).flatMap((family) =>
    (choice.servers ?? [0, 1, 2]).map((index) => ({
      address: address(server(family, index)),
      port: choice.port ?? 8080,
      weight: choice.weights?.[index] ?? 1,
      state: choice.states?.[index] ?? 0,
      seed: (Math.imul(index + 1, 0x9e3779b1) ^ family) >>> 0,
    })),
  );

export const content = (choice: Choice = {}): ImageContent => ({
  sourceClasses: 1,
  destinationClasses: kinds.length,
  identities4: [
    ...kinds.map((kind, index) => ({ address: address(virtual(4, kind)), length: 32, destination: index + 1 })),
    { address: address('198.18.1.0'), length: 24, source: 1 },
  ],
  identities6: [
    { address: address('2001:db8:1::'), length: 64, source: 1 },
    ...kinds.map((kind, index) => ({ address: address(virtual(6, kind)), length: 128, destination: index + 1 })),
  ],
  pairs: kinds.flatMap((_, index) =>
    [l4.tcp, l4.udp, l4.icmp, l4.other].map((each) => ({ source: 1, destination: index + 1, l4: each, ports: match(index, 10, false) })),
  ),
  mappings: kinds.map((name, index) => ({ name: `${String(index)}-${name}`, priority: 10 })),
  actions: [
    { mapping: 0, balancer: 1 },
    { mapping: 1, balancer: 2 },
    { mapping: 2, balancer: 3 },
    { mapping: 3, flags: 4 },
    { mapping: 4, flags: 2, source4: address(fixed[4]), source6: address(fixed[6]) },
    { mapping: 5, dscp: 46 },
  ],
  balancers: [1, 2, 3].map((nat, mapping) => ({
    mapping,
    nat,
    bySource: choice.bySource ?? false,
    backends: nat === 3 ? backends(choice).map((each) => ({ ...each, port: 0 })) : backends(choice),
  })),
});

export const balancedPolicy = (choice: Choice = {}): Buffer => buildImage(content(choice));

const ip = (...args: readonly string[]): void => {
  execFileSync('ip', args, { stdio: ['ignore', 'inherit', 'inherit'] });
};

const forwarding = (value: '0' | '1'): void => {
  execFileSync('sysctl', ['-q', '-w', `net.ipv4.ip_forward=${value}`, `net.ipv6.conf.all.forwarding=${value}`]);
};

/** nat0 with three servers for neighbours, the client behind v0, and routing. */
export const addServers = (): void => {
  ip('link', 'add', 'nat0', 'type', 'veth', 'peer', 'name', 'nat1');
  for (const name of ['nat0', 'nat1']) ip('link', 'set', name, 'addrgenmode', 'none', 'up');
  ip('addr', 'add', `${own[4]}/24`, 'dev', 'nat0');
  ip('addr', 'add', `${own[6]}/64`, 'dev', 'nat0', 'nodad');
  for (const index of [0, 1, 2, 3]) {
    const mac = serverMac(index)
      .map((byte) => byte.toString(16).padStart(2, '0'))
      .join(':');
    for (const family of [4, 6] as const) ip('neigh', 'add', server(family, index), 'lladdr', mac, 'nud', 'permanent', 'dev', 'nat0');
  }
  ip('route', 'add', '198.18.1.0/24', 'dev', 'v0');
  ip('-6', 'route', 'add', '2001:db8:1::/64', 'dev', 'v0');
  // What is masqueraded goes by way of the first server.
  for (const family of [4, 6] as const) ip('route', 'add', virtual(family, 'masquerade'), 'via', server(family, 0), 'dev', 'nat0');
  for (const family of [4, 6] as const) ip('neigh', 'add', client[family], 'lladdr', '02:00:00:00:00:02', 'nud', 'permanent', 'dev', 'v0');
  forwarding('1');
};

export const removeServers = (): void => {
  forwarding('0');
  ip('link', 'del', 'nat0');
  ip('route', 'del', '198.18.1.0/24', 'dev', 'v0');
  ip('-6', 'route', 'del', '2001:db8:1::/64', 'dev', 'v0');
  for (const family of [4, 6] as const) ip('neigh', 'del', client[family], 'dev', 'v0');
};
