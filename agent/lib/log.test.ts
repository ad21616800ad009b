import { createSocket } from 'node:dgram';
import { describe, expect, it } from 'vitest';
import { NestError } from '../../proto/model/error.ts';
import { createLogger } from './log.ts';
import type { LogRecord } from './log.ts';
import { formatJson, formatText } from './log-format.ts';
import { createSyslogSink, syslogDatagram } from './syslog-sink.ts';

const record: LogRecord = {
  timeMs: Date.UTC(2026, 0, 2, 3, 4, 5, 678),
  level: 'warn',
  message: 'connection refused',
  fields: { source: '198.18.0.9', count: 3n },
};
const syslog = { address: '127.0.0.1', port: 514, hostName: 'edge-1', appName: 'nest-agent', processId: 42 };

describe('log', () => {
  it('drops what is below the level and adds inherited fields', () => {
    const records: LogRecord[] = [];
    const logger = createLogger({
      level: 'info',
      sinks: [{ write: (written) => records.push(written), close: () => undefined }],
      nowMs: () => 5,
    });
    logger.with({ part: 'server' }).info('started', { port: 1 });
    logger.debug('hidden');
    expect(records).toEqual([{ timeMs: 5, level: 'info', message: 'started', fields: { part: 'server', port: 1 } }]);
  });

  it('writes one line of JSON, and keeps an attacker from adding another', () => {
    expect(formatJson(record)).toBe(
      '{"time":"2026-01-02T03:04:05.678Z","level":"warn","message":"connection refused","source":"198.18.0.9","count":"3"}',
    );
    const hostile = { ...record, fields: { source: 'a\n{"level":"error"}' } };
    expect(formatJson(hostile).split('\n')).toHaveLength(1);
    expect(formatText(hostile)).toBe('2026-01-02T03:04:05.678Z warn  connection refused source="a\\n{\\"level\\":\\"error\\"}"');
  });

  it('shows the code and the causes of an expected error, the stack of a defect', () => {
    const error = new NestError('STATE_FAILED', 'The disk is full.', { cause: new Error('ENOSPC') });
    const shown = JSON.parse(formatJson({ ...record, fields: { error } })) as { error: Record<string, unknown> };
    expect(shown.error).toMatchObject({
      code: 'STATE_FAILED',
      message: 'The disk is full.',
      cause: { message: 'ENOSPC', stack: expect.stringContaining('log.test.ts') as string },
    });
    expect(shown.error).not.toHaveProperty('stack');
  });

  it('survives a field that refers to itself', () => {
    const loop: Record<string, unknown> = {};
    loop['self'] = loop;
    expect(formatText({ ...record, fields: { loop } })).toContain('loop="[cannot be shown]"');
    expect(formatJson({ ...record, fields: { loop } })).toBe('"[cannot be shown]"');
  });
});

describe('syslog', () => {
  it('follows RFC 5424: facility daemon, severity, version 1, nil for what is absent', () => {
    expect(syslogDatagram(record, syslog).toString()).toBe(`<28>1 2026-01-02T03:04:05.678Z edge-1 nest-agent 42 - - ${formatJson(record)}`);
    expect(syslogDatagram(record, { ...syslog, hostName: 'Zürich\nedge' }).toString()).toContain(' Zrichedge nest-agent ');
  });

  it('cuts at 2048 bytes without halving a character', () => {
    for (const pad of ['', 'a', 'aa', 'aaa']) {
      const datagram = syslogDatagram({ ...record, message: pad + '€'.repeat(2000) }, syslog);
      expect(datagram.length).toBeLessThanOrEqual(2048);
      expect(datagram.length).toBeGreaterThan(2044);
      expect(() => new TextDecoder('utf-8', { fatal: true }).decode(datagram)).not.toThrow();
    }
  });

  it('reaches a receiver over UDP, and closing twice or writing after is harmless', async () => {
    const receiver = createSocket('udp4');
    await new Promise<void>((resolve) => receiver.bind(0, '127.0.0.1', resolve));
    const received = new Promise<string>((resolve) => receiver.once('message', (message) => resolve(message.toString())));
    const sink = createSyslogSink({ ...syslog, port: receiver.address().port });
    sink.write(record);
    expect(await received).toContain('connection refused');
    sink.close();
    sink.close();
    sink.write(record);
    receiver.close();
  });
});
