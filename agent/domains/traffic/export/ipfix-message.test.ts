import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { IpfixReader } from '../../../../test/support/ipfix-reader.ts';
import type { ExportedFlow } from './exported-flow.ts';
import { createIpfixMessages, ipfixBytesMax } from './ipfix-message.ts';
import { bootMs, testFlow } from './test-records.ts';
import type { RecordFields } from './test-records.ts';

const packer = (more: { readonly templateMs?: number } = {}) => {
  let nowMs = 0;
  const messages = createIpfixMessages({
    observationDomain: 7,
    templateMs: 60_000,
    nowMs: () => bootMs + nowMs,
    monotonicMs: () => nowMs,
    ...more,
  });
  const passMs = (milliseconds: number): void => void (nowMs += milliseconds);
  const one = (flow: ExportedFlow): Buffer => {
    messages.add(flow);
    return messages.flush() ?? Buffer.alloc(0);
  };
  return { messages, passMs, one };
};

/** A template: number, fields, then element and length, with the enterprise where the first bit is set. */
const templateHex = (id: string, addresses: string, translation = ''): string =>
  [
    id,
    translation === '' ? '0012' : '0016',
    '00980008 00990008 00010008 00020008',
    '80010008 00007279 80020008 00007279',
    addresses,
    '00070002 000b0002 000a0004 00060002',
    '00040001 00880001 00590001 00e90001',
    '80010001 00007ed9',
    translation,
    '8002ffff 00007ed9',
  ].join('');
/** Of plain flows by family, then of translated ones. */
const templatesHex = [
  templateHex('0100', '00080004 000c0004'),
  templateHex('0101', '001b0010 001c0010'),
  templateHex('0102', '00080004 000c0004', '00e10004 00e20004 00e30002 00e40002'),
  templateHex('0103', '001b0010 001c0010', '01190010 011a0010 00e30002 00e40002'),
].join('');
const templateIds = [256, 257, 258, 259];

describe('an IPFIX message', () => {
  it('is these bytes', () => {
    const { one } = packer();
    const flow = testFlow({
      kind: 'start',
      timeMs: 2000,
      tcpFlags: 2,
      packets: [3n, 2n],
      bytes: [180n, 2n ** 40n],
    });
    const expected = [
      // version, length 499, export time 2026-01-02T03:04:05Z, sequence, domain
      '000a 01f3 695735a5 00000000 00000007',
      // template set, 404 bytes
      `0002 0194 ${templatesHex}`,
      // one record of template 256, 79 bytes with the set's header: start, end, bytes, packets, and back
      '0100 004f',
      '0000019b7ca99070 0000019b7ca99458',
      '00000000000000b4 0000000000000003 0000010000000000 0000000000000002',
      // addresses, ports, interface, flags, protocol, end, status, event, reason, mapping "web"
      'c6120001 c6130001 9c40 01bb 00000002 0002 06 02 40 01 03 03 776562',
    ];
    expect(one(flow).toString('hex')).toBe(expected.join('').replaceAll(' ', ''));
  });

  it('has the ends after translation where there are any, in both families', () => {
    const reader = new IpfixReader();
    const { one } = packer();
    const rewritten = { source: '198.19.7.1', destination: '198.19.7.10', sourcePort: 33_000, destinationPort: 8443, flags: 3 };
    const ends = (fields: RecordFields, names: readonly string[]): readonly unknown[] => {
      const record = reader.read(one(testFlow(fields))).records[0];
      const addresses = names.map((name) => record?.[name]?.toString('hex'));
      return [record?.template.toString(), ...addresses, record?.['227']?.readUInt16BE(), record?.['228']?.readUInt16BE()];
    };
    expect(ends({ kind: 'start', rewritten }, ['12', '225', '226'])).toEqual(['258', 'c6130001', 'c6130701', 'c613070a', 33_000, 8443]);
    const v6 = {
      source: '2001:db8::1',
      destination: '2001:db8::2',
      rewritten: { ...rewritten, source: '2001:db8:7::1', destination: '2001:db8:7::10' },
    };
    const after = ['20010db8000700000000000000000001', '20010db8000700000000000000000010'];
    expect(ends({ kind: 'start', ...v6 }, ['281', '282'])).toEqual(['259', ...after, 33_000, 8443]);
    // An identifier is no port; and who keeps its addresses has no others.
    expect(ends({ kind: 'start', ...v6, protocol: 58 }, ['281', '282'])).toEqual(['259', ...after, 0, 0]);
    expect(ends({ kind: 'start', rewritten: { ...rewritten, flags: 8 }, backend: 1 }, ['225'])).toEqual([
      '256',
      undefined,
      undefined,
      undefined,
    ]);
  });

  it('has the templates first, then again when their time has come or something was lost', () => {
    const { messages, passMs, one } = packer();
    const reader = new IpfixReader();
    const templates = (): readonly number[] => reader.read(one(testFlow({ kind: 'start' }))).templates;
    expect(templates()).toEqual(templateIds);
    expect(templates()).toEqual([]);
    passMs(59_999);
    expect(templates()).toEqual([]);
    passMs(1);
    expect(templates()).toEqual(templateIds);
    messages.repeatTemplates();
    expect(templates()).toEqual(templateIds);
  });

  it('says how a flow ended, and whether it was let through', () => {
    const reader = new IpfixReader();
    const { one } = packer();
    const said = (flow: ExportedFlow): readonly number[] => {
      const record = reader.read(one(flow)).records[0];
      return ['136', '89', '233', '32473/1'].map((name) => record?.[name]?.readUInt8() ?? -1);
    };
    const end = { ...testFlow({ kind: 'end' }), kind: 'end' } as const;
    expect(said(testFlow({ kind: 'start' }))).toEqual([2, 64, 1, 3]);
    expect(said(testFlow({ kind: 'live' }, 'periodic'))).toEqual([2, 64, 5, 3]);
    expect(said({ ...end, tcpState: 'finished' })).toEqual([3, 64, 2, 3]);
    expect(said({ ...end, tcpState: 'idle' })).toEqual([1, 64, 2, 3]);
    expect(said(testFlow({ kind: 'deny', reason: 'DEFAULT_DENY' }, 'deny'))).toEqual([4, 129, 3, 10]);
    expect(said(testFlow({ kind: 'deny', reason: 'MALFORMED' }, 'deny'))).toEqual([4, 128, 3, 12]);
    expect(said(testFlow({ kind: 'rejudged', reason: 'POLICY_DENY' }, 'cut'))).toEqual([4, 129, 2, 9]);
  });

  it('has no ports where the protocol has none', () => {
    const { one } = packer();
    const [record] = new IpfixReader().read(
      one(testFlow({ kind: 'start', protocol: 58, source: '2001:db8::1', destination: '2001:db8::2' })),
    ).records;
    expect(record?.template.toString()).toBe('257');
    expect(record?.['27']?.toString('hex')).toBe('20010db8000000000000000000000001');
    expect([record?.['7']?.readUInt16BE(), record?.['11']?.readUInt16BE()]).toEqual([0, 0]);
  });

  it('cuts a name that no policy has', () => {
    const { one } = packer();
    const flow = { ...testFlow({ kind: 'start' }), mapping: 'x'.repeat(300) };
    expect(new IpfixReader().read(one(flow)).records[0]?.['32473/2']?.length).toBe(200);
  });

  it('never outgrows its size, loses no record, and counts the records before it', () => {
    const anyFlow = fc.record({
      isV6: fc.boolean(),
      isTranslated: fc.boolean(),
      mappingName: fc.string({ maxLength: 63 }),
      sourcePort: fc.integer({ min: 0, max: 65_535 }),
      packets: fc.tuple(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })),
    });
    fc.assert(
      fc.property(fc.array(anyFlow, { minLength: 1, maxLength: 80 }), (flows) => {
        const { messages } = packer();
        const made: Buffer[] = [];
        const keep = (message: Buffer | null): void => void (message === null || made.push(message));
        for (const { isV6, isTranslated, ...fields } of flows) {
          const ends = isV6 ? { source: '2001:db8::1', destination: '2001:db8::2' } : { source: '198.18.0.1', destination: '198.19.0.1' };
          const rewritten = { rewritten: { ...ends, sourcePort: 1, destinationPort: 2, flags: 2 } };
          keep(messages.add(testFlow({ kind: 'start', protocol: 17, ...ends, ...fields, ...(isTranslated ? rewritten : {}) })));
        }
        keep(messages.flush());
        expect(messages.flush()).toBeNull();
        const reader = new IpfixReader();
        let before = 0;
        const read = made.flatMap((message) => {
          expect(message.length).toBeLessThanOrEqual(ipfixBytesMax);
          const { sequence, records, domain } = reader.read(message);
          expect([sequence, domain]).toEqual([before, 7]);
          before += records.length;
          return records;
        });
        expect(
          read.map((record) => ({
            isV6: record['27'] !== undefined,
            isTranslated: record['228'] !== undefined,
            mappingName: record['32473/2']?.toString(),
            sourcePort: record['7']?.readUInt16BE(),
            packets: [record['2']?.readBigUInt64BE(), record['29305/2']?.readBigUInt64BE()],
          })),
        ).toEqual(flows.map((flow) => ({ ...flow, mappingName: Buffer.from(flow.mappingName).toString() })));
      }),
      { numRuns: 60 },
    );
  });
});
