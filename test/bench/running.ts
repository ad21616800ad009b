/** A program that runs while something is measured: what it prints can be waited for, and it ends with its scope. */
import { spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';

/** The end of a longer output is kept. */
const outputCharactersMax = 1 << 20;
const patienceMs = 10_000;
const lookMs = 5;

export interface Running extends AsyncDisposable {
  /** Its number; 0 when it could not be started. */
  readonly process: number;
  /** Writes a line to its standard input. */
  tell(line: string): void;
  /** Resolves with what it printed since that is enough; what was there before the call does not count. Raises after 20 s, or when it ended. */
  answer(isEnough: (text: string) => boolean, line?: string): Promise<string>;
  /** What it printed last, for messages. */
  lastWords(): string;
}

/** Starts a program. Its end: its input is closed and it gets SIGINT, after 10 s SIGKILL. */
export const startProgram = (argv: readonly string[], signal: AbortSignal): Running => {
  const [program = '', ...args] = argv;
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => (output = (output + chunk.toString('utf8')).slice(-outputCharactersMax)));
  child.stdin.on('error', () => child.stdin.destroy());
  let isOver = false;
  const { promise: ended, resolve } = Promise.withResolvers<void>();
  const end = (): void => {
    isOver = true;
    resolve();
  };
  child.once('close', end);
  child.once('error', (error) => {
    output += error.message;
    end();
  });
  const lastWords = (): string => output.slice(-500);
  return {
    process: child.pid ?? 0,
    tell: (line) => void child.stdin.write(`${line}\n`),
    lastWords,
    answer: async (isEnough, line) => {
      const from = line === undefined ? 0 : output.length;
      if (line !== undefined) child.stdin.write(`${line}\n`);
      const until = performance.now() + 2 * patienceMs;
      while (!isEnough(output.slice(from))) {
        signal.throwIfAborted();
        if (isOver || performance.now() > until) throw new Error(`${program} ${isOver ? 'ended' : 'says nothing'}: ${lastWords()}`);
        await sleep(lookMs);
      }
      return output.slice(from);
    },
    [Symbol.asyncDispose]: async () => {
      child.stdin.end();
      child.kill('SIGINT');
      const patience = setTimeout(() => child.kill('SIGKILL'), patienceMs);
      await ended;
      clearTimeout(patience);
    },
  };
};
