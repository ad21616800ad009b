/** A process full of simulated agents; lives as long as the channel to the simulator. */
import { subscribe } from 'node:diagnostics_channel';
import { rmSync } from 'node:fs';
import type { Socket } from 'node:net';
import { mapConcurrently } from '../../desktop/lib/api.ts';
import { createAgentSigner, startSimulatedAgent } from './simulated-agent.ts';
import type { WorkerOrder, WorkerReport } from './worker-protocol.ts';

const signedAtOnce = 8;
const startedAtOnce = 32;

const sockets = new Set<Socket>();
// The listener is the agent's own: only Node itself tells which connections it took.
subscribe('net.server.socket', (message) => {
  const { socket } = message as { readonly socket: Socket };
  sockets.add(socket);
  socket.once('close', () => sockets.delete(socket));
});

const report = (message: WorkerReport): void => {
  process.send?.(message);
};

const begin = async ({ keys, agents }: Extract<WorkerOrder, { kind: 'begin' }>): Promise<void> => {
  const [first] = agents;
  const signer = first === undefined ? undefined : await createAgentSigner(keys, first);
  if (signer === undefined) throw new Error('There is no agent to start.');
  const identities = await mapConcurrently(agents, signedAtOnce, signer);
  await mapConcurrently(agents, startedAtOnce, startSimulatedAgent);
  report({ kind: 'started', identities });
};

const drop = (): void => {
  const connections = sockets.size;
  for (const socket of sockets) socket.resetAndDestroy();
  report({ kind: 'dropped', connections });
};

const measure = (): void => {
  const { user, system } = process.cpuUsage();
  report({ kind: 'measured', connections: sockets.size, residentBytes: process.memoryUsage.rss(), cpuMicros: user + system });
};

let folder: string | undefined;
process.on('message', (order: WorkerOrder) => {
  switch (order.kind) {
    case 'begin':
      folder = order.folder;
      begin(order).catch((error: unknown) => report({ kind: 'failed', message: error instanceof Error ? error.message : String(error) }));
      break;
    case 'drop':
      drop();
      break;
    case 'measure':
      measure();
      break;
  }
});
// Nobody is there any more to clean up: nothing of a simulated fleet is worth keeping.
process.on('disconnect', () => {
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
  process.exit(0);
});
// The owner decides when it is over; a Ctrl-C reaches the whole group.
for (const name of ['SIGINT', 'SIGHUP'] as const) process.on(name, () => undefined);
