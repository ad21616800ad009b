/**
 * npm run test:differential: one verdict, all runtimes. Builds what is stale, makes a namespace with routes for rewritten
 * packets, and runs test/differential/run.ts in it; options are passed on (--seconds, --seed, --policies, --packets).
 */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildBpf } from './bpf.ts';
import { endSignal } from './child.ts';
import { countsLine, noCounts } from './counts.ts';
import { isMain, root, runIfStale } from './stamp.ts';
import { buildWasm } from './wasm.ts';

const tool = 'dist/differential/nest-differential';

const buildTool = (): boolean =>
  runIfStale({
    name: 'differential',
    inputs: ['native/CMakeLists.txt', 'native/src', 'native/test/differential', 'bpf/include', 'bpf/lib'],
    outputs: [tool],
    run: () => {
      const folder = join(root, 'dist/differential');
      mkdirSync(folder, { recursive: true });
      const cmake = (...args: readonly string[]): void => void execFileSync('cmake', args, { cwd: root, stdio: 'inherit' });
      cmake('-S', 'native/test/differential', '-B', folder, `-DNEST_NODE_MODULES=${root}/node_modules`, '--log-level=NOTICE');
      cmake('--build', folder, '--target', 'nest_differential', '--parallel', '2');
    },
  });

const ip = (...args: readonly string[]): void => {
  execFileSync('ip', args, { stdio: ['ignore', 'inherit', 'inherit'] });
};

/** As test/support/differential-surroundings.ts reads it. */
const addNamespace = (name: string): void => {
  ip('netns', 'add', name);
  const inside = (...args: readonly string[]): void => ip('netns', 'exec', name, ...args);
  inside('sysctl', '-q', '-w', 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1', 'net.ipv6.conf.default.accept_ra=0');
  const ends = [
    {
      link: 'v0',
      peer: 'v1',
      address4: '192.0.2.1/24',
      address6: '2001:db8:a::1/64',
      mtu: '1500',
      mac: '02:00:00:00:0a:02',
      via: ['192.0.2.2', '2001:db8:a::2'],
      to: ['198.19.128.0/17', '2001:db8:2::/48'],
    },
    {
      link: 'w0',
      peer: 'w1',
      address4: '203.0.113.1/24',
      address6: '2001:db8:b::1/64',
      mtu: '1280',
      mac: '02:00:00:00:0b:02',
      via: ['203.0.113.2', '2001:db8:b::2'],
      to: ['198.19.64.0/18', '2001:db8:3::/48'],
    },
  ];
  for (const { link, peer, address4, address6, mtu, mac, via, to } of ends) {
    inside('ip', 'link', 'add', link, 'type', 'veth', 'peer', 'name', peer);
    for (const each of [link, peer]) inside('ip', 'link', 'set', each, 'addrgenmode', 'none');
    inside('ip', 'link', 'set', link, 'mtu', mtu, 'address', mac.replace(/02$/, '01'), 'up');
    inside('ip', 'link', 'set', peer, 'up');
    inside('ip', 'addr', 'add', address4, 'dev', link);
    inside('ip', 'addr', 'add', address6, 'dev', link, 'nodad');
    for (const [position, hop] of via.entries()) {
      inside('ip', 'neigh', 'replace', hop, 'lladdr', mac, 'dev', link, 'nud', 'permanent');
      inside('ip', 'route', 'add', to[position] ?? '', 'via', hop, 'dev', link);
    }
  }
};

const isAlive = (pid: number): boolean => existsSync(`/proc/${String(pid)}`);

/** Namespaces of runs that were killed. */
const removeLeftovers = (): void => {
  const names = spawnSync('ip', ['netns', 'list'], { encoding: 'utf8' }).stdout.split('\n');
  for (const line of names) {
    const [name = ''] = line.split(' ');
    const pid = /^nest-t-differential-(\d+)$/.exec(name)?.[1];
    if (pid !== undefined && !isAlive(Number(pid))) spawnSync('ip', ['netns', 'del', name]);
  }
};

/** A group of its own, so that the tool it starts ends with it. */
const runToEnd = async (argv: readonly string[], end: AbortSignal): Promise<number> => {
  const child = spawn('ip', argv, { cwd: root, stdio: 'inherit', detached: true });
  const { promise, resolve } = Promise.withResolvers<number>();
  child.once('error', (error) => {
    console.error(`ip could not be started: ${error.message}`);
    resolve(1);
  });
  child.once('close', (code) => resolve(code ?? 1));
  const stop = (): void => void (child.pid !== undefined && process.kill(-child.pid, 'SIGKILL'));
  if (end.aborted) stop();
  end.addEventListener('abort', stop, { once: true });
  const code = await promise;
  end.removeEventListener('abort', stop);
  return code;
};

const main = async (): Promise<number> => {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) {
    console.log('SKIP differential: needs Linux and root (network namespaces, BPF)');
    console.log(countsLine({ ...noCounts, skipped: 1 }));
    return 0;
  }
  buildBpf();
  buildWasm();
  buildTool();
  const end = endSignal();
  removeLeftovers();
  const namespace = `nest-t-differential-${String(process.pid)}`;
  const folder = mkdtempSync(join(tmpdir(), 'nest-t-'));
  const bpffs = join(folder, 'bpffs');
  try {
    mkdirSync(bpffs);
    execFileSync('mount', ['-t', 'bpf', 'bpf', bpffs]);
    addNamespace(namespace);
    const paths = [
      '--tool',
      join(root, tool),
      '--object',
      join(root, 'dist/bpf/nest_xdp.bpf.o'),
      '--wasm',
      join(root, 'dist/wasm/nest-verdict.wasm'),
    ];
    const own = ['--folder', folder, '--bpffs', bpffs, '--found', join(root, 'dist/differential/found')];
    const argv = [
      'netns',
      'exec',
      namespace,
      process.execPath,
      join(root, 'test/differential/run.ts'),
      ...paths,
      ...own,
      ...process.argv.slice(2),
    ];
    return await runToEnd(argv, end);
  } finally {
    spawnSync('ip', ['netns', 'del', namespace]);
    spawnSync('umount', [bpffs]);
    rmSync(folder, { recursive: true, force: true });
  }
};

if (isMain(import.meta.url)) process.exitCode = await main();
