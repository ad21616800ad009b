/** Real connections through the balancer: a client, the balancer and three servers in namespaces of their own, with curl. */
import type { ChildProcess } from 'node:child_process';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DataPath } from '../../native/addon.ts';
import { openDataPath } from '../../native/test/support/data-path.ts';
import type { ImageContent } from '../../native/test/support/image-builder.ts';
import { buildImage, l4, match } from '../../native/test/support/image-builder.ts';
import { address } from '../../native/test/support/packets.ts';
import { indexOf } from './support/replay.ts';

const prefix = `nest-t-forward-${String(process.pid)}`;
const clientSpace = `${prefix}-c`;
const serverSpace = (index: number): string => `${prefix}-s${String(index)}`;
const spaces = [clientSpace, serverSpace(0), serverSpace(1), serverSpace(2)];
const folder = mkdtempSync(join(tmpdir(), 'nest-t-forward-'));
const children: ChildProcess[] = [];
let dataPath: DataPath;

const ip = (...args: readonly string[]): void => {
  execFileSync('ip', args, { stdio: ['ignore', 'inherit', 'inherit'] });
};
const inSpace = (space: string, ...command: readonly string[]): void => ip('netns', 'exec', space, ...command);
const sysctl = (...values: readonly string[]): void => {
  execFileSync('sysctl', ['-q', '-w', ...values]);
};

/** A veth from here to a namespace, one IPv4 and one IPv6 network, checksums filled in by the sender. */
const connect = (space: string, here: string, number: number): void => {
  ip('netns', 'add', space);
  ip('link', 'add', here, 'type', 'veth', 'peer', 'name', 'e0', 'netns', space);
  ip('link', 'set', here, 'up');
  for (const [where, host] of [
    [[], 1],
    [['-n', space], 2],
  ] as const) {
    const device = host === 1 ? here : 'e0';
    ip(...where, 'addr', 'add', `198.18.${String(number)}.${String(host)}/24`, 'dev', device);
    ip(...where, 'addr', 'add', `2001:db8:${String(number)}::${String(host)}/64`, 'dev', device, 'nodad');
  }
  ip('-n', space, 'link', 'set', 'lo', 'up');
  ip('-n', space, 'link', 'set', 'e0', 'up');
  ip('-n', space, 'route', 'add', 'default', 'via', `198.18.${String(number)}.1`);
  ip('-n', space, '-6', 'route', 'add', 'default', 'via', `2001:db8:${String(number)}::1`);
  // What a veth leaves to the card would arrive without checksums, and glued together; and a veth takes redirected packets only
  // with GRO, or a program, at its other end.
  inSpace(space, 'ethtool', '-K', 'e0', 'tx', 'off', 'tso', 'off', 'gso', 'off', 'gro', 'on');
};

const serve = (index: number): void => {
  const script = join(folder, 'serve.mjs');
  writeFileSync(
    script,
    `import { createServer } from 'node:http';
     const body = Buffer.alloc(300_000, process.argv[2]);
     createServer((request, response) => {
       response.setHeader('x-server', process.argv[2]);
       response.setHeader('x-client', request.socket.remoteAddress);
       response.end(request.url.startsWith('/large') ? body : process.argv[2]);
     }).listen(8080, '::', () => console.log('ready'));`,
  );
  children.push(
    spawn('ip', ['netns', 'exec', serverSpace(index), process.execPath, script, String(index)], { stdio: ['ignore', 'pipe', 'inherit'] }),
  );
};

const policy = (nat: 1 | 2): ImageContent => ({
  sourceClasses: 1,
  destinationClasses: 1,
  identities4: [
    { address: address('192.0.2.1'), length: 32, destination: 1 },
    { address: address('198.18.50.0'), length: 24, source: 1 },
  ],
  identities6: [
    { address: address('2001:db8:f::1'), length: 128, destination: 1 },
    { address: address('2001:db8:50::'), length: 64, source: 1 },
  ],
  pairs: [{ source: 1, destination: 1, l4: l4.tcp, ports: match(0, 10, false) }],
  mappings: [{ name: 'web', priority: 10 }],
  actions: [{ mapping: 0, balancer: 1 }],
  flags: 1,
  balancers: [
    {
      mapping: 0,
      nat,
      backends: [
        ...[60, 61, 62].map((number) => ({ address: address(`198.18.${String(number)}.2`), port: 8080, seed: number * 7919 })),
        ...[60, 61, 62].map((number) => ({ address: address(`2001:db8:${String(number)}::2`), port: 8080, seed: number * 104729 })),
      ],
    },
  ],
});

const links = ['fc', 'fs0', 'fs1', 'fs2'];

beforeAll(async () => {
  connect(clientSpace, 'fc', 50);
  for (const index of [0, 1, 2]) connect(serverSpace(index), `fs${String(index)}`, 60 + index);
  sysctl('net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1');
  // Answers carry the virtual address, which is routed here.
  ip('addr', 'add', '192.0.2.1/32', 'dev', 'lo');
  ip('addr', 'add', '2001:db8:f::1/128', 'dev', 'lo', 'nodad');
  for (const link of links) sysctl(`net.ipv4.conf.${link}.accept_local=1`);
  for (const index of [0, 1, 2]) serve(index);
  await Promise.all(children.map(async ({ stdout }) => new Promise((resolve) => stdout?.once('data', resolve))));
  const opened = await openDataPath();
  dataPath = opened.dataPath;
  for (const link of links) await dataPath.attach(link);
  await dataPath.setInterfaceAddresses(
    [50, 60, 61, 62].map((number, index) => ({
      index: indexOf(links[index] ?? ''),
      address4: Buffer.from(address(`198.18.${String(number)}.1`)),
      address6: Buffer.from(address(`2001:db8:${String(number)}::1`)),
    })),
  );
}, 60_000);

afterAll(async () => {
  for (const child of children) child.kill();
  await dataPath.remove();
  sysctl('net.ipv4.ip_forward=0', 'net.ipv6.conf.all.forwarding=0');
  spawnSync('ip', ['addr', 'del', '192.0.2.1/32', 'dev', 'lo']);
  spawnSync('ip', ['addr', 'del', '2001:db8:f::1/128', 'dev', 'lo']);
  for (const space of spaces) spawnSync('ip', ['netns', 'del', space]);
  rmSync(folder, { recursive: true });
});

/** `count` requests, each on a connection of its own: "<server> <size>" of each. */
const curl = (target: string, count: number): readonly string[] =>
  execFileSync(
    'ip',
    [
      'netns',
      'exec',
      clientSpace,
      'curl',
      '-sS',
      '--http1.1',
      '--max-time',
      '20',
      '-H',
      'Connection: close',
      '-o',
      '/dev/null',
      '-w',
      '%header{x-server} %header{x-client} %{size_download}\\n',
      `${target}?[1-${String(count)}]`,
    ],
    { encoding: 'utf8' },
  )
    .trim()
    .split('\n');

const statOf = (kind: number): bigint => dataPath.counters().stats[kind] ?? 0n;

describe.each([
  { way: 'the kernel routes', isRedirected: false },
  { way: 'packets leave by redirect', isRedirected: true },
])('where $way', ({ isRedirected }) => {
  describe.each([
    { kind: 'DNAT', nat: 1 },
    { kind: 'full NAT', nat: 2 },
  ] as const)('$kind', ({ nat }) => {
    it.each(['http://192.0.2.1', String.raw`http://\[2001:db8:f::1\]`])(
      'balances 60 connections to %s over three servers, none fails',
      async (url) => {
        await dataPath.setTxPorts(new Uint32Array(isRedirected ? links.map(indexOf) : []));
        await dataPath.swap(buildImage(policy(nat)), dataPath.state().sequence + 1);
        const before = [statOf(2), statOf(3)];
        const answers = [...curl(`${url}/`, 60), ...curl(`${url}/large`, 6)];
        const rows = answers.map((line) => line.split(' '));
        expect(rows.length).toBe(66);
        expect(new Set(rows.map(([server]) => server))).toEqual(new Set(['0', '1', '2']));
        expect(rows.map(([, , size]) => size)).toEqual([
          ...Array.from({ length: 60 }, () => '1'),
          ...Array.from({ length: 6 }, () => '300000'),
        ]);
        const seen = nat === 1 ? /^(::ffff:198\.18\.50\.2|2001:db8:50::2)$/ : /^(::ffff:198\.18\.6[0-2]\.1|2001:db8:6[0-2]::1)$/;
        for (const [, client = ''] of rows) expect(client).toMatch(seen);
        const [kernel, forwarded] = [statOf(2) - (before[0] ?? 0n), statOf(3) - (before[1] ?? 0n)];
        // Until a neighbour is known, the kernel takes its packets.
        if (isRedirected) expect(forwarded).toBeGreaterThan(kernel);
        else expect([kernel > 500n, forwarded]).toEqual([true, 0n]);
      },
    );
  });
});
