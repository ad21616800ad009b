/** A long-lived child process that ends with us: told so by SIGTERM and by its standard input closing, killed when deaf. */
import { spawn, type ChildProcess } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { root } from './stamp.ts';

export interface OwnedChild {
  readonly process: ChildProcess;
  /** Exit code; 1 when a signal ended it or it could not be started. */
  readonly ended: Promise<number>;
  /** Asks it to end, waits `graceMs`, then kills it. Idempotent. */
  stop(graceMs: number): Promise<void>;
}

/** Starts it in a session of its own, so that the terminal's Ctrl-C reaches only us. Standard output is piped. */
export const startChild = (argv: readonly string[]): OwnedChild => {
  const [program = '', ...args] = argv;
  const child = spawn(program, args, { cwd: root, detached: process.platform !== 'win32', stdio: ['pipe', 'pipe', 'inherit'] });
  const { promise, resolve } = Promise.withResolvers<number>();
  child.once('error', (error) => {
    console.error(`${program} could not be started: ${error.message}`);
    resolve(1);
  });
  child.once('close', (code) => resolve(code ?? 1));
  return {
    process: child,
    ended: promise,
    async stop(graceMs: number): Promise<void> {
      child.stdin.destroy();
      child.kill('SIGTERM');
      const timer = new AbortController();
      await Promise.race([promise, sleep(graceMs, undefined, { signal: timer.signal }).catch(() => undefined)]);
      timer.abort();
      child.kill('SIGKILL');
      await promise;
    },
  };
};

/** Aborts at Ctrl-C, SIGTERM, SIGHUP, or when the process that started us is gone (its IPC channel closes). */
export const endSignal = (): AbortSignal => {
  const end = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP', 'disconnect'] as const) process.on(name, () => end.abort());
  return end.signal;
};
