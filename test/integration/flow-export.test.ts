/** What an agent exports about real packets, as nfdump's collector and a strict syslog receiver understand it. */
import { spawn, type ChildProcess } from 'node:child_process';
import { createSocket, type Socket } from 'node:dgram';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { agentConfig, nodePath } from '../lab/agent-config.ts';
import { command } from '../lab/command.ts';
import { hosts, Lab } from '../lab/lab.ts';
import { metricsPort } from '../lab/topology.ts';
import { eventually, LabConsole } from '../support/lab-console.ts';
import { emptyPolicy, labMapping, labPolicy } from '../support/lab-policy.ts';
import { parseSyslog, type ParsedSyslog } from '../support/syslog-parser.ts';

const lab = Lab.attach();
const host = hosts[2];
if (host === undefined) throw new Error('the lab has a third host');
const generator = join(import.meta.dirname, 'datagrams.ts');
const ipfixPort = 4739;
const syslogPort = 5514;
/** Ethernet, IP and UDP headers around the generator's four bytes. */
const frameBytes = { 4: 14 + 20 + 8 + 4, 6: 14 + 40 + 8 + 4 } as const;
const waitMs = 30_000;

const plan = [
  { family: 4, address: host.server4, port: 7101, count: 700, mapping: 'export-allow' },
  { family: 6, address: host.server6, port: 7101, count: 500, mapping: 'export-allow' },
  { family: 4, address: host.server4, port: 7102, count: 3, mapping: 'export-deny' },
  { family: 6, address: host.server6, port: 7102, count: 2, mapping: 'export-deny' },
] as const;
const policy = labPolicy([
  labMapping('export-allow', { action: 'allow', protocols: ['udp'], ports: ['7101'] }),
  labMapping('export-deny', { action: 'deny', protocols: ['udp'], ports: ['7102'] }),
]);

interface Carried {
  readonly address: string;
  readonly port: number;
  readonly packets: number;
  readonly bytes: number;
}
const expected: readonly Carried[] = plan.map(({ family, address, port, count }) => ({
  address,
  port,
  packets: count,
  bytes: count * frameBytes[family],
}));
/** Sums by destination, in the order of the plan. */
const summed = (rows: readonly Carried[]): readonly Carried[] =>
  plan.map(({ address, port }) => {
    const own = rows.filter((row) => row.address === address && row.port === port);
    const sum = (pick: (row: Carried) => number): number => own.reduce((total, row) => total + pick(row), 0);
    return { address, port, packets: sum(({ packets }) => packets), bytes: sum(({ bytes }) => bytes) };
  });

const folder = mkdtempSync(join(tmpdir(), 'nest-flow-export-'));
const abort = new AbortController();
const messages: ParsedSyslog[] = [];
let console_: LabConsole;
let receiver: Socket;
let collector: ChildProcess;
let collectorLog = '';

const restart = async (config: object): Promise<void> => {
  await lab.stopAgent(host);
  writeFileSync(host.configPath, JSON.stringify(config));
  await lab.startAgent(host, abort.signal);
  await console_.connected([host]);
};
const isBound = async (port: number): Promise<true | undefined> =>
  (await command(['ss', '-Hlun'])).includes(`${host.consoleAddress}:${port} `) ? true : undefined;
const flowsSeen = (): readonly Readonly<Record<string, string>>[] =>
  messages
    .map(({ elements }) => elements['nestflow@32473'] ?? {})
    .filter(({ destinationPort }) => destinationPort === '7101' || destinationPort === '7102');
const bySyslog = (): readonly Carried[] =>
  summed(
    flowsSeen().map(({ destination = '', destinationPort, newPackets, newBytes }) => ({
      address: destination,
      port: Number(destinationPort),
      packets: Number(newPackets),
      bytes: Number(newBytes),
    })),
  );

beforeAll(async () => {
  console_ = await LabConsole.open();
  await console_.enforce(policy, [host]);
  receiver = createSocket({ type: 'udp4', recvBufferSize: 4 << 20 });
  receiver.on('message', (datagram) => messages.push(parseSyslog(datagram)));
  await new Promise<void>((resolve) => receiver.bind(syslogPort, host.consoleAddress, resolve));
  collector = spawn('nfcapd', ['-b', host.consoleAddress, '-p', String(ipfixPort), '-w', folder, '-t', '3600', '-B', '4000000'], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  for (const stream of [collector.stdout, collector.stderr]) stream?.on('data', (text: Buffer) => void (collectorLog += text.toString()));
  await eventually('the collector', waitMs, () => isBound(ipfixPort));
  const target = { host: host.consoleAddress };
  await restart({
    ...agentConfig(host, 'enforce'),
    export: {
      cluster: 'lab',
      syslog: { ...target, port: syslogPort, facility: 'local7' },
      ipfix: { ...target, port: ipfixPort, observationDomain: 3 },
      log: { authentication: true, netflow: true, debug: true },
      periodicSeconds: 10,
    },
  });
  lab.spawn('nest-server', 'export-sink', [
    nodePath,
    '-e',
    "const socket = require('node:dgram').createSocket('udp6'); socket.on('message', () => {}); socket.bind(7101, '::');",
  ]);
  await eventually('the sink', waitMs, async () =>
    (await lab.exec('server', ['ss', '-Hlun'])).stdout.includes(':7101 ') ? true : undefined,
  );
});
afterAll(async () => {
  collector.kill('SIGKILL');
  receiver.close();
  await restart(agentConfig(host, 'enforce'));
  await console_.enforce(emptyPolicy, [host]);
  await console_[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

/** Ends the collector once it has read all, and returns what nfdump shows of the plan's destinations. */
const byNfdump = async (): Promise<readonly Carried[]> => {
  await eventually('the collector to read everything', waitMs, async () =>
    /^UNCONN\s+0\s/m.test(await command(['ss', '-Hlun', `sport = :${ipfixPort}`])) ? true : undefined,
  );
  const ended = new Promise((resolve) => collector.once('close', resolve));
  collector.kill('SIGTERM');
  await ended;
  const rows: Carried[] = [];
  for (const file of readdirSync(folder).filter((name) => /^nfcapd\.\d+$/.test(name))) {
    const text = (
      await command(['nfdump', '-q', '-r', join(folder, file), '-o', 'json', 'proto udp and (dst port 7101 or dst port 7102)'])
    ).trim();
    const flows = JSON.parse(text.startsWith('[') ? text : `[${text}]`) as Readonly<Record<string, string | number>>[];
    for (const flow of flows) {
      rows.push({
        address: String(flow['dst4_addr'] ?? flow['dst6_addr']),
        port: Number(flow['dst_port']),
        packets: Number(flow['in_packets']),
        bytes: Number(flow['in_bytes']),
      });
    }
  }
  return summed(rows);
};

describe('the export of an agent', () => {
  it('tells nfdump and syslog of every packet once, both families, allowed and denied', async () => {
    const words = plan.map(({ address, port, count }) => `${address},${port},${count}`);
    const { code, stderr } = await lab.exec('client', [nodePath, generator, '2000', ...words], { timeoutMs: 60_000 });
    expect(code, stderr).toBe(0);
    // What came after the first packet of a flow is told by its periodic record.
    await eventually('the periodic records', waitMs, async () =>
      flowsSeen().filter(({ event }) => event === 'periodic').length === 2 ? true : undefined,
    );
    expect(bySyslog()).toEqual(expected);
    expect(
      flowsSeen()
        .filter(({ event }) => event === 'start' || event === 'deny')
        .every(({ event, mapping, cluster }) => mapping === (event === 'deny' ? 'export-deny' : 'export-allow') && cluster === 'lab'),
    ).toBe(true);
    const metrics = await (await fetch(`http://${host.managementAddress}:${metricsPort}/metrics`)).text();
    expect(metrics).toMatch(/^nest_export_datagrams_total\{target="ipfix"\} [1-9]/m);
    expect(metrics).not.toMatch(/^nest_export_(dropped|incomplete)_total\{[^}]*\} [1-9]/m);
    // Stopping sends what waits: nothing is left in the agent when the collector ends.
    await lab.stopAgent(host);
    expect(await byNfdump()).toEqual(expected);
    expect(collectorLog).toContain('Observation domain 3');
    expect(collectorLog).toMatch(/Sequence Errors: 0, Bad Packets: 0/);
  });

  it('told who connected and what the data path did', () => {
    const accepted = messages.filter(({ messageId }) => messageId === 'auth-accepted').map(({ elements }) => elements['nestauth@32473']);
    expect(accepted).toContainEqual(expect.objectContaining({ kind: 'connection', action: 'fleet', source: host.consoleAddress }));
    const lines = messages
      .filter(({ messageId }) => messageId === 'diagnostic')
      .map(({ text }) => (JSON.parse(text) as { message: string }).message);
    expect(lines).toContain('data path adopted');
    expect(messages.every(({ hostName, facility }) => hostName === host.name && facility === 23)).toBe(true);
  });
});
