/** A fault agent in a process (fault-agent-child.ts) that comes back by itself when it was killed, as a service manager would do it. */
import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { FaultStep } from './fault-agent.ts';

export interface ChildState {
  readonly current: { readonly revision: number; readonly state: string; readonly policyJson: string };
  readonly isPending: boolean;
  /** What the kernel enforces. */
  readonly kernel: string;
  /** Of all revisions, newest first. */
  readonly states: readonly string[];
  readonly auditProblem: string | null;
  readonly entries: readonly {
    readonly number: number;
    readonly action: string;
    readonly result: string;
    readonly opening: number;
    readonly target: string;
    readonly actor: string;
  }[];
}

export type Order =
  | { readonly kind: 'join'; readonly token: string }
  | { readonly kind: 'arm'; readonly step: FaultStep; readonly count: number }
  | { readonly kind: 'ask' };

export type Report =
  | { readonly kind: 'ready' | 'joined' | 'armed' }
  | { readonly kind: 'state'; readonly state: ChildState }
  | { readonly kind: 'failed'; readonly message: string };

const program = fileURLToPath(new URL('fault-agent-child.ts', import.meta.url));
const livesMax = 8;
const triesMax = 500;

export class ChildAgent implements AsyncDisposable {
  readonly #words: readonly string[];
  #child: ChildProcess | null = null;
  #ready: Promise<void> = Promise.resolve();
  #isOver = false;
  #lives = 0;

  private constructor(words: readonly string[]) {
    this.#words = words;
  }

  static async start(options: { readonly stateDir: string; readonly port: number; readonly kernelFile: string }): Promise<ChildAgent> {
    const agent = new ChildAgent([options.stateDir, String(options.port), options.kernelFile]);
    agent.#spawn();
    await agent.#ready;
    return agent;
  }

  async join(token: string): Promise<void> {
    await this.#tell({ kind: 'join', token }, 'joined');
  }

  /** It kills itself when it comes to this step for the `count`th time from now. */
  async dieAt(step: FaultStep, count = 1): Promise<void> {
    await this.#tell({ kind: 'arm', step, count }, 'armed');
  }

  async state(): Promise<ChildState> {
    const report = await this.#tell({ kind: 'ask' }, 'state');
    if (report.kind !== 'state') throw new Error('the agent answered something else');
    return report.state;
  }

  /** Resolves when it has come back so often that it lives for the `lives`th time. Throws when it does not die. */
  async livesAgain(lives: number): Promise<void> {
    for (let tries = 0; this.#lives < lives; tries += 1) {
      if (tries > triesMax) throw new Error('the agent was not killed');
      await sleep(20);
    }
    await this.#ready;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true;
    const child = this.#child;
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    if (child.connected) child.disconnect();
    await exited;
  }

  #spawn(): void {
    this.#lives += 1;
    if (this.#lives > livesMax) throw new Error('the agent dies again and again');
    const [stateDir = ''] = this.#words;
    // The next life finds this program compiled.
    const env = { ...process.env, NODE_COMPILE_CACHE: join(stateDir, 'compiled') };
    const child = fork(program, [...this.#words], { env, stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    this.#child = child;
    this.#ready = reported(child, 'ready').then(() => undefined);
    this.#ready.catch(() => undefined);
    child.once('exit', () => {
      if (!this.#isOver) this.#spawn();
    });
  }

  async #tell(order: Order, answer: Report['kind']): Promise<Report> {
    await this.#ready;
    const child = this.#child;
    if (child === null) throw new Error('the agent was not started');
    const report = reported(child, answer);
    child.send(order);
    return report;
  }
}

const reported = (child: ChildProcess, kind: Report['kind']): Promise<Report> => {
  const { promise, resolve, reject } = Promise.withResolvers<Report>();
  const listen = (report: Report): void => {
    if (report.kind === kind) resolve(report);
    if (report.kind === 'failed') reject(new Error(report.message));
  };
  const ended = (): void => reject(new Error('the agent was killed'));
  child.on('message', listen);
  child.once('exit', ended);
  return promise.finally(() => {
    child.off('message', listen);
    child.off('exit', ended);
  });
};
