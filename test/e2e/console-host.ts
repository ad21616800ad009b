import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { nodePath, webBundle } from '../lab/agent-config.ts';

const readyMs = 20_000;

export interface ConsoleHost extends AsyncDisposable {
  /** One-time address with its token. */
  readonly address: string;
}

/** Starts the loopback web host with an empty data directory and waits for the address it prints. */
export const startConsoleHost = async (): Promise<ConsoleHost> => {
  const data = mkdtempSync(join(tmpdir(), 'nest-e2e-'));
  const child = spawn(nodePath, [webBundle, '--data', data, '--port', '0'], { stdio: ['ignore', 'pipe', 'inherit'] });
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const timeout = setTimeout(() => reject(new Error('The web host printed no address in time.')), readyMs);
  createInterface({ input: child.stdout }).on('line', (line) => {
    const address = /^Nest console: (http:\S+)$/.exec(line)?.[1];
    if (address !== undefined) resolve(address);
  });
  child.once('exit', (code) => reject(new Error(`The web host ended with code ${code}.`)));
  const stop = async (): Promise<void> => {
    clearTimeout(timeout);
    if (child.exitCode === null && child.signalCode === null) {
      const ended = new Promise((done) => child.once('exit', done));
      child.kill('SIGTERM');
      await ended;
    }
    rmSync(data, { recursive: true, force: true });
  };
  try {
    const address = await promise;
    clearTimeout(timeout);
    return { address, [Symbol.asyncDispose]: stop };
  } catch (error) {
    await stop();
    throw error;
  }
};
