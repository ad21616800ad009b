/**
 * The console core in a process of its own, so that no gRPC work ever runs on the thread that draws windows. It is
 * started again when it ends by itself, a few times; then the operator is told.
 */
import type { MessagePortMain, UtilityProcess } from 'electron';

export interface CoreProcessOptions {
  readonly fork: () => UtilityProcess;
  /** Monotonic milliseconds. */
  readonly now: () => number;
  /** The core ended too often; nothing more is tried. */
  readonly onGivenUp: (exitCode: number) => void;
}

/** What the shell sends to the core's process; `connect` carries one port. */
type CoreMessage = { readonly kind: 'connect' } | { readonly kind: 'close' };

export interface CoreProcess {
  /** Gives the core its end of a channel. */
  connect(port: MessagePortMain): void;
  /** Asks the core to end and resolves when it has. Idempotent. */
  close(): Promise<void>;
}

/** Ends of the process by itself within the span before it is given up. */
const restartLimits = { restartsMax: 3, spanMs: 60_000 } as const;

/** Starts the core's process. */
export const startCoreProcess = ({ fork, now, onGivenUp }: CoreProcessOptions): CoreProcess => {
  let ends: number[] = [];
  let closing: PromiseWithResolvers<undefined> | undefined;
  let child: UtilityProcess | undefined;
  const start = (): void => {
    const started = fork();
    child = started;
    started.once('exit', (exitCode) => {
      child = undefined;
      if (closing !== undefined) {
        closing.resolve(undefined);
        return;
      }
      ends = [...ends.filter((at) => now() - at < restartLimits.spanMs), now()];
      if (ends.length > restartLimits.restartsMax) onGivenUp(exitCode);
      else start();
    });
  };
  start();
  return {
    connect: (port) => {
      if (child === undefined) port.close();
      else child.postMessage({ kind: 'connect' } satisfies CoreMessage, [port]);
    },
    close: async () => {
      if (closing === undefined) {
        closing = Promise.withResolvers<undefined>();
        if (child === undefined) closing.resolve(undefined);
        else child.postMessage({ kind: 'close' } satisfies CoreMessage);
      }
      await closing.promise;
    },
  };
};
