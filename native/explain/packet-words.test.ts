import { describe, expect, it } from 'vitest';
import { traceParse } from './packet-trace.ts';
import { packetWords } from './packet-words.ts';

const bytes = (...parts: readonly (string | readonly number[])[]): Buffer =>
  Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part.replaceAll(' ', ''), 'hex') : Buffer.from(part))));

const macs = '020000000001 020000000002';
const ipv4 = (protocol: string): string => `45 00 0034 0000 4000 40 ${protocol} 0000 c612011f c613010a`;
const ipv6 = (next: string): string => `60000000 0020 ${next} 40 20010db8000000000000000000000001 20010db8000000000000000000000002`;
const tcp = 'a354 01bb 00000000 00000000 50 02 0000 0000 0000';

const words = (packet: Buffer, trace: Partial<Parameters<typeof packetWords>[1]>): unknown => {
  const { layers, source, destination } = packetWords(packet, { family: 4, vlanTags: 0, l4: 1, l4Offset: 34, parse: 0, ...trace });
  return [layers.join(', '), source, destination];
};

describe('packet words', () => {
  it('name VLAN, options and TCP flags', () => {
    const packet = bytes(macs, '8100 0078 0800', ipv4('06'), tcp);
    expect(words(packet, { vlanTags: 1, l4Offset: 38 })).toEqual([
      'Ethernet, 802.1Q 120, IPv4 (no options), TCP SYN',
      '198.18.1.31:41812',
      '198.19.1.10:443',
    ]);
  });

  it('name both tags of QinQ', () => {
    const packet = bytes(macs, '88a8 0064 8100 0078 0800', ipv4('11'), 'a354 0035 0008 0000');
    expect(words(packet, { vlanTags: 2, l4: 2, l4Offset: 42 })).toEqual([
      'Ethernet, 802.1ad 100, 802.1Q 120, IPv4 (no options), UDP',
      '198.18.1.31:41812',
      '198.19.1.10:53',
    ]);
  });

  it('find the upper protocol behind IPv6 extension headers', () => {
    const packet = bytes(
      macs,
      '86dd',
      ipv6('00'),
      '3c 00 000000000000',
      '06 01',
      Array.from({ length: 14 }, () => 0),
      tcp,
    );
    expect(words(packet, { family: 6, l4Offset: 78, parse: traceParse.ipv6Extensions })).toEqual([
      'Ethernet, IPv6 (extension headers), TCP SYN',
      '[2001:db8::1]:41812',
      '[2001:db8::2]:443',
    ]);
  });

  it('name ICMP by type, without ports', () => {
    const packet = bytes(macs, '0800', ipv4('01'), '08 00 0000 0001 0001');
    expect(words(packet, { l4: 3 })).toEqual(['Ethernet, IPv4 (no options), ICMP type 8', '198.18.1.31', '198.19.1.10']);
  });

  it('name what is not IP', () => {
    expect(
      words(
        bytes(
          macs,
          '0806',
          Array.from({ length: 28 }, () => 0),
        ),
        { family: 0, l4: 0, l4Offset: 0 },
      ),
    ).toEqual(['Ethernet, ARP', '', '']);
    expect(words(bytes(macs, '1234'), { family: 0, l4: 0, l4Offset: 0 })).toEqual(['Ethernet, type 0x1234', '', '']);
  });

  it('leave out what lies behind the end, wherever the packet is cut', () => {
    const packet = bytes(macs, '86dd', ipv6('2c'), '06 00 0000 00000001', tcp);
    for (let length = 14; length <= packet.length; length++) {
      const { layers } = packetWords(packet.subarray(0, length), {
        family: 6,
        vlanTags: 0,
        l4: 1,
        l4Offset: 62,
        parse: traceParse.ipv6Extensions,
      });
      expect(layers[0]).toBe('Ethernet');
    }
  });
});
