/** An agent's traffic domain running in a namespace of the test (agent-in-namespace.ts), and its answers. */
import { spawn } from 'node:child_process';
import type { ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import type { TrafficCounters, TrafficStatus } from '../../agent/domains/traffic/api.ts';
import type { Bench } from '../../native/test/support/fastpathd.ts';
import type { Setup } from './agent-in-namespace.ts';

const driver = fileURLToPath(new URL('agent-in-namespace.ts', import.meta.url));
const awaitedMs = 10_000;

export type Status = TrafficStatus & { readonly warnings: Readonly<Record<string, string>>; readonly logged: readonly string[] };

/** A running agent in the namespace in the middle, on interface a1. */
export class NamespaceAgent {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  readonly #lines: AsyncIterator<string>;

  constructor(bench: Bench, options: Partial<Pick<Setup, 'fallback' | 'interfaces' | 'ipfixPort'>> = {}) {
    const setup: Setup = {
      stateDir: bench.folder,
      pinPath: join(bench.bpffs, 'nest'),
      interfaces: ['a1'],
      fallback: 'xdp',
      ipfixPort: null,
      fastpathFolder: process.env['NEST_FASTPATHD_FOLDER'] ?? null,
      ...options,
    };
    const words = [`--net=/run/netns/${bench.dut}`, process.execPath, driver, JSON.stringify(setup)];
    this.#child = spawn('nsenter', words, { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  async #answer(): Promise<{ readonly value?: unknown; readonly error?: string; readonly ready?: boolean }> {
    const { done, value } = await this.#lines.next();
    if (done === true) throw new Error('the agent has ended');
    return JSON.parse(value) as { readonly value?: unknown; readonly error?: string; readonly ready?: boolean };
  }

  async ready(): Promise<this> {
    const { ready } = await this.#answer();
    if (ready !== true) throw new Error('the agent said something before it was ready');
    return this;
  }

  async ask(command: object): Promise<unknown> {
    this.#child.stdin.write(`${JSON.stringify(command)}\n`);
    const { value, error } = await this.#answer();
    if (error !== undefined) throw new Error(error);
    return value;
  }

  async status(): Promise<Status> {
    return (await this.ask({ kind: 'status' })) as Status;
  }

  async engine(): Promise<string> {
    return (await this.status()).interfaces[0]?.engine ?? '';
  }

  async pid(): Promise<number> {
    const { interfaces } = await this.status();
    return Number(/process (\d+)/.exec(interfaces[0]?.reason ?? '')?.[1] ?? 0);
  }

  /** Packets by mapping, and by reason at the interface. */
  async packets(): Promise<Record<string, number>> {
    const { mappings, interfaces } = (await this.ask({ kind: 'counters' })) as TrafficCounters;
    const ofMappings = mappings.map(({ mapping, count }) => [mapping, Number(count.packets)] as const);
    const ofReasons = interfaces.flatMap(({ reasons }) => reasons.map(({ reason: name, count }) => [name, Number(count.packets)] as const));
    return Object.fromEntries([...ofMappings, ...ofReasons]);
  }

  async end(signal: NodeJS.Signals): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, 'exit');
    this.#child.kill(signal);
    await ended;
  }
}

/** Looks until it holds; how long that took, milliseconds. Raises after ten seconds. */
export const become = async (what: string, look: () => Promise<boolean>): Promise<number> => {
  const begunMs = performance.now();
  while (performance.now() - begunMs < awaitedMs) {
    if (await look()) return performance.now() - begunMs;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  throw new Error(`${what} did not come about`);
};

/** Ends a process that an agent of the test has started; it may have ended. */
export const kill = (pid: number): void => {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended already, which is what is wanted.
  }
};
