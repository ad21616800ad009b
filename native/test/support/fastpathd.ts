/** nest-fastpathd under test: namespaces of this process, daemons that end with it, and the control protocol from a shell. */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const built = (path: string): string => fileURLToPath(new URL(`../../../dist/${path}`, import.meta.url));

/** Where the executables are: dist/native, or a build tree under NEST_FASTPATHD_FOLDER. */
const executable = (name: string): string => join(process.env['NEST_FASTPATHD_FOLDER'] ?? built('native'), name);
const programObject = built('bpf/nest_xsk.bpf.o');
export const packetTool = built('native/nest-packet');
const generatorObject = built('bpf/bench_generator.bpf.o');
export const passingProgram = built('bpf/foreign.bpf.o');

/** Why nothing here can run; empty when it can. */
export const missing = (engine: 'af_xdp' | 'dpdk'): string => {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'needs Linux and root (network namespaces, AF_XDP)';
  const name = engine === 'dpdk' ? 'nest-fastpathd-dpdk' : 'nest-fastpathd';
  return existsSync(executable(name)) ? '' : `${name} is not built`;
};

const sh = (command: string, ...args: readonly string[]): string => execFileSync(command, args, { encoding: 'utf8' });

export interface Counters {
  readonly receivedPackets: number;
  readonly sentPackets: number;
  readonly denied: number;
  readonly passed: number;
  readonly sendFull: number;
  readonly unreachable: number;
}

export interface PortReport {
  readonly name: string;
  readonly mode: string;
  readonly numaDevice: number;
  readonly numaMemory: number;
  readonly receiveLost?: number;
  readonly counters: Counters;
}

export interface Report {
  readonly process: number;
  readonly seconds: number;
  readonly ports: readonly PortReport[];
}

export interface Answer {
  readonly status: string;
  readonly message?: string;
  readonly sequence?: number;
  readonly inodes?: readonly number[];
  readonly process?: number;
  readonly ports?: readonly PortReport[];
  readonly lanes?: readonly { readonly rounds: number; readonly sleeping: number; readonly ring: number }[];
  readonly writable?: boolean;
  readonly count?: number;
  readonly cursor?: number;
  readonly first?: string;
}

export interface Daemon {
  readonly child: ChildProcess;
  /** What it printed when it was ready. */
  readonly report: Report;
  readonly control: (...words: readonly string[]) => Answer;
  /** Ends it by that signal, and waits. */
  readonly end: (signal?: NodeJS.Signals) => Promise<void>;
}

/** The JSON line a refusing nest-fastpathd leaves, and its exit code. */
export interface Refusal {
  readonly code: number | null;
  readonly status: string;
  readonly message: string;
  readonly step: string;
}

const jsonLine = (text: string): string => text.split('\n').findLast((line) => line.startsWith('{')) ?? '{}';

/** Three namespaces in a row: gen (a0) - dut (a1, b1) - sink (b0), with fixed Ethernet addresses and 198.18.{1,2}.0/24. */
export class Bench implements AsyncDisposable {
  readonly folder = mkdtempSync(join(tmpdir(), 'nest-t-fast-'));
  readonly gen = `nest-t-fast-${String(process.pid)}-gen`;
  readonly dut = `nest-t-fast-${String(process.pid)}-dut`;
  readonly sink = `nest-t-fast-${String(process.pid)}-sink`;
  readonly bpffs = join(this.folder, 'bpffs');
  private readonly daemons: Daemon[] = [];

  constructor() {
    mkdirSync(this.bpffs);
    sh('mount', '-t', 'bpf', 'bpf', this.bpffs);
    for (const name of [this.gen, this.dut, this.sink]) sh('ip', 'netns', 'add', name);
    this.addPair('a', this.gen, 1);
    this.addPair('b', this.sink, 2);
  }

  /** x1 in the dut with address .1, x0 in `far` with .2. */
  private addPair(letter: string, far: string, net: number): void {
    sh('ip', '-n', this.dut, 'link', 'add', `${letter}1`, 'type', 'veth', 'peer', 'name', `${letter}0`, 'netns', far);
    const ends = [
      [this.dut, `${letter}1`, 1],
      [far, `${letter}0`, 2],
    ] as const;
    for (const [space, link, host] of ends) {
      sh('ip', '-n', space, 'link', 'set', link, 'address', `02:00:00:00:0${String(net)}:0${String(host)}`, 'addrgenmode', 'none');
      // Packets that never see a wire have no checksums otherwise.
      sh('ip', 'netns', 'exec', space, 'ethtool', '--offload', link, 'tx', 'off');
      sh('ip', '-n', space, 'address', 'add', `198.18.${String(net)}.${String(host)}/24`, 'dev', link);
      sh('ip', '-n', space, 'link', 'set', link, 'up');
    }
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  image(name: string, bytes: Uint8Array): string {
    writeFileSync(this.path(name), bytes);
    return this.path(name);
  }

  private command(engine: 'af_xdp' | 'dpdk', args: readonly string[]): readonly string[] {
    const name = executable(engine === 'dpdk' ? 'nest-fastpathd-dpdk' : 'nest-fastpathd');
    const object = engine === 'dpdk' ? [] : ['--object', programObject];
    // nsenter, unlike ip netns exec, leaves the mounts alone: pins stay in sight.
    return ['nsenter', `--net=/run/netns/${this.dut}`, name, ...object, ...args];
  }

  /** Starts one and waits until it serves its ports. */
  async start(args: readonly string[], options: { readonly engine?: 'af_xdp' | 'dpdk' } = {}): Promise<Daemon> {
    const socket = this.path(`control-${String(this.daemons.length)}`);
    const [command = '', ...rest] = this.command(options.engine ?? 'af_xdp', [...args, '--control', socket]);
    const child = spawn(command, rest, { stdio: ['ignore', 'pipe', 'pipe'] });
    let errors = '';
    child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString('utf8')));
    const report = await new Promise<Report>((resolve, reject) => {
      let output = '';
      child.stdout.on('data', (chunk: Buffer) => {
        output += chunk.toString('utf8');
        if (output.includes('\n')) resolve(JSON.parse(output.slice(0, output.indexOf('\n'))) as Report);
      });
      child.once('exit', (code) => reject(new Error(`nest-fastpathd ended with ${String(code)}: ${errors}`)));
    });
    const daemon: Daemon = {
      child,
      report,
      control: (...words) => this.control(socket, words),
      end: async (signal = 'SIGTERM') => {
        if (child.exitCode !== null || child.signalCode !== null) return;
        const ended = once(child, 'exit');
        child.kill(signal);
        await ended;
      },
    };
    this.daemons.push(daemon);
    return daemon;
  }

  /** Runs one that is expected to refuse. */
  refusal(args: readonly string[], engine: 'af_xdp' | 'dpdk' = 'af_xdp'): Refusal {
    const [command = '', ...rest] = this.command(engine, args);
    const { status, stderr } = spawnSync(command, rest, { encoding: 'utf8', timeout: 20_000 });
    return { code: status, ...(JSON.parse(jsonLine(stderr)) as Omit<Refusal, 'code'>) };
  }

  /** What one prints that runs to its end. */
  run(args: readonly string[], engine: 'af_xdp' | 'dpdk' = 'af_xdp'): unknown {
    const [command = '', ...rest] = this.command(engine, args);
    return JSON.parse(jsonLine(execFileSync(command, rest, { encoding: 'utf8', timeout: 60_000, stdio: ['ignore', 'pipe', 'pipe'] })));
  }

  private control(socket: string, words: readonly string[]): Answer {
    const { stdout } = spawnSync(executable('nest-fastpathctl'), [socket, ...words], { encoding: 'utf8', timeout: 20_000 });
    return JSON.parse(jsonLine(stdout)) as Answer;
  }

  /** A connection that says hello and stays, to be killed. */
  async hold(index: number): Promise<ChildProcess> {
    const child = spawn(executable('nest-fastpathctl'), [this.path(`control-${String(index)}`), 'hold', '60000'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(child.stdout, 'data');
    return child;
  }

  in(space: string, command: string, ...args: readonly string[]): string {
    return sh('ip', 'netns', 'exec', space, command, ...args);
  }

  /** Sends live frames from the gen's a0; how many were really sent. */
  async generate(packet: Buffer, count: number, rate: number): Promise<number> {
    const child = spawn(
      'nice',
      [
        // A generator that waits for its turn sends a burst afterwards, which is not what a test asked for.
        '--adjustment=-15',
        'nsenter',
        `--net=/run/netns/${this.gen}`,
        packetTool,
        'generate',
        '--object',
        generatorObject,
        '--interface',
        'a0',
        '--template',
        packet.toString('hex'),
        '--count',
        String(count),
        '--rate',
        String(rate),
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString('utf8')));
    await once(child, 'close');
    return (JSON.parse(output) as { readonly sent: number }).sent;
  }

  /** Packets the kernel counted at the interface, however they came in. */
  received(space: string, link: string): number {
    const [row] = JSON.parse(sh('ip', '-n', space, '-s', '-j', 'link', 'show', link)) as readonly {
      readonly stats64: { readonly rx: { readonly packets: number } };
    }[];
    return row?.stats64.rx.packets ?? 0;
  }

  /** Whether gen reaches the dut's stack. */
  canPing(): boolean {
    return spawnSync('ip', ['netns', 'exec', this.gen, 'ping', '-c', '1', '-W', '1', '198.18.1.1']).status === 0;
  }

  hasProgram(link = 'a1'): boolean {
    return sh('ip', '-n', this.dut, 'link', 'show', link).includes('xdp');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const daemon of this.daemons) await daemon.end('SIGKILL');
    for (const name of [this.gen, this.dut, this.sink]) spawnSync('ip', ['netns', 'del', name]);
    spawnSync('umount', [this.bpffs]);
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Polls until `done`, for at most five seconds; whether it came true. */
export const eventually = async (done: () => boolean): Promise<boolean> => {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    if (done()) return true;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return false;
};
