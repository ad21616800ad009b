/** Debian's nfdump as the judge: what its collector understood of our IPFIX. */
import { execFile, spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../../lib/clock.ts';
import { silentLogger } from '../../../lib/log.ts';
import type { RecordBatch } from '../../../engine/api.ts';
import { createExporter } from './exporter.ts';
import { testNames, testRow } from './test-records.ts';
import type { RecordFields } from './test-records.ts';

const hasNfdump = ['nfcapd', 'nfdump'].every((tool) => spawnSync(tool, ['-V']).status === 0);
const run = promisify(execFile);
const waitMs = 10_000;
const stepMs = 20;

interface NfdumpFlow {
  readonly in_packets: number;
  readonly in_bytes: number;
  readonly out_packets: number;
  readonly out_bytes: number;
  readonly proto: number;
  readonly tcp_flags?: string;
  readonly src_port?: number;
  readonly dst_port?: number;
  readonly src4_addr?: string;
  readonly dst4_addr?: string;
  readonly src6_addr?: string;
  readonly dst6_addr?: string;
  readonly input_snmp: number;
  readonly src4_xlt_ip?: string;
  readonly dst4_xlt_ip?: string;
  readonly src_xlt_port?: string;
  readonly dst_xlt_port?: string;
}

let folder: string;
let collector: ChildProcess | null = null;
let collectorLog = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'nest-nfdump-'));
});
afterEach(() => {
  collector?.kill('SIGKILL');
  collector = null;
  rmSync(folder, { recursive: true });
});

const until = async (what: string, holds: () => boolean): Promise<void> => {
  for (let waited = 0; waited < waitMs; waited += stepMs) {
    if (holds()) return;
    await setTimeout(stepMs);
  }
  throw new Error(`${what} did not happen within ${waitMs} ms; the collector said: ${collectorLog}`);
};

/** The kernel's row of a bound UDP port on 127.0.0.1: bytes that wait, and datagrams dropped; null while nobody is bound. */
const socketAt = (port: number): { readonly waiting: number; readonly drops: number } | null => {
  const hex = port.toString(16).toUpperCase().padStart(4, '0');
  const row = readFileSync('/proc/net/udp', 'utf8')
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .find((columns) => columns[1] === `0100007F:${hex}`);
  if (row === undefined) return null;
  return { waiting: Number.parseInt(row[4]?.split(':')[1] ?? '0', 16), drops: Number(row.at(-1)) };
};

const freePort = async (): Promise<number> => {
  const socket = createSocket('udp4');
  await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
  const { port } = socket.address();
  await new Promise<void>((resolve) => socket.close(() => resolve()));
  return port;
};

const startCollector = async (): Promise<number> => {
  const port = await freePort();
  collectorLog = '';
  collector = spawn('nfcapd', ['-b', '127.0.0.1', '-p', String(port), '-w', folder, '-t', '3600', '-B', '4000000'], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  for (const stream of [collector.stdout, collector.stderr]) stream?.on('data', (text: Buffer) => void (collectorLog += text.toString()));
  await until('the collector listens', () => socketAt(port) !== null);
  return port;
};

/** Lets the collector read what waits, ends it, and returns the flows of its files. */
const collected = async (port: number): Promise<readonly NfdumpFlow[]> => {
  await until('the collector reads everything', () => socketAt(port)?.waiting === 0);
  expect(socketAt(port)?.drops, 'datagrams lost in the socket of the collector').toBe(0);
  const ended = new Promise((resolve) => collector?.once('close', resolve));
  collector?.kill('SIGTERM');
  await ended;
  const files = readdirSync(folder).filter((name) => /^nfcapd\.\d+$/.test(name));
  const flows: NfdumpFlow[] = [];
  for (const file of files) {
    const { stdout } = await run('nfdump', ['-q', '-r', join(folder, file), '-o', 'json'], { maxBuffer: 64 << 20 });
    // This version prints objects with commas between them and no brackets around; others print a list.
    const text = stdout.trim();
    flows.push(...(JSON.parse(text.startsWith('[') ? text : `[${text}]`) as NfdumpFlow[]));
  }
  return flows;
};

const batchOf = (fields: readonly RecordFields[]): RecordBatch => ({
  rows: Buffer.concat(fields.map((row) => testRow(row))),
  count: fields.length,
});

/** Address, ports and protocol of both families in one text. */
const nameOf = (flow: NfdumpFlow): string =>
  [flow.proto, flow.src4_addr ?? flow.src6_addr, flow.src_port ?? 0, flow.dst4_addr ?? flow.dst6_addr, flow.dst_port ?? 0].join(' ');

const start = (port: number, live: RecordBatch) => {
  const exporter = createExporter({
    config: {
      ipfix: { host: 'localhost', port, observationDomain: 77, templateSeconds: 60 },
      log: { authentication: false, netflow: true, debug: false },
      periodicSeconds: 3600,
    },
    hostName: 'edge-1',
    clock: systemClock,
    log: silentLogger,
  });
  let dumps = 0;
  const flows = async () => (dumps++, { ...live, truncated: false });
  return { exporter, flows, dumps: () => dumps };
};

describe("nfdump's collector", () => {
  it('shows flows of both families with their ports, packets and bytes both ways, and no gap in the sequence', async (context) => {
    if (!hasNfdump) context.skip('nfdump is not installed: apt-get install nfdump');
    const tcp: RecordFields = { kind: 'start', sourcePort: 50_001, bytes: [60n, 0n], tcpFlags: 2 };
    const v6 = { source: '2001:db8::10', destination: '2001:db8:1::20' };
    const udp: RecordFields = { kind: 'start', ...v6, protocol: 17, sourcePort: 5353, destinationPort: 53, bytes: [90n, 0n] };
    const port = await startCollector();
    const { exporter, flows, dumps } = start(
      port,
      batchOf([{ ...tcp, kind: 'live', timeMs: 31_000, packets: [5n, 4n], bytes: [500n, 4_000_000_000_000n] }]),
    );
    try {
      // The kernel's rows say when, on this host's clock: a host that booted a minute ago.
      const wallTimeMs = (timeNs: bigint): number => bootedMs + Number(timeNs / 1_000_000n);
      const bootedMs = Date.now() - 500;
      exporter.attach({ flows } as never, { ...testNames, wallTimeMs });
      exporter.accept(
        batchOf([tcp, udp, { kind: 'deny', sourcePort: 50_002, destinationPort: 22, bytes: [74n, 0n], reason: 'POLICY_DENY' }]),
      );
      await until(
        'the dump is exported',
        () => dumps() === 1 && exporter.counters().targets[0]?.records.some(({ kind }) => kind === 'periodic') === true,
      );
      exporter.accept(
        batchOf([
          { ...tcp, kind: 'end', timeMs: 61_000, packets: [7n, 6n], bytes: [700n, 4_000_000_000_600n], tcpFlags: 17 },
          { ...udp, kind: 'end', timeMs: 1500, packets: [1n, 1n], bytes: [90n, 250n] },
          { kind: 'end', protocol: 58, ...v6, sourcePort: 9, destinationPort: 9, packets: [3n, 3n], bytes: [312n, 312n] },
        ]),
      );
      await until('the message leaves', () => (exporter.counters().targets[0]?.sent ?? 0) > 0);
      expect(exporter.counters().targets[0]?.dropped.every(({ count }) => count === 0)).toBe(true);
    } finally {
      await exporter.close();
    }
    const seen = await collected(port);
    const rows = seen.map((flow) => [nameOf(flow), flow.in_packets, flow.in_bytes, flow.out_packets, flow.out_bytes]);
    const tcpName = '6 198.18.0.1 50001 198.19.0.1 443';
    const udpName = '17 2001:db8::10 5353 2001:db8:1::20 53';
    expect(rows).toEqual([
      [tcpName, 1, 60, 0, 0],
      [udpName, 1, 90, 0, 0],
      ['6 198.18.0.1 50002 198.19.0.1 22', 1, 74, 0, 0],
      [tcpName, 4, 440, 4, 4_000_000_000_000],
      [tcpName, 2, 200, 2, 600],
      [udpName, 0, 0, 1, 250],
      ['58 2001:db8::10 0 2001:db8:1::20 0', 3, 312, 3, 312],
    ]);
    expect(seen.map(({ tcp_flags }) => tcp_flags)[4]).toBe('...A..SF');
    expect(new Set(seen.map(({ input_snmp }) => input_snmp))).toEqual(new Set([2]));
    expect(collectorLog).toContain('Observation domain 77');
    expect(collectorLog).toMatch(/Flows: 7, .*Sequence Errors: 0, Bad Packets: 0/);
  });

  it('shows where translated flows of both families go on to, and as whose', async (context) => {
    if (!hasNfdump) context.skip('nfdump is not installed: apt-get install nfdump');
    const port = await startCollector();
    const { exporter, flows } = start(port, { rows: Buffer.alloc(0), count: 0 });
    const ports = { sourcePort: 33_000, destinationPort: 8443 };
    const full = { source: '198.19.7.1', destination: '198.19.7.10', ...ports, flags: 3 };
    const full6 = { source: '2001:db8:7::1', destination: '2001:db8:7::10', ...ports, flags: 3 };
    try {
      exporter.attach({ flows } as never, { ...testNames, wallTimeMs: (timeNs) => Date.now() + Number(timeNs / 1_000_000n) });
      exporter.accept(
        batchOf([
          { kind: 'end', sourcePort: 50_001, rewritten: full, backend: 1 },
          { kind: 'end', source: '2001:db8::10', destination: '2001:db8:1::20', sourcePort: 50_002, rewritten: full6, backend: 2 },
          { kind: 'end', sourcePort: 50_003 },
        ]),
      );
      await until('all records are taken', () => exporter.counters().targets[0]?.records[0]?.count === 3);
    } finally {
      await exporter.close();
    }
    const seen = await collected(port);
    // Version 1.7.1 takes no IPv6 addresses of a translation (elements 281 and 282), only the ports beside them.
    expect(seen.map((flow) => [flow.src4_xlt_ip, flow.dst4_xlt_ip, flow.src_xlt_port, flow.dst_xlt_port])).toEqual([
      ['198.19.7.1', '198.19.7.10', '33000', '8443'],
      [undefined, undefined, '33000', '8443'],
      [undefined, undefined, undefined, undefined],
    ]);
    expect(seen.map((flow) => nameOf(flow))).toEqual([
      '6 198.18.0.1 50001 198.19.0.1 443',
      '6 2001:db8::10 50002 2001:db8:1::20 443',
      '6 198.18.0.1 50003 198.19.0.1 443',
    ]);
    expect(collectorLog).toContain('Sequence Errors: 0, Bad Packets: 0');
  });

  it('loses none of many flows in many messages, and the sums are ours', async (context) => {
    if (!hasNfdump) context.skip('nfdump is not installed: apt-get install nfdump');
    const port = await startCollector();
    const { exporter, flows } = start(port, { rows: Buffer.alloc(0), count: 0 });
    const count = 4000;
    try {
      exporter.attach({ flows } as never, { ...testNames, wallTimeMs: (timeNs) => Date.now() + Number(timeNs / 1_000_000n) });
      const ends = (index: number): Pick<RecordFields, 'source' | 'destination'> =>
        index % 2 === 0 ? {} : { source: '2001:db8::1', destination: `2001:db8::${(index % 7) + 2}` };
      for (let index = 0; index < count; index++) {
        const flow: RecordFields = {
          kind: 'end',
          ...ends(index),
          sourcePort: 1024 + index,
          packets: [2n, 1n],
          bytes: [BigInt(index), 40n],
          tcpFlags: 4,
        };
        exporter.accept(batchOf([flow]));
      }
      await until('all records are taken', () => exporter.counters().targets[0]?.records[0]?.count === count);
    } finally {
      await exporter.close();
    }
    const seen = await collected(port);
    expect(new Set(seen.map((flow) => nameOf(flow))).size).toBe(count);
    const sum = (pick: (flow: NfdumpFlow) => number): number => seen.reduce((total, flow) => total + pick(flow), 0);
    expect([seen.length, sum((flow) => flow.in_packets), sum((flow) => flow.in_bytes), sum((flow) => flow.out_bytes)]).toEqual([
      count,
      2 * count,
      (count * (count - 1)) / 2,
      40 * count,
    ]);
    expect(collectorLog).toContain('Sequence Errors: 0, Bad Packets: 0');
  });
});
