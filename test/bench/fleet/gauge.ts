/** What a stretch of work cost this process: time, CPU, memory, and how long the event loop was held up. */
import { subscribe } from 'node:diagnostics_channel';
import type { Socket } from 'node:net';
import { monitorEventLoopDelay } from 'node:perf_hooks';

const resolutionMs = 5;

export interface Gauge {
  readonly ms: number;
  readonly cpuMs: number;
  /** Longest pause between two turns of the event loop, without the timer's own period, milliseconds. */
  readonly blockMs: number;
}

/** Begins to measure; the returned function ends it. */
export const startGauge = (): (() => Gauge) => {
  const loop = monitorEventLoopDelay({ resolution: resolutionMs });
  loop.enable();
  const before = process.cpuUsage();
  const startedMs = performance.now();
  return () => {
    const { user, system } = process.cpuUsage(before);
    const ms = performance.now() - startedMs;
    loop.disable();
    return { ms, cpuMs: (user + system) / 1000, blockMs: Math.max(0, loop.max / 1e6 - resolutionMs) };
  };
};

/** Resident memory after garbage is collected, bytes; needs --expose-gc. */
export const residentBytes = (): number => {
  globalThis.gc?.();
  return process.memoryUsage.rss();
};

/** The value below which this share of the samples lies; 0 for none. */
export const percentile = (samples: readonly number[], share: number): number => {
  const sorted = samples.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
};

const sockets = new Set<Socket>();
let bytesOfClosed = 0;
subscribe('net.client.socket', (message) => {
  const { socket } = message as { readonly socket: Socket };
  sockets.add(socket);
  socket.once('close', () => {
    sockets.delete(socket);
    bytesOfClosed += socket.bytesRead;
  });
});

/** What connections made in this thread have received, TLS and framing included, bytes. */
export const receivedBytes = (): number => [...sockets].reduce((sum, { bytesRead }) => sum + bytesRead, bytesOfClosed);
