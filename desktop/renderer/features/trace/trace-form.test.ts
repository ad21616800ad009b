import { describe, expect, it } from 'vitest';
import { traceFlowLink } from '../../client/links.ts';
import { testFlows, testHosts } from '../../client/test-fleet.ts';
import { bytesOf, packetFields } from './packet-fields.ts';
import { faultsOf, formOfSearch, hexDigits, inputOf, isFilled } from './trace-form.ts';

const now = 1_700_000_000_000;
const [host] = testHosts(now);

describe('the tracer form', () => {
  it('is filled by the link of a flow and asks for that very packet', () => {
    const flow = host === undefined ? undefined : testFlows(host, now, undefined).flows[0];
    if (host === undefined || flow === undefined) throw new Error('the test fleet is empty');
    const form = formOfSearch(new URLSearchParams(traceFlowLink(host.hostId, flow).split('?')[1]));
    expect([isFilled(form), faultsOf(form)]).toEqual([true, {}]);
    expect(inputOf(form, undefined)).toEqual({
      hostId: host.hostId,
      interface: 'eth0',
      packet: {
        protocol: 'tcp',
        source: '198.18.31.17',
        destination: '198.18.9.12',
        sourcePort: 41_812,
        destinationPort: 5432,
        tcpFlags: 'syn',
      },
    });
  });

  it('names what is missing or out of range', () => {
    const faults = faultsOf({ ...formOfSearch(new URLSearchParams()), sourcePort: '70000', vlan: '4095' });
    expect(Object.keys(faults).sort()).toEqual(['destination', 'destinationPort', 'hostId', 'interface', 'source', 'sourcePort', 'vlan']);
  });

  it('sends no ports and no flags with icmp', () => {
    const form = formOfSearch(
      new URLSearchParams('host=h&interface=eth0&protocol=icmp&source=198.18.0.1&destination=198.18.0.2&destinationPort=9'),
    );
    expect(inputOf(form, 'text')).toEqual({
      hostId: 'h',
      interface: 'eth0',
      draft: 'text',
      packet: { protocol: 'icmp', source: '198.18.0.1', destination: '198.18.0.2' },
    });
  });

  it('reads hex with blanks, colons and the offsets of a dump', () => {
    expect(hexDigits('0000  02 00 00\n0010  08 00 45')).toBe('020000080045');
    expect(hexDigits('0x02:00:aa')).toBe('0200aa');
  });
});

describe('packet fields', () => {
  it('finds addresses and ports behind a VLAN tag and IPv4 options', () => {
    const bytes = bytesOf(
      `020000000001 02000000000a 8100 0078 0800 46000038 00000000 40060000 c6121f11 c6120728 01010101 a354 01bb ${'00'.repeat(16)}`,
    );
    const fields = Object.fromEntries(packetFields(bytes).map(({ name, first, end }) => [name, [first, end]]));
    expect(fields).toEqual({
      Ethernet: [0, 12],
      VLAN: [14, 16],
      protocol: [27, 28],
      source: [30, 34],
      destination: [34, 38],
      'source port': [42, 44],
      'destination port': [44, 46],
    });
  });

  it('leaves out what a truncated packet does not have', () => {
    expect(packetFields(bytesOf('020000000001 02000000000a 0800 4500')).map(({ name }) => name)).toEqual(['Ethernet']);
  });
});
