import { describe, expect, it } from 'vitest';
import { buildPacket, checksum, parseHex } from './packet-builder.ts';
import type { PacketForm } from './packet-builder.ts';
import { tupleOf } from './packet-reader.ts';

const v4 = { source: '198.18.1.10', destination: '198.19.1.10' };
const v6 = { source: '2001:db8:1::10', destination: '2001:db8:2::10' };
const forms: readonly PacketForm[] = [v4, v6].flatMap((pair) => [
  { ...pair, protocol: 'tcp' as const, destinationPort: 443, tcpFlags: 'syn' as const },
  { ...pair, protocol: 'udp' as const, destinationPort: 53, sourcePort: 5353, vlan: 120 },
  { ...pair, protocol: 'icmp' as const },
]);

/** Sum over the pseudo header and the segment as received: 0 when the checksum in it is right. */
const verify = (packet: Uint8Array, isTagged: boolean): number[] => {
  const at = isTagged ? 18 : 14;
  if ((packet[at] ?? 0) >>> 4 === 4) {
    const segment = packet.subarray(at + 20);
    const protocol = packet[at + 9] ?? 0;
    const pseudo = protocol === 1 ? [] : [...packet.subarray(at + 12, at + 20), 0, protocol, segment.length >> 8, segment.length & 255];
    return [checksum(packet.subarray(at, at + 20)), checksum([...pseudo, ...segment])];
  }
  const segment = packet.subarray(at + 40);
  return [
    checksum([
      ...packet.subarray(at + 8, at + 40),
      0,
      0,
      segment.length >> 8,
      segment.length & 255,
      0,
      0,
      0,
      packet[at + 6] ?? 0,
      ...segment,
    ]),
  ];
};

describe('a packet from the form', () => {
  it.each(forms)('has right checksums and reads back: %j', (form) => {
    const packet = buildPacket(form);
    expect(verify(packet, form.vlan !== undefined).every((sum) => sum === 0)).toBe(true);
    const isIpv6 = form.source.includes(':');
    expect(tupleOf(packet)).toMatchObject({
      protocol: { tcp: 6, udp: 17, icmp: isIpv6 ? 58 : 1 }[form.protocol],
      ...(form.destinationPort === undefined ? {} : { destinationPort: form.destinationPort }),
    });
  });

  it('has the very bytes another implementation computes', () => {
    expect(
      Buffer.from(buildPacket({ protocol: 'tcp', source: '198.18.99.1', destination: '198.18.99.2', destinationPort: 80 })).toString('hex'),
    ).toBe('020000000001020000000002080045000028000140004006e8a6c6126301c6126302c000005000000001000000005002ffff9d680000');
  });

  it('is refused when addresses and ports do not fit together', () => {
    const code = (form: PacketForm): unknown => {
      try {
        return buildPacket(form);
      } catch (error) {
        return (error as { code: unknown }).code;
      }
    };
    expect([
      code({ protocol: 'tcp', source: '198.18.1.10', destination: '2001:db8::1', destinationPort: 1 }),
      code({ protocol: 'tcp', ...v4 }),
      code({ protocol: 'icmp', ...v4, destinationPort: 1 }),
      code({ protocol: 'udp', source: 'edge-1', destination: '198.18.1.1', destinationPort: 1 }),
    ]).toEqual(Array(4).fill('PACKET_INVALID'));
  });
});

describe('a packet in hex', () => {
  it('takes blanks and colons, and refuses odd, foreign, short and long input', () => {
    expect([...parseHex(`02:00 ${'00'.repeat(12)}`)]).toHaveLength(14);
    for (const text of ['0', 'zz'.repeat(14), '00'.repeat(13), '00'.repeat(1515)])
      expect(() => parseHex(text)).toThrow(expect.objectContaining({ code: 'PACKET_INVALID' }));
  });

  it('is not judged by policy when it is no first packet of a flow', () => {
    const frame = (...tail: number[]): Uint8Array => Uint8Array.from([...Array<number>(12).fill(0), ...tail]);
    const syn = buildPacket({ protocol: 'tcp', ...v4, destinationPort: 80 });
    const laterFragment = syn.slice();
    laterFragment[20] = 0x20;
    laterFragment[21] = 0x10;
    const solicitation = buildPacket({ protocol: 'icmp', ...v6 });
    solicitation[54] = 135;
    const tagged = frame(0x88, 0xa8, 0, 1, 0x81, 0, 0, 2, 0x81, 0, 0, 3, 8, 0);
    expect([frame(0x08, 0x06, 0, 1), laterFragment, solicitation, tagged, syn.slice(0, 30)].map(tupleOf)).toEqual(Array(5).fill(undefined));
  });

  it('is read behind options, extension headers and a first fragment', () => {
    const options = buildPacket({ protocol: 'udp', ...v4, destinationPort: 53 });
    const withOptions = Uint8Array.from([
      ...options.subarray(0, 14),
      0x46,
      ...options.subarray(15, 34),
      1,
      1,
      1,
      1,
      ...options.subarray(34),
    ]);
    expect(tupleOf(withOptions)).toMatchObject({ protocol: 17, destinationPort: 53 });
    const plain = buildPacket({ protocol: 'tcp', ...v6, destinationPort: 443 });
    const extended = Uint8Array.from([
      ...plain.subarray(0, 20),
      60,
      ...plain.subarray(21, 54),
      44,
      0,
      1,
      4,
      0,
      0,
      0,
      0,
      6,
      0,
      0,
      1,
      0,
      0,
      0,
      9,
      ...plain.subarray(54),
    ]);
    expect(tupleOf(extended)).toMatchObject({ protocol: 6, destinationPort: 443 });
  });
});
