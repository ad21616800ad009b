/** The policy of the tests of local traffic: default deny, one mapping of each kind, two backends on the server. */
import type { ImageContent } from '../../../native/test/support/image-builder.ts';
import { l4, match } from '../../../native/test/support/image-builder.ts';
import { address } from '../../../native/test/support/packets.ts';

/** Of v0 and of the other end. */
export const host = { 4: '198.18.0.1', 6: '2001:db8::1' } as const;
export const server = { 4: '198.18.0.2', 6: '2001:db8::2' } as const;
export const virtual = { 4: '192.0.2.1', 6: '2001:db8:f::1' } as const;
/** A client behind the host. */
export const guest = '198.18.3.2';
export const families = [4, 6] as const;
export const allowed = 8000;
export const backendPorts = [8001, 8002] as const;
export const denied = 8003;
export const unmapped = 8004;
export const mapping = { allow: 0, balance: 1, deny: 2 } as const;

const portsOf = (rows: readonly (readonly [number, number])[]): readonly (readonly [number, number])[] => {
  const intervals: [number, number][] = [[0, 0]];
  for (const [port, word] of rows) intervals.push([port, word], [port + 1, 0]);
  return intervals.filter(([start], index) => intervals[index + 1]?.[0] !== start);
};

/** `states`: of the backends, NEST_BACKEND_*. */
export const content = (states: readonly number[] = [0, 0]): ImageContent => ({
  sourceClasses: 1,
  destinationClasses: 2,
  identities4: [
    { address: address(virtual[4]), length: 32, destination: 2 },
    { address: address(host[4]), length: 32, source: 1 },
    { address: address(server[4]), length: 32, destination: 1 },
    { address: address(guest), length: 32, source: 1 },
  ],
  identities6: [
    { address: address(host[6]), length: 128, source: 1 },
    { address: address(server[6]), length: 128, destination: 1 },
    { address: address(virtual[6]), length: 128, destination: 2 },
  ],
  pairs: [l4.tcp, l4.udp]
    .flatMap((each) => [
      {
        source: 1,
        destination: 1,
        l4: each,
        ports: portsOf([
          [allowed, match(mapping.allow, 10, false)],
          [denied, match(mapping.deny, 10, true)],
        ]),
      },
      { source: 1, destination: 2, l4: each, ports: portsOf([[80, match(mapping.balance, 10, false)]]) },
    ])
    .sort((a, b) => a.destination - b.destination || a.l4 - b.l4),
  mappings: [
    { name: 'a-allow', priority: 10 },
    { name: 'b-balance', priority: 10 },
    { name: 'c-deny', deny: true, priority: 10 },
  ],
  actions: [{ mapping: mapping.balance, balancer: 1 }],
  balancers: [
    {
      mapping: mapping.balance,
      nat: 1,
      backends: families.flatMap((family) =>
        backendPorts.map((port, index) => ({
          address: address(server[family]),
          port,
          state: states[index] ?? 0,
          seed: (Math.imul(index + 1, 0x9e3779b1) ^ family) >>> 0,
        })),
      ),
    },
  ],
});
