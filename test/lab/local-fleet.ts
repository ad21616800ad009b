/** The fleet of a machine without root or without Linux: one local agent on loopback that observes, in a folder of its own. */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, openSync, closeSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { agentBundle, nodePath } from './agent-config.ts';

const readyMs = 20_000;
const stopMs = 5000;

const freePort = async (): Promise<number> => {
  const server = createServer();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  server.listen(0, '127.0.0.1', resolve);
  await promise;
  const address = server.address();
  server.close();
  if (address === null || typeof address === 'string') throw new Error('The system gave no free port.');
  return address.port;
};

const hasExited = (child: ChildProcess): boolean => child.exitCode !== null || child.signalCode !== null;

const stop = async (child: ChildProcess): Promise<void> => {
  if (hasExited(child)) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  child.once('exit', () => resolve());
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), stopMs);
  await promise;
  clearTimeout(timer);
};

const waitForHealth = async (port: number, child: ChildProcess, logPath: string): Promise<void> => {
  const deadline = performance.now() + readyMs;
  for (;;) {
    const isUp = await fetch(`http://127.0.0.1:${port}/healthz`, { signal: AbortSignal.timeout(1000) }).then(
      () => true,
      () => false,
    );
    if (isUp) return;
    if (hasExited(child) || performance.now() > deadline)
      throw new Error(`The local agent did not start:\n${readFileSync(logPath, 'utf8').slice(-2000)}`);
    await sleep(50);
  }
};

/** Starts the agent; `folder` is removed when disposed. */
export const startLocalFleet = async (): Promise<AsyncDisposable & { readonly folder: string; readonly manifestPath: string }> => {
  const folder = mkdtempSync(join(tmpdir(), 'nest-demo-'));
  const [port, metricsPort] = [await freePort(), await freePort()];
  const configPath = join(folder, 'config.json');
  const manifestPath = join(folder, 'manifest.json');
  const logPath = join(folder, 'agent.log');
  const name = hostname()
    .toLowerCase()
    .replaceAll(/[^a-z0-9-]/g, '-')
    .slice(0, 63);
  writeFileSync(
    configPath,
    JSON.stringify({
      name,
      stateDir: join(folder, 'state'),
      listen: { address: '127.0.0.1', port },
      metrics: { address: '127.0.0.1', port: metricsPort },
      traffic: { mode: 'observe' },
      log: { level: 'info', format: 'json' },
    }),
  );
  writeFileSync(
    manifestPath,
    JSON.stringify({
      fleetName: 'Local',
      hosts: [{ name, address: '127.0.0.1', port, labels: ['local'], join: [nodePath, agentBundle, 'join', '--config', configPath] }],
    }),
  );
  const log = openSync(logPath, 'a');
  const child = spawn(nodePath, [agentBundle, 'run', '--config', configPath], { stdio: ['ignore', log, log] });
  closeSync(log);
  const dispose = async (): Promise<void> => {
    await stop(child);
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    await waitForHealth(metricsPort, child, logPath);
  } catch (error) {
    await dispose();
    throw error;
  }
  return { folder, manifestPath, [Symbol.asyncDispose]: dispose };
};
