/** The figures of the product itself. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ManagedHost } from '../../../desktop/core/hosts/managed-host.ts';
import type { AgentClient } from '../../../desktop/grpc/api.ts';
import { mapConcurrently } from '../../../desktop/lib/api.ts';
import { errorCodeOf } from '../../../proto/model/error.ts';
import type { ConnectFigures, OrderHandlers } from './console-orders.ts';
import { percentile, residentBytes, startGauge } from './gauge.ts';
import type { Stage } from './stage.ts';
import { readBatches } from './stream-count.ts';

const allLiveMs = 5 * 60_000;
const pollMs = 50;
const callsInFlight = 64;
const clientWaitMs = 10_000;
const confirmWithinSeconds = 120;
const never = new AbortController().signal;

/** Handlers over the stage. */
export const consoleMeasurements = (
  stage: Stage,
): Pick<OrderHandlers, 'connect' | 'arm' | 'return' | 'steady' | 'fanout' | 'unary' | 'flows' | 'upload'> => {
  let armed: { readonly end: ReturnType<typeof startGauge>; readonly at: number; readonly beforeBytes: number } | null = null;
  const arm = (): void => {
    const beforeBytes = residentBytes();
    armed = { end: startGauge(), at: Date.now(), beforeBytes };
  };
  const settle = async (): Promise<ConnectFigures> => {
    if (armed === null) throw new Error('Nothing was armed.');
    const { roster } = stage.current;
    await untilLive(roster.all, armed.at);
    const { ms, cpuMs, blockMs } = armed.end();
    const resumed = roster.all.filter(({ linkState }) => linkState?.kind === 'up' && linkState.isResumed).length;
    return { ms, cpuMs, blockMs, resumed: resumed / roster.all.length, beforeBytes: armed.beforeBytes, afterBytes: residentBytes() };
  };
  return {
    connect: async () => {
      const { roster, keys, operator } = stage.current;
      arm();
      roster.connect({ fleetId: keys.fleetId, operator });
      return settle();
    },
    arm: async () => {
      arm();
      return null;
    },
    return: settle,
    steady: ({ ms }) => steady(stage, ms),
    fanout: ({ policy }) => fanout(stage, policy),
    unary: async ({ calls }) => {
      const client = await firstClient(stage);
      return latencyOf(calls, () => client.hello({ consoleVersion: 'bench', features: [], timeMs: 0n }, { signal: never }));
    },
    flows: async ({ ms, hosts }) => {
      const clients = await Promise.all(stage.current.roster.all.slice(0, hosts).map((host) => host.client(never, clientWaitMs)));
      return readBatches(
        clients.map((client) => (signal) => client.watchFlows(undefined, signal)),
        ms,
      );
    },
    upload: async ({ bytes }) => {
      const client = await firstClient(stage);
      const empty = { apiVersion: 'nest/v1', kind: 'Policy', defaultAction: 'allow', services: [], mappings: [] };
      const policyJson = JSON.stringify(empty).padEnd(bytes, ' ');
      const startedMs = performance.now();
      const answer = await client
        .planConfig({ baseRevision: 0n, policyJson, flowWindowMinutes: 1 }, { signal: never })
        .then(() => 'OK', errorCodeOf);
      if (answer !== 'POLICY_TOO_LARGE') throw new Error(`A document of ${bytes} bytes was answered with ${answer}.`);
      return { ms: performance.now() - startedMs };
    },
  };
};

const firstClient = (stage: Stage): Promise<AgentClient> => {
  const [host] = stage.current.roster.all;
  if (host === undefined) throw new Error('The fleet is empty.');
  return host.client(never, clientWaitMs);
};

/** Every host connected and heard of since that time. */
const untilLive = async (hosts: readonly ManagedHost[], since: number): Promise<void> => {
  const deadline = performance.now() + allLiveMs;
  const waiting = new Set(hosts);
  while (waiting.size > 0) {
    for (const host of waiting) if (host.isLive && host.linkState?.kind === 'up' && host.linkState.since >= since) waiting.delete(host);
    if (performance.now() > deadline)
      throw new Error(`${waiting.size} of ${hosts.length} hosts were not connected in ${allLiveMs / 1000} s.`);
    await sleep(pollMs);
  }
};

const steady = async (stage: Stage, ms: number): ReturnType<OrderHandlers['steady']> => {
  const { roster } = stage.current;
  const lags: number[] = [];
  const stop = new AbortController();
  roster.onReading((host) => {
    if (host.hostTimeMs !== null) lags.push(Date.now() - host.hostTimeMs);
  }, stop.signal);
  const end = startGauge();
  await sleep(ms);
  const gauge = end();
  stop.abort();
  return {
    cpu: gauge.cpuMs / gauge.ms,
    statuses: lags.length,
    lagP50Ms: percentile(lags, 0.5),
    lagP99Ms: percentile(lags, 0.99),
    lagMaxMs: percentile(lags, 1),
    blockMs: gauge.blockMs,
  };
};

/** Plan, apply and confirm on every host, each host by itself. */
const fanout = async (stage: Stage, policyJson: string): ReturnType<OrderHandlers['fanout']> => {
  const { roster } = stage.current;
  const transactionId = randomUUID();
  const end = startGauge();
  const confirmed = await mapConcurrently(roster.all, callsInFlight, async (host) => {
    const client = await host.client(never, clientWaitMs);
    const baseRevision = BigInt(host.reading?.policy.revision ?? 0);
    const { planHash } = await client.planConfig({ baseRevision, policyJson, flowWindowMinutes: 1 }, { signal: never });
    const applied = await client.applyConfig(
      {
        planHash,
        transactionId,
        confirmWithinSeconds,
        comment: 'bench',
        policyJson,
        rolloutId: '',
        rolloutTerm: 0n,
        withoutDocument: true,
      },
      { signal: never },
    );
    const revision = applied.config?.revision ?? 0n;
    return (await client.confirmConfig({ revision, transactionId, withoutDocument: true }, { signal: never })).settledAtMs > 0n;
  });
  const { ms, cpuMs, blockMs } = end();
  return { ms, cpuMs, blockMs, confirmed: confirmed.filter(Boolean).length };
};

/** One call after the other. */
export const latencyOf = async (
  calls: number,
  call: () => Promise<unknown>,
): Promise<{ readonly p50Ms: number; readonly p99Ms: number }> => {
  for (let warm = 0; warm < calls / 4; warm += 1) await call();
  const times: number[] = [];
  for (let number = 0; number < calls; number += 1) {
    const startedMs = performance.now();
    await call();
    times.push(performance.now() - startedMs);
  }
  return { p50Ms: percentile(times, 0.5), p99Ms: percentile(times, 0.99) };
};
