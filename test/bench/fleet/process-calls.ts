/** Calls into a child process over its channel: a name, plain data in, plain data or a message of failure out. */
import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';

/** No figure takes longer. */
const callMs = 10 * 60_000;
const stopMs = 5000;

interface CallMessage {
  readonly number: number;
  readonly name: string;
  readonly request: unknown;
}

type AnswerMessage = { readonly number: number } & ({ readonly answer: unknown } | { readonly failure: string });

export interface CallableProcess extends AsyncDisposable {
  /** Raises what the handler raised, as text, or when the process ends first. */
  call(name: string, request: unknown, signal: AbortSignal): Promise<unknown>;
}

/** Starts the module; it must call `serveCalls`. Closing the channel ends it. */
export const startProcess = (module: URL, args: readonly string[] = []): CallableProcess => {
  const child = fork(module, args, {
    serialization: 'advanced',
    execArgv: ['--expose-gc'],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  let numbers = 0;
  return {
    call: (name, request, signal) => {
      numbers += 1;
      return callOnce(child, { number: numbers, name, request }, signal);
    },
    [Symbol.asyncDispose]: () => end(child),
  };
};

const callOnce = async (child: ChildProcess, message: CallMessage, signal: AbortSignal): Promise<unknown> => {
  const { promise, resolve, reject } = Promise.withResolvers<unknown>();
  const listen = (answer: AnswerMessage): void => {
    if (answer.number !== message.number) return;
    if ('failure' in answer) reject(new Error(`${message.name}: ${answer.failure}`));
    else resolve(answer.answer);
  };
  const ended = (): void => reject(new Error(`The process ended during ${message.name}.`));
  const aborted = (): void => reject(new Error('interrupted', { cause: signal.reason }));
  const timer = setTimeout(() => reject(new Error(`${message.name} took longer than ${callMs / 1000} s.`)), callMs);
  child.on('message', listen);
  child.once('exit', ended);
  signal.addEventListener('abort', aborted, { once: true });
  try {
    signal.throwIfAborted();
    child.send(message);
    return await promise;
  } finally {
    clearTimeout(timer);
    child.off('message', listen);
    child.off('exit', ended);
    signal.removeEventListener('abort', aborted);
  }
};

const end = async (child: ChildProcess): Promise<void> => {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  child.once('exit', () => resolve());
  if (child.connected) child.disconnect();
  const timer = setTimeout(() => child.kill('SIGKILL'), stopMs);
  await promise;
  clearTimeout(timer);
};

/** The child's side: answers until the owner closes the channel, then ends the process. */
export const serveCalls = (handlers: Readonly<Record<string, (request: never) => Promise<unknown>>>): void => {
  process.on('message', ({ number, name, request }: CallMessage) => {
    const handler = handlers[name];
    const work = handler === undefined ? Promise.reject(new Error('unknown call')) : handler(request as never);
    work.then(
      (answer) => process.send?.({ number, answer }),
      (error: unknown) => process.send?.({ number, failure: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
    );
  });
  process.on('disconnect', () => process.exit(0));
  for (const name of ['SIGINT', 'SIGHUP'] as const) process.on(name, () => undefined);
};
