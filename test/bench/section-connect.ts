/**
 * The connect hook: wrk in a control group with the hooks, which steer it from a virtual address to the server, beside wrk in a group
 * without, which goes to the server directly. Both by loopback, where the rest of the way costs least and the hook shows most.
 */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { compilePolicy, parsePolicy } from '../../native/image/api.ts';
import type { Policy } from '../../native/image/api.ts';
import { command } from '../lab/command.ts';
import { benchPolicy } from './packet-sets.ts';
import { toRow } from './report.ts';
import type { Row } from './report.ts';
import type { Bench, Section } from './section.ts';

const server = { address: '198.19.254.1', port: 8080 } as const;
const virtual = { address: '198.19.254.2', port: 80 } as const;
const seconds = 2;
/** More than elsewhere: what a connection takes varies most from one run of wrk to the next. */
const rounds = 41;
/** Requests on kept connections, and a connection for each request. */
const kinds = {
  requests: { figure: 'requests through the connect hook', unit: 'requests/s', atLeast: 0.95, args: ['-c', '64'] },
  connections: {
    figure: 'new connections through the connect hook',
    unit: 'connections/s',
    atLeast: 0.93,
    args: ['-c', '32', '-H', 'Connection: close'],
  },
} as const;
type Kind = keyof typeof kinds;

/** Per second. */
interface ConnectSample {
  readonly direct: number;
  readonly hooked: number;
}
type ConnectSamples = Readonly<Record<Kind, readonly ConnectSample[]>>;

const policy = (): Policy => {
  const base = benchPolicy(1000, { denyPrefixes: 10_000 });
  return parsePolicy({
    ...base,
    services: [...base.services, { name: 'bench-virtual', addresses: [virtual.address] }],
    mappings: [
      ...base.mappings,
      {
        name: 'bench-connect',
        sources: ['any'],
        destinations: ['bench-virtual'],
        protocols: ['tcp'],
        ports: [String(virtual.port)],
        action: 'balance',
        backends: [{ name: 'server', ...server }],
        priority: 1000,
      },
    ],
  });
};

/** A control group, and whom its processes ask. */
interface Side {
  readonly group: string;
  readonly address: string;
  readonly port: number;
}

/** One run of wrk. Raises when a connection failed. */
const drive = async ({ group, address, port }: Side, kind: Kind, signal: AbortSignal): Promise<number> => {
  const url = `http://${address}:${String(port)}/`;
  const wrk = ['wrk', '-t', '1', '-d', `${String(seconds)}s`, ...kinds[kind].args, url];
  const output = await command(['sh', '-c', 'echo $$ > "$0/cgroup.procs" && exec "$@"', group, ...wrk], { signal });
  const rate = /^Requests\/sec:\s+([\d.]+)/m.exec(output)?.[1];
  if (rate === undefined || /Socket errors: connect [1-9]|Non-2xx/.test(output)) throw new Error(`wrk failed:\n${output}`);
  return Number(rate);
};

const startServer = async (folder: string): Promise<Disposable> => {
  const program = join(folder, 'answer');
  execFileSync('clang-19', ['-O2', '-Wall', '-Wextra', fileURLToPath(new URL('answer.c', import.meta.url)), '-o', program], {
    stdio: 'inherit',
  });
  const child = spawn(program, [String(server.port)], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout, 'data');
  return { [Symbol.dispose]: () => void child.kill('SIGKILL') };
};

/** Two control groups beside each other, in a mount that this network namespace's mount namespace has to itself. */
const makeGroups = (): Disposable & { readonly direct: string; readonly hooked: string } => {
  const mount = mkdtempSync(join(tmpdir(), 'nest-bench-groups-'));
  execFileSync('mount', ['-t', 'cgroup2', 'none', mount]);
  const [direct, hooked] = ['direct', 'hooked'].map((name) => join(mount, `nest-bench-${name}-${String(process.pid)}`)) as [string, string];
  for (const group of [direct, hooked]) mkdirSync(group);
  return {
    direct,
    hooked,
    [Symbol.dispose]: () => {
      for (const group of [direct, hooked]) rmdirSync(group);
      execFileSync('umount', [mount]);
      rmdirSync(mount);
    },
  };
};

const prepareNamespace = async (): Promise<void> => {
  await command(['ip', 'link', 'set', 'lo', 'up']);
  await command(['ip', 'addr', 'replace', `${server.address}/32`, 'dev', 'lo']);
  // The connection's source is known by its route before the hook steers it.
  await command(['ip', 'route', 'replace', `${virtual.address}/32`, 'dev', 'lo', 'src', server.address]);
  // Enough ports for all connections of a run.
  await command(['sysctl', '-q', '-w', 'net.ipv4.ip_local_port_range=1024 65535', 'net.ipv4.tcp_tw_reuse=1']);
};

const measure = async (bench: Bench): Promise<ConnectSamples> => {
  await prepareNamespace();
  await bench.swap(compilePolicy(policy()).image);
  const folder = mkdtempSync(join(tmpdir(), 'nest-bench-connect-'));
  const samples: Record<Kind, ConnectSample[]> = { requests: [], connections: [] };
  try {
    using groups = makeGroups();
    const direct = { group: groups.direct, ...server };
    const hooked = { group: groups.hooked, ...virtual };
    using _server = await startServer(folder);
    const { attached, reason } = await bench.path.attachLocal({ cgroupPath: groups.hooked });
    if (!attached) throw new Error(`The hooks are not attached: ${reason}`);
    try {
      for (const kind of ['requests', 'connections'] as const) {
        // Once without a look: caches, sockets, frequency.
        await drive(direct, kind, bench.signal);
        for (let round = 0; round < rounds; round++) {
          bench.throwIfUnwanted();
          const rates = new Map<Side, number>();
          for (const side of round % 2 === 0 ? [hooked, direct] : [direct, hooked]) rates.set(side, await drive(side, kind, bench.signal));
          samples[kind].push({ direct: rates.get(direct) ?? Number.NaN, hooked: rates.get(hooked) ?? Number.NaN });
        }
      }
    } finally {
      await bench.path.detachLocal();
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return samples;
};

const rows = (measured: ConnectSamples): Row[] =>
  (['requests', 'connections'] as const).map((kind) => {
    const { figure, unit, atLeast } = kinds[kind];
    return toRow({
      figure,
      unit,
      samples: measured[kind].map(({ hooked }) => hooked),
      baseline: { figure: 'direct', samples: measured[kind].map(({ direct }) => direct) },
      target: { op: '>=', value: atLeast },
    });
  });

export const connectSection: Section<ConnectSamples> = { name: 'connect', measure, rows };
