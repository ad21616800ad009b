import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseSyslog } from '../../test/support/syslog-parser.ts';
import { formatSyslog, syslogFacilities, syslogSeverities, valueCharactersMax } from './syslog-message.ts';
import type { SyslogFacility, SyslogMessage, SyslogSeverity, SyslogSource } from './syslog-message.ts';

const source: SyslogSource = { facility: 'local0', hostName: 'edge-1', appName: 'nest-agent', processId: 42 };
const message: SyslogMessage = {
  severity: 'notice',
  timeMs: Date.UTC(2026, 0, 2, 3, 4, 5, 678),
  messageId: 'flow-deny',
  data: {
    id: 'nestflow@32473',
    parameters: [
      ['mapping', 'a"b\\c]d'],
      ['packets', 2n ** 64n - 1n],
    ],
  },
  text: 'tcp denied',
};

describe('an RFC 5424 message', () => {
  it('is these bytes', () => {
    expect(formatSyslog(source, message, 1400)?.toString('latin1')).toBe(
      '<133>1 2026-01-02T03:04:05.678Z edge-1 nest-agent 42 flow-deny [nestflow@32473 mapping="a\\"b\\\\c\\]d" packets="18446744073709551615"] tcp denied',
    );
    expect(formatSyslog(source, { ...message, data: null, messageId: '', text: '' }, 1400)?.toString()).toBe(
      '<133>1 2026-01-02T03:04:05.678Z edge-1 nest-agent 42 - -',
    );
  });

  it('marks text beyond ASCII as UTF-8 and keeps one message one line', () => {
    const datagram = formatSyslog(source, { ...message, data: { id: 'x@1', parameters: [['key', 'a\n\0b\u0085']] }, text: 'größer' }, 1400);
    expect(datagram?.includes(Buffer.from([0x20, 0xef, 0xbb, 0xbf, 0x67]))).toBe(true);
    expect(parseSyslog(datagram ?? Buffer.alloc(0))).toMatchObject({ elements: { 'x@1': { key: 'a#012#000b#205' } }, text: 'größer' });
  });

  it('has no time rather than a wrong one', () => {
    for (const timeMs of [Number.NaN, 1e20, Date.UTC(10_000, 0)]) {
      expect(parseSyslog(formatSyslog(source, { ...message, timeMs }, 1400) ?? Buffer.alloc(0)).timeMs).toBeNull();
    }
  });

  it('is none when the structured data alone does not fit', () => {
    const header = formatSyslog(source, { ...message, text: '' }, 1400)?.length ?? 0;
    expect(formatSyslog(source, message, header - 1)).toBeNull();
    expect(formatSyslog(source, message, header)?.length).toBe(header);
  });

  it('comes back whole from a strict parser, whatever is in it, and is never too long', () => {
    const value = fc.oneof(fc.string({ unit: 'binary', maxLength: 300 }), fc.string({ maxLength: 40 }), fc.bigInt());
    const parameters = fc.uniqueArray(fc.tuple(fc.stringMatching(/^[a-zA-Z]{1,12}$/), value), { maxLength: 4, selector: ([key]) => key });
    const anything = fc.record({
      facility: fc.constantFrom(...(Object.keys(syslogFacilities) as SyslogFacility[])),
      severity: fc.constantFrom(...(Object.keys(syslogSeverities) as SyslogSeverity[])),
      hostName: fc.string({ unit: 'binary', maxLength: 300 }),
      text: fc.string({ unit: 'binary', maxLength: 800 }),
      parameters,
      bytesMax: fc.integer({ min: 400, max: 3000 }),
    });
    fc.assert(
      fc.property(anything, ({ facility, severity, hostName, text, parameters, bytesMax }) => {
        const data = { id: 'nestflow@32473', parameters };
        const datagram = formatSyslog({ ...source, facility, hostName }, { ...message, severity, data, text }, bytesMax);
        if (datagram === null) {
          expect(parameters.length).toBeGreaterThan(0);
          return;
        }
        expect(datagram.length).toBeLessThanOrEqual(bytesMax);
        const parsed = parseSyslog(datagram);
        expect([parsed.facility, parsed.severity]).toEqual([syslogFacilities[facility], syslogSeverities[severity]]);
        const whole = text.toWellFormed();
        expect(whole.startsWith(parsed.text)).toBe(true);
        if (datagram.length < bytesMax - 3) expect(parsed.text).toBe(whole);
        const controls = (given: string): string =>
          given.replaceAll(/\p{Cc}/gu, (control) => `#${control.charCodeAt(0).toString(8).padStart(3, '0')}`);
        for (const [key, given] of parameters) {
          const cut = String(given).slice(0, valueCharactersMax).toWellFormed();
          expect(parsed.elements['nestflow@32473']?.[key]).toBe(controls(cut));
        }
      }),
    );
  });
});
