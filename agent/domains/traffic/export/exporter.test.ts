import { createSocket } from 'node:dgram';
import type { Socket } from 'node:dgram';
import { setImmediate } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { IpfixReader } from '../../../../test/support/ipfix-reader.ts';
import { parseSyslog } from '../../../../test/support/syslog-parser.ts';
import type { ParsedSyslog } from '../../../../test/support/syslog-parser.ts';
import { createLogger, silentLogger, teeLogger } from '../../../lib/log.ts';
import { createFakeHost, db, denyDb, policy, web } from '../fake-host.ts';
import type { FakeHost } from '../fake-host.ts';
import { createExporter } from './exporter.ts';
import type { ExportConfig, Exporter } from './exporter.ts';
import { testNames, testRow } from './test-records.ts';

const signal = new AbortController().signal;
const allOn = { authentication: true, netflow: true, debug: true };
const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

const listen = async (): Promise<{ readonly port: number; readonly datagrams: Buffer[] }> => {
  const socket: Socket = createSocket({ type: 'udp4', recvBufferSize: 4 << 20 });
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
  closing.push(() => socket.close());
  const datagrams: Buffer[] = [];
  socket.on('message', (message) => datagrams.push(message));
  return { port: socket.address().port, datagrams };
};

interface Rig {
  readonly host: FakeHost;
  readonly exporter: Exporter;
  /** What has come by syslog so far, once so many have. */
  readonly syslog: (count: number) => Promise<readonly ParsedSyslog[]>;
  readonly ipfix: Buffer[];
}

const rig = async (config: Partial<ExportConfig> = {}): Promise<Rig> => {
  const host = createFakeHost();
  /** With the first dump behind it, which only notes what is there. */
  const opened: FakeHost['open'] = async (more) => {
    const traffic = await host.open(more);
    await host.advance(100);
    return traffic;
  };
  const [syslog, ipfix] = [await listen(), await listen()];
  const exporter = createExporter({
    config: {
      cluster: 'edge',
      syslog: { host: '127.0.0.1', port: syslog.port, facility: 'local3' },
      ipfix: { host: '127.0.0.1', port: ipfix.port, observationDomain: 9, templateSeconds: 60 },
      log: allOn,
      periodicSeconds: 60,
      ...config,
    },
    hostName: 'edge-1',
    clock: host.clock,
    log: silentLogger,
  });
  closing.push(
    () => host.close(),
    () => exporter.close(),
  );
  const received = async (count: number): Promise<readonly ParsedSyslog[]> => {
    for (let turn = 0; turn < 2000 && syslog.datagrams.length < count; turn++) {
      host.clock.advance(1);
      await setImmediate();
    }
    return syslog.datagrams.map((datagram) => parseSyslog(datagram));
  };
  return { host: { ...host, open: opened }, exporter, syslog: received, ipfix: ipfix.datagrams };
};

const flowOf = (message: ParsedSyslog | undefined): Readonly<Record<string, string>> => message?.elements['nestflow@32473'] ?? {};
const brief = (message: ParsedSyslog): object => {
  const { event, verdict, reason, mapping, packets, newPackets, newReversePackets } = flowOf(message);
  return { event, verdict, reason, mapping, packets, newPackets, newReversePackets };
};

describe('the exporter', () => {
  it('tells the life of a flow: start, periodic while it carries something, end, with what is new in each', async () => {
    const { host, exporter, syslog } = await rig();
    const traffic = await host.open({ exporter });
    await traffic.activate(policy([denyDb, { name: 'allow-web', action: 'allow', ports: ['80'] }]), signal);
    host.kernel.send(web);
    await host.advance(1000);
    for (let count = 0; count < 4; count++) host.kernel.send(web);
    await host.advance(60_000);
    host.kernel.send(web);
    host.kernel.end(web);
    await host.advance(1000);
    const messages = await syslog(3);
    const allowed = { verdict: 'allow', reason: 'POLICY_ALLOW', mapping: 'allow-web', newReversePackets: '0' };
    expect(messages.map(brief)).toEqual([
      { ...allowed, event: 'start', packets: '1', newPackets: '1' },
      { ...allowed, event: 'periodic', packets: '5', newPackets: '4' },
      { ...allowed, event: 'end', packets: '6', newPackets: '1' },
    ]);
    expect(messages[0]).toMatchObject({ facility: 19, severity: 6, hostName: 'edge-1', appName: 'nest-agent', messageId: 'flow-start' });
    expect(flowOf(messages[0])).toMatchObject({
      cluster: 'edge',
      interface: 'lan0',
      family: '4',
      protocol: 'tcp',
      source: '198.18.1.10',
      sourcePort: '40000',
      destination: '198.19.1.10',
      destinationPort: '80',
      tcpState: 'opening',
    });
    expect(messages.at(-1)?.text).toBe('tcp 198.18.1.10:40000 > 198.19.1.10:80 ended: POLICY_ALLOW by allow-web');
  });

  it('tells what was denied, and which flow a new policy cut', async () => {
    const { host, exporter, syslog } = await rig();
    const traffic = await host.open({ exporter });
    await traffic.activate(policy([denyDb]), signal);
    host.kernel.send(db);
    host.kernel.send(web);
    await host.advance(200);
    await traffic.activate(policy([{ name: 'deny-web', action: 'deny', ports: ['80'] }]), signal);
    host.kernel.send(web);
    await host.advance(200);
    expect((await syslog(3)).map(brief)).toEqual([
      { event: 'deny', verdict: 'deny', reason: 'POLICY_DENY', mapping: 'deny-db', packets: '1', newPackets: '1', newReversePackets: '0' },
      { event: 'start', verdict: 'allow', reason: 'DEFAULT_ALLOW', mapping: '', packets: '1', newPackets: '1', newReversePackets: '0' },
      { event: 'cut', verdict: 'deny', reason: 'POLICY_DENY', mapping: 'deny-web', packets: '1', newPackets: '0', newReversePackets: '0' },
    ]);
  });

  it('batches the same records for IPFIX, and the sums agree', async () => {
    const { host, exporter, ipfix } = await rig();
    const traffic = await host.open({ exporter });
    for (let port = 0; port < 100; port++) host.kernel.send({ ...web, sourcePort: 1000 + port, bytes: 100 });
    await host.advance(300);
    for (let port = 0; port < 100; port++) host.kernel.send({ ...web, sourcePort: 1000 + port, bytes: 50 });
    for (let port = 0; port < 100; port++) host.kernel.end({ ...web, sourcePort: 1000 + port });
    await host.advance(300);
    await exporter.close();
    await exporter.close();
    for (let turn = 0; turn < 50; turn++) await setImmediate();
    const reader = new IpfixReader();
    const messages = ipfix.map((message) => reader.read(message));
    const records = messages.flatMap((message) => message.records);
    expect(messages.length).toBeLessThan(25);
    expect(records).toHaveLength(200);
    expect(records.reduce((sum, record) => sum + (record['1']?.readBigUInt64BE() ?? 0n), 0n)).toBe(15_000n);
    expect(messages[0]).toMatchObject({ domain: 9, sequence: 0, templates: [256, 257, 258, 259] });
    expect(exporter.counters().targets.map(({ target, records }) => ({ target, records }))).toEqual([
      {
        target: 'syslog',
        records: [
          { kind: 'start', count: 100 },
          { kind: 'end', count: 100 },
        ],
      },
      {
        target: 'ipfix',
        records: [
          { kind: 'start', count: 100 },
          { kind: 'end', count: 100 },
        ],
      },
    ]);
    await traffic.close();
  });

  it('does not count again what the agent before it has told', async () => {
    const first = await rig();
    const { host } = first;
    const before = await host.open({ exporter: first.exporter });
    for (let count = 0; count < 10; count++) host.kernel.send(web);
    await host.advance(5000);
    await before.close();
    const second = createExporter({
      config: { syslog: { host: '127.0.0.1', port: (await listen()).port, facility: 'user' }, log: allOn, periodicSeconds: 10 },
      hostName: 'edge-1',
      clock: host.clock,
      log: silentLogger,
    });
    closing.push(() => second.close());
    await host.open({ exporter: second });
    await host.advance(20_000);
    expect(second.counters().targets[0]?.records).toEqual([]);
    host.kernel.send(web);
    await host.advance(10_000);
    expect(second.counters().targets[0]?.records).toEqual([{ kind: 'periodic', count: 1 }]);
  });

  it('says when a dump did not hold all flows or could not be read, and goes on', async () => {
    const { host, exporter } = await rig();
    const engine = {
      answers: [
        { rows: Buffer.alloc(0), count: 0, truncated: true },
        new Error('EIO'),
        { rows: Buffer.alloc(0), count: 0, truncated: false },
      ],
      asked: 0,
    };
    const flows = async () => {
      const answer = engine.answers[engine.asked++];
      if (answer === undefined || answer instanceof Error) throw answer ?? new Error('asked too often');
      return answer;
    };
    const names = { wallTimeMs: () => 0, mappingName: () => '', revisionOf: () => 0, interfaceName: () => '', image: () => null };
    exporter.attach({ flows } as never, names);
    await host.advance(125_000);
    expect(engine.asked).toBe(3);
    expect(exporter.counters()).toMatchObject({ dumpsTruncated: 1, dumpsMissed: 1, flowsForgotten: 0 });
    exporter.detach();
    await host.advance(125_000);
    expect(engine.asked).toBe(3);
  });

  it.each([
    [{ authentication: true, netflow: false, debug: false }, ['auth-refused']],
    [{ authentication: false, netflow: true, debug: false }, ['flow-start']],
    [{ authentication: false, netflow: false, debug: true }, ['diagnostic', 'health-raised', 'health-ended']],
    [{ authentication: false, netflow: false, debug: false }, []],
  ])('sends only what is switched on: %o', async (log, expected) => {
    const { host, exporter, syslog, ipfix } = await rig({ log });
    const logger = teeLogger(createLogger({ level: 'error', sinks: [], nowMs: () => 0 }), exporter.diagnostics, {
      nowMs: () => host.clock.nowMs(),
      fields: { part: 'traffic' },
    });
    exporter.authentication({
      kind: 'connection',
      isAccepted: false,
      source: '198.18.0.66',
      subject: '',
      action: 'fleet',
      code: 'CERTIFICATE_INVALID',
    });
    logger.debug('policy current', { generation: 'ab' });
    const condition = { code: 'DISK_FULL', title: 'Disk full', message: 'Free some.', severity: 'critical' } as const;
    for (const conditions of [[condition], [condition], []]) exporter.health(conditions);
    await host.open({ exporter });
    host.kernel.send(web);
    await host.advance(2000);
    const messages = await syslog(expected.length);
    expect(messages.map(({ messageId }) => messageId)).toEqual(expected);
    for (let turn = 0; turn < 20; turn++) await setImmediate();
    expect(ipfix.length).toBe(log.netflow ? 1 : 0);
    const refused = messages.find(({ messageId }) => messageId === 'auth-refused');
    if (refused !== undefined) {
      expect(refused).toMatchObject({ severity: 4, text: 'connection refused from 198.18.0.66: CERTIFICATE_INVALID' });
      expect(refused.elements['nestauth@32473']).toMatchObject({ cluster: 'edge', outcome: 'refused', source: '198.18.0.66' });
    }
    const diagnostic = messages.find(({ messageId }) => messageId === 'diagnostic');
    if (diagnostic !== undefined)
      expect(JSON.parse(diagnostic.text)).toMatchObject({ level: 'debug', message: 'policy current', part: 'traffic', generation: 'ab' });
  });

  it('tells what waits when the data path goes, and what cannot be told keeps nothing back', async () => {
    const { exporter, syslog } = await rig();
    let isOpen = true;
    const wallTimeMs = (timeNs: bigint): number => {
      if (!isOpen) throw new Error('the engine is closed');
      return testNames.wallTimeMs(timeNs);
    };
    const mappingName = (_sequence: number, mapping: number): string => {
      if (mapping === 7) throw new Error('no such mapping');
      return 'web';
    };
    const flows = async () => ({ rows: Buffer.alloc(0), count: 0, truncated: false });
    exporter.attach({ flows } as never, { ...testNames, wallTimeMs, mappingName });
    const rows = [testRow({ kind: 'start', mapping: 7 }), testRow({ kind: 'deny', startMs: 9000, reason: 'POLICY_DENY' })];
    exporter.accept({ rows: Buffer.concat(rows), count: 2 });
    exporter.detach();
    isOpen = false;
    const [message] = await syslog(1);
    expect(message).toMatchObject({ messageId: 'flow-deny', timeMs: testNames.wallTimeMs(9_000_000_000n) });
    expect(exporter.counters().recordsDropped).toBe(1);
  });

  it('opens nothing and counts nothing without a collector', async () => {
    const { host, exporter } = await rig({ syslog: undefined, ipfix: undefined });
    await host.open({ exporter });
    host.kernel.send(web);
    await host.advance(1000);
    expect(exporter.counters()).toEqual({ targets: [], dumpsTruncated: 0, dumpsMissed: 0, recordsDropped: 0, flowsForgotten: 0 });
  });
});
