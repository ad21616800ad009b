import { describe, expect, it } from 'vitest';

import type { PolicyDocument, PolicyMapping } from '../../native/image/policy-schema.ts';
import { buildFrame, buildPacket, checksum, tcpFlags } from './packet.ts';
import type { PacketSpec } from './packet.ts';
import { PacketStream } from './packet-random.ts';
import { Random, randomPolicy } from './random-policy.ts';
import { surroundingsFor } from './differential-surroundings.ts';
import { readPacketFixtures } from './packet-fixtures.ts';
import { notModelled, ReferenceHost } from './reference-model.ts';

const [client, server] = ['198.18.0.1', '198.18.64.2'];

const policy = (action: 'allow' | 'deny', fields: Partial<PolicyMapping> = {}): PolicyDocument => ({
  apiVersion: 'nest/v1',
  kind: 'Policy',
  defaultAction: 'deny',
  services: [
    { name: 'clients', addresses: ['198.18.0.0/24', '2001:db8:1::/64'] },
    { name: 'servers', addresses: ['198.18.64.0/24', '2001:db8:2::/64'] },
  ],
  mappings: [
    {
      name: 'web',
      sources: ['clients'],
      destinations: ['servers'],
      protocols: ['tcp', 'udp'],
      ports: ['443'],
      action,
      priority: 100,
      ...fields,
    },
  ],
});

const tcp = (direction: 'forward' | 'reverse', flags: number, port = 40_000): Uint8Array => {
  const [source, destination] = direction === 'forward' ? [client, server] : [server, client];
  const [sourcePort, destinationPort] = direction === 'forward' ? [port, 443] : [443, port];
  return buildPacket({ source, destination, transport: { kind: 'tcp', sourcePort, destinationPort, flags } });
};

const { syn, ack, fin, reset } = tcpFlags;

/** Reasons of packets sent one after the other, a millisecond apart. */
const reasons = (host: ReferenceHost, packets: readonly Uint8Array[], fromMs = 0): string[] =>
  packets.map((packet, position) => host.receive(packet, fromMs + position).reason);

const reasonOf = (packet: Uint8Array, document: PolicyDocument = policy('allow')): string =>
  new ReferenceHost(document).receive(packet, 0).reason;

describe('the reference model', () => {
  it('allows replies of an allowed flow and nothing the other way round', () => {
    expect(
      reasons(new ReferenceHost(policy('allow')), [
        tcp('reverse', syn),
        tcp('forward', syn),
        tcp('reverse', syn | ack),
        tcp('forward', ack),
      ]),
    ).toEqual(['DEFAULT_DENY', 'POLICY_ALLOW', 'FLOW', 'FLOW']);
  });

  it('ends a flow at a reset, and judges a new connection after both sides have finished', () => {
    const host = new ReferenceHost(policy('allow'));
    expect(reasons(host, [tcp('forward', syn), tcp('reverse', reset), tcp('reverse', ack)])).toEqual([
      'POLICY_ALLOW',
      'FLOW',
      'DEFAULT_DENY',
    ]);
    expect(
      reasons(host, [tcp('forward', syn), tcp('forward', fin | ack), tcp('reverse', fin | ack), tcp('forward', ack), tcp('reverse', syn)]),
    ).toEqual(['POLICY_ALLOW', 'FLOW', 'FLOW', 'FLOW', 'DEFAULT_DENY']);
  });

  it.each([
    { state: 'TCP opening', packets: [tcp('forward', syn)], limitMs: 60_000 },
    { state: 'TCP established', packets: [tcp('forward', syn), tcp('reverse', ack)], limitMs: 7_200_000 },
    { state: 'TCP closing', packets: [tcp('forward', fin), tcp('reverse', fin)], limitMs: 10_000 },
  ])('forgets an idle flow: $state', ({ packets, limitMs }) => {
    const reasonAfter = (silenceMs: number): string => {
      const host = new ReferenceHost(policy('allow'));
      reasons(host, packets);
      return host.receive(tcp('reverse', ack), packets.length - 1 + silenceMs).reason;
    };
    expect([reasonAfter(limitMs), reasonAfter(limitMs + 1)]).toEqual(['FLOW', 'DEFAULT_DENY']);
  });

  it('judges flows again after a new policy, in the direction of their initiator, and lets them live again', () => {
    const host = new ReferenceHost(policy('allow'));
    reasons(host, [tcp('forward', syn)]);
    host.replacePolicy(policy('deny'));
    expect(host.receive(tcp('reverse', ack), 1)).toEqual({ verdict: 'drop', reason: 'POLICY_DENY', mapping: 'web' });
    host.replacePolicy(policy('allow', { name: 'web2' }));
    expect(host.receive(tcp('reverse', ack), 2)).toEqual({ verdict: 'pass', reason: 'FLOW', mapping: 'web2' });
  });

  it('lets later fragments follow their first one', () => {
    const ends = { four: { source: client, destination: server }, six: { source: '2001:db8:1::1', destination: '2001:db8:2::1' } };
    const fragment = (
      identification: number,
      offsetBytes: number,
      { destinationPort = 443, family = 'four' }: { destinationPort?: number; family?: 'four' | 'six' } = {},
    ): Uint8Array =>
      buildPacket({
        ...ends[family],
        transport: { kind: 'udp', sourcePort: 40_000, destinationPort },
        payloadBytes: 64,
        fragment: { identification, offsetBytes, more: offsetBytes === 0 },
      });
    const host = new ReferenceHost(policy('allow'));
    expect(
      reasons(host, [
        fragment(1, 72),
        fragment(1, 0),
        fragment(1, 72),
        fragment(2, 0, { destinationPort: 80 }),
        fragment(2, 72),
        fragment(3, 72),
      ]),
    ).toEqual(['FRAGMENT_UNKNOWN', 'POLICY_ALLOW', 'FRAGMENT', 'DEFAULT_DENY', 'FRAGMENT_UNKNOWN', 'FRAGMENT_UNKNOWN']);
    expect(host.receive(fragment(1, 72), 30_001).reason).toBe('FRAGMENT');
    expect(host.receive(fragment(1, 72), 30_002).reason).toBe('FRAGMENT_UNKNOWN');
    expect(reasons(host, [fragment(9, 0, { family: 'six' }), fragment(9, 72, { family: 'six' })])).toEqual(['POLICY_ALLOW', 'FRAGMENT']);
  });

  it.each<[string, Uint8Array, string]>([
    ['ARP', buildFrame(0x0806, new Uint8Array(28)), 'ARP'],
    ['another protocol', buildFrame(0x88cc, new Uint8Array(20)), 'NOT_IP'],
    [
      'two tags',
      buildPacket({ source: client, destination: server, transport: { kind: 'udp', sourcePort: 1, destinationPort: 443 }, vlans: [1, 2] }),
      'POLICY_ALLOW',
    ],
    [
      'three tags',
      buildPacket({
        source: client,
        destination: server,
        transport: { kind: 'udp', sourcePort: 1, destinationPort: 443 },
        vlans: [1, 2, 3],
      }),
      'TOO_MANY_TAGS',
    ],
    ['half a tag', buildFrame(0x8100, new Uint8Array(3)), 'TRUNCATED'],
    [
      'IPv4 options',
      buildPacket({
        source: client,
        destination: server,
        transport: { kind: 'udp', sourcePort: 1, destinationPort: 443 },
        optionWords: 10,
      }),
      'POLICY_ALLOW',
    ],
    ['a cut TCP header', tcp('forward', syn).slice(0, -1), 'TRUNCATED'],
    ['an Ethernet header alone', tcp('forward', syn).slice(0, 14), 'TRUNCATED'],
    ['less', tcp('forward', syn).slice(0, 13), 'TRUNCATED'],
    ['padding', Uint8Array.from([...tcp('forward', syn), 0, 0, 0]), 'POLICY_ALLOW'],
    ['IP version 5', tcp('forward', syn).with(14, 0x55), 'MALFORMED'],
    ['an IPv4 header of 16 bytes', tcp('forward', syn).with(14, 0x44), 'MALFORMED'],
    ['a TCP header of 16 bytes', tcp('forward', syn).with(46, 0x40), 'MALFORMED'],
    [
      'a fragment inside the TCP header',
      buildPacket({
        source: client,
        destination: server,
        transport: { kind: 'tcp', sourcePort: 1, destinationPort: 443 },
        fragment: { identification: 1, offsetBytes: 8, more: false },
      }),
      'MALFORMED',
    ],
  ])('knows %s', (_, packet, expected) => {
    expect(reasonOf(packet)).toBe(expected);
  });

  it.each<[string, Partial<PacketSpec>, string]>([
    ['eight extension headers', { extensions: Array.from({ length: 8 }, () => 'destination' as const) }, 'POLICY_ALLOW'],
    ['nine extension headers', { extensions: Array.from({ length: 9 }, () => 'destination' as const) }, 'TOO_MANY_HEADERS'],
    ['every kind of extension header', { extensions: ['hop-by-hop', 'routing', 'destination', 'authentication'] }, 'POLICY_ALLOW'],
    ['a neighbour solicitation', { transport: { kind: 'icmp', type: 135 }, hopLimit: 255 }, 'NEIGHBOR_DISCOVERY'],
    ['a routed neighbour solicitation', { transport: { kind: 'icmp', type: 135 }, hopLimit: 254 }, 'DEFAULT_DENY'],
    ['another upper protocol', { transport: { kind: 'raw', protocol: 132 } }, 'DEFAULT_DENY'],
  ])('knows IPv6 with %s', (_, fields, expected) => {
    expect(
      reasonOf(
        buildPacket({
          source: '2001:db8:1::1',
          destination: '2001:db8:2::1',
          transport: { kind: 'udp', sourcePort: 1, destinationPort: 443 },
          ...fields,
        }),
      ),
    ).toBe(expected);
  });

  it('passes everything, even nonsense, without a policy', () => {
    expect(new ReferenceHost().receive(new Uint8Array(3), 0)).toEqual({ verdict: 'pass', reason: 'NO_POLICY', mapping: undefined });
  });

  it('sees every kind of outcome in random packets, and never fails on damaged ones', () => {
    const seed = 42;
    const random = new Random(seed);
    const document = { ...randomPolicy(random, { mappings: 40 }), defaultAction: 'deny' as const };
    const host = new ReferenceHost(document);
    const stream = new PacketStream(random, document);
    const counts = new Map<string, number>();
    for (let step = 0; step < 6000; step++) {
      const { reason } = host.receive(stream.next(), step);
      counts.set(reason, (counts.get(reason) ?? 0) + 1);
    }
    const all = [
      'ARP',
      'DEFAULT_DENY',
      'FLOW',
      'FRAGMENT',
      'FRAGMENT_UNKNOWN',
      'MALFORMED',
      'NEIGHBOR_DISCOVERY',
      'NOT_IP',
      'POLICY_ALLOW',
      'POLICY_DENY',
      'TOO_MANY_HEADERS',
      'TOO_MANY_TAGS',
      'TRUNCATED',
    ];
    expect([...counts.keys()].sort(), `seed ${String(seed)}`).toEqual(all);
  });
});

describe('built packets', () => {
  it('carry right checksums in every family and protocol', () => {
    const transports = [
      { kind: 'tcp', sourcePort: 1, destinationPort: 2 },
      { kind: 'udp', sourcePort: 3, destinationPort: 4 },
      { kind: 'icmp', type: 8, identifier: 5 },
    ] as const;
    for (const transport of transports) {
      const four = buildPacket({ source: client, destination: server, transport, payloadBytes: 33, optionWords: 2 });
      expect(checksum([four.subarray(14, 42)])).toBe(0);
      const protocol = four[23] ?? 0;
      const length = four.length - 42;
      const pseudo = protocol === 1 ? [] : [four.slice(26, 34), Uint8Array.of(0, protocol, 0, length)];
      expect(checksum([...pseudo, four.subarray(42)]), transport.kind).toBe(0);
      const six = buildPacket({ source: '2001:db8::1', destination: '2001:db8::2', transport, payloadBytes: 33 });
      expect(checksum([six.slice(22, 54), Uint8Array.of(0, six.length - 54, 0, six[20] ?? 0), six.subarray(54)]), transport.kind).toBe(0);
    }
  });
});

const fixtures = readPacketFixtures();
const links = { v0: { ifindex: 3, address: '02:00:00:00:0a:01' }, w0: { ifindex: 5, address: '02:00:00:00:0b:01' } };

describe('the reference model and the packet fixtures', () => {
  it.each(fixtures.cases.filter(({ expected }) => !notModelled.has(expected.reason)))(
    '$name',
    ({ policy: name, before, packet, expected }) => {
      const around = surroundingsFor((link) => links[link === 'v0' ? 'v0' : 'w0']);
      const host = new ReferenceHost(fixtures.policies[name], { ...around, lanes: 1 });
      for (const [position, hex] of before.entries()) host.process(Buffer.from(hex, 'hex'), position);
      const { mapping, output, ...rest } = host.process(Buffer.from(packet, 'hex'), before.length);
      const seen = { ...rest, mapping: mapping ?? null, output: Buffer.from(output).toString('hex') };
      expect(seen).toEqual({ ...expected, output: expected.output === 'same' ? packet : expected.output });
    },
  );
});
