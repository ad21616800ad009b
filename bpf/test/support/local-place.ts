/** A control group for the tests of local traffic, processes in it, and servers in another namespace. */
import { execFileSync, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Answer } from './local-process.ts';

const script = fileURLToPath(new URL('local-process.ts', import.meta.url));

export interface LocalPlace extends AsyncDisposable {
  /** In a mount of its own: the namespace's /sys may have none. */
  readonly cgroupPath: string;
  /** Puts this process into the control group, until it is disposed of. */
  readonly enter: () => Disposable;
  /** Runs local-process.ts in the control group, to its end. */
  readonly run: (...args: readonly (string | number)[]) => Promise<Answer>;
  /** Connects and asks once; the answer asks again on the same connection, to its end. */
  readonly hold: (host: string, port: number) => Promise<() => Promise<Answer>>;
  /** Starts it in another namespace, outside of the control group. */
  readonly serve: (namespace: string, ports: readonly number[]) => Promise<void>;
}

/** Its lines, one after the other. */
const linesOf = (child: ChildProcess): (() => Promise<string>) => {
  if (child.stdout === null) throw new Error('the process has no output');
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return async () => {
    const { value, done } = await lines.next();
    if (done === true) throw new Error('the process ended without an answer');
    return value;
  };
};

/** Groups of test processes that are no more. */
const removeLeftovers = (folder: string): void => {
  for (const name of readdirSync(folder)) {
    const pid = /^nest-t-(\d+)$/.exec(name)?.[1];
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) rmdirSync(join(folder, name));
  }
};

export const openLocalPlace = (): LocalPlace => {
  const folder = mkdtempSync(join(tmpdir(), 'nest-t-local-'));
  execFileSync('mount', ['-t', 'cgroup2', 'none', folder]);
  removeLeftovers(folder);
  const cgroupPath = join(folder, `nest-t-${String(process.pid)}`);
  mkdirSync(cgroupPath);
  const servers: ChildProcess[] = [];
  const start = (args: readonly (string | number)[]): ChildProcess =>
    spawn('sh', ['-c', 'echo $$ > "$0/cgroup.procs" && exec "$@"', cgroupPath, process.execPath, script, ...args.map(String)], {
      stdio: ['pipe', 'pipe', 'inherit'],
      timeout: 20_000,
    });
  return {
    cgroupPath,
    enter: () => {
      writeFileSync(join(cgroupPath, 'cgroup.procs'), String(process.pid));
      return { [Symbol.dispose]: () => writeFileSync(join(folder, 'cgroup.procs'), String(process.pid)) };
    },
    run: async (...args) => {
      const child = start(args);
      const ended = once(child, 'close');
      const line = await linesOf(child)();
      await ended;
      return JSON.parse(line) as Answer;
    },
    hold: async (host, port) => {
      const child = start(['tcp', host, port, 'held']);
      const ended = once(child, 'close');
      const next = linesOf(child);
      await next();
      return async () => {
        child.stdin?.write('\n');
        const line = await next();
        await ended;
        return JSON.parse(line) as Answer;
      };
    },
    serve: async (namespace, ports) => {
      const child = spawn('ip', ['netns', 'exec', namespace, process.execPath, script, 'server', ...ports.map(String)], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      servers.push(child);
      await linesOf(child)();
    },
    [Symbol.asyncDispose]: async () => {
      for (const child of servers) {
        if (child.exitCode !== null) continue;
        const ended = once(child, 'exit');
        child.kill('SIGKILL');
        await ended;
      }
      rmdirSync(cgroupPath);
      execFileSync('umount', [folder]);
      rmdirSync(folder);
    },
  };
};
