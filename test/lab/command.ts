/** Runs a program to its end. The message of a failure holds the command and what it said. */
import { spawn } from 'node:child_process';

/** More output than this is cut: the lab's commands are short-spoken. */
const outputBytesMax = 8 << 20;

export interface CommandOptions {
  readonly input?: string;
  /** Milliseconds until the program is killed; 30,000 unless given. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  readonly env?: Readonly<Record<string, string>>;
}

export interface CommandResult {
  /** 128 + signal number is not used: a program that was killed has code null. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs and answers with whatever the exit code is; throws only when the program cannot be started or was aborted. */
export const tryCommand = async (argv: readonly string[], options: CommandOptions = {}): Promise<CommandResult> => {
  const [program = '', ...args] = argv;
  const child = spawn(program, args, {
    stdio: ['pipe', 'pipe', 'pipe'],
    timeout: options.timeoutMs ?? 30_000,
    killSignal: 'SIGKILL',
    ...(options.signal === undefined ? {} : { signal: options.signal }),
    ...(options.env === undefined ? {} : { env: { ...process.env, ...options.env } }),
  });
  const collected = { stdout: '', stderr: '' };
  child.stdout.on('data', (chunk: Buffer) => (collected.stdout = (collected.stdout + chunk.toString('utf8')).slice(0, outputBytesMax)));
  child.stderr.on('data', (chunk: Buffer) => (collected.stderr = (collected.stderr + chunk.toString('utf8')).slice(0, outputBytesMax)));
  // A program that does not read its input closes the pipe early: that is its right.
  child.stdin.on('error', () => child.stdin.destroy());
  child.stdin.end(options.input ?? '');
  const { promise, resolve, reject } = Promise.withResolvers<number | null>();
  child.once('error', (cause) =>
    reject(new Error(`${program} could not be run: ${cause.message}. Is it installed? See build/setup.ts.`, { cause })),
  );
  child.once('close', resolve);
  return { code: await promise, ...collected };
};

/** Runs and answers with the standard output; throws when the exit code is not 0. */
export const command = async (argv: readonly string[], options: CommandOptions = {}): Promise<string> => {
  const { code, stdout, stderr } = await tryCommand(argv, options);
  if (code !== 0) throw new Error(`${argv.join(' ')} ended with ${code ?? 'a signal'}: ${(stderr || stdout).trim()}`);
  return stdout;
};
