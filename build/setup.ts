/**
 * Installs what the machine lacks. On Debian with root the packages come from apt; elsewhere it says what is missing
 * and what that means. Nothing is installed twice, no error is hidden.
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { isMain } from './stamp.ts';

const buildPackages = 'clang-19 lld-19 clang-format-19 libbpf-dev libelf-dev zlib1g-dev cmake g++ make pkg-config'.split(' ');
const labPackages = 'iproute2 ethtool iperf3 curl iputils-ping netcat-openbsd procps'.split(' ');
const testPackages =
  'chromium dbus gnome-keyring libsecret-1-0 tcpdump nftables bpftool nfdump libclang-rt-19-dev dpdk dpdk-dev libdpdk-dev python3-grpcio python3-protobuf zsh fish'.split(
    ' ',
  );
const heartbeatMs = 5000;
const tailLines = 25;

export interface Setup {
  /** 'lab': Linux and root, packets are enforced on. 'observe': one local agent that looks and plans. */
  readonly mode: 'lab' | 'observe';
  /** Why not 'lab', with the next step; empty for 'lab'. */
  readonly reason: string;
}

/** apt packages of the list that dpkg does not know as installed. */
const missingOf = (packages: readonly string[]): readonly string[] => {
  const { stdout } = spawnSync('dpkg-query', ['--show', '--showformat=${binary:Package} ${db:Status-Status}\n', ...packages], {
    encoding: 'utf8',
  });
  const installed = new Set(
    stdout
      .split('\n')
      .filter((line) => line.endsWith(' installed'))
      .map((line) => line.replace(/(:\w+)? installed$/, '')),
  );
  return packages.filter((name) => !installed.has(name));
};

const apt = async (args: readonly string[]): Promise<{ readonly code: number; readonly tail: readonly string[] }> => {
  const child = spawn('apt-get', ['-q', '-o', 'Dpkg::Use-Pty=0', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
  });
  let tail: readonly string[] = [];
  const keep = (chunk: Buffer): void => {
    tail = [
      ...tail,
      ...chunk
        .toString('utf8')
        .split(/\r?\n/)
        .filter((line) => line.trim() !== ''),
    ].slice(-tailLines);
  };
  child.stdout.on('data', keep);
  child.stderr.on('data', keep);
  const heartbeat = setInterval(() => console.log(`  apt-get ${args[0] ?? ''}: ${tail.at(-1)?.slice(0, 100) ?? 'at work'}`), heartbeatMs);
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  child.once('error', reject);
  child.once('close', (code) => resolve(code ?? 1));
  try {
    return { code: await promise, tail };
  } finally {
    clearInterval(heartbeat);
  }
};

const install = async (packages: readonly string[]): Promise<void> => {
  console.log(`  installing ${packages.length} system packages: ${packages.join(' ')}`);
  const update = await apt(['update']);
  // A broken third-party list need not stop us: whether the packages can be had is decided by the install below.
  if (update.code !== 0)
    console.error(`  apt-get update ended with ${update.code}:\n${update.tail.map((line) => `    ${line}`).join('\n')}`);
  const { code, tail } = await apt(['install', '-y', '--no-install-recommends', ...packages]);
  if (code === 0) return;
  console.error(tail.map((line) => `    ${line}`).join('\n'));
  throw new Error(
    `apt-get install ended with ${code}; its last lines are above. Install by hand, then try again: apt-get install ${packages.join(' ')}`,
  );
};

/** Mounts the file system that holds pins, where the system has not done so. */
const mountBpffs = (): void => {
  if (/ \/sys\/fs\/bpf bpf /.test(readFileSync('/proc/mounts', 'utf8'))) return;
  const { status, stderr } = spawnSync('mount', ['-t', 'bpf', 'bpf', '/sys/fs/bpf'], { encoding: 'utf8' });
  if (status !== 0)
    console.error(`  /sys/fs/bpf could not be mounted: ${stderr.trim()}. The lab mounts its own; agents on this host need it.`);
};

/** Makes the machine ready for `purpose`. Throws when apt fails; the message says what to do. */
export const setup = async (purpose: 'start' | 'test'): Promise<Setup> => {
  if (process.platform !== 'linux') {
    return { mode: 'observe', reason: 'packet programs need Linux: the local agent observes and plans, it does not enforce' };
  }
  const isRoot = process.getuid?.() === 0;
  const isDebian = existsSync('/etc/debian_version');
  const packages = [...buildPackages, ...labPackages, ...(purpose === 'test' ? testPackages : [])];
  const missing = isDebian ? missingOf(packages) : [];
  if (isRoot && missing.length > 0) await install(missing);
  if (isRoot) mountBpffs();
  if (!isDebian) console.log(`  this is not Debian: make sure that what these packages bring is installed: ${packages.join(' ')}`);
  if (!isRoot && missing.length > 0) console.log(`  missing system packages (install with sudo apt-get install): ${missing.join(' ')}`);
  const reason = isRoot
    ? ''
    : 'network namespaces and packet programs need root: the local agent observes and plans; run npm start as root for the demo fleet';
  return { mode: isRoot ? 'lab' : 'observe', reason };
};

if (isMain(import.meta.url)) {
  const { mode, reason } = await setup('test');
  console.log(reason === '' ? `mode: ${mode}` : `mode: ${mode} (${reason})`);
}
