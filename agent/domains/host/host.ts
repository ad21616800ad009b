import { createBroadcast } from '../../lib/broadcast.ts';
import { systemClock } from '../../lib/clock.ts';
import type { Clock, Timer } from '../../lib/clock.ts';
import type { HealthWarning, Host, HostReading } from './api.ts';
import { cpuShare, readCpuTicks, readFacts, readHost } from './reading.ts';
import type { CpuTicks } from './reading.ts';
import { systemSource } from './source.ts';
import type { HostSource } from './source.ts';

export interface HostOptions {
  readonly clock?: Clock;
  readonly source?: HostSource;
  /** The agent's own name for the host; the system's when absent. */
  readonly name?: string | undefined;
}

const readingIntervalMs = 1000;
/** A slow reader keeps this many readings, then misses the oldest. */
const readingQueueMax = 4;
const diskShareMax = 0.9;
const memoryShareMax = 0.95;

/** The host this agent runs on. Reads nothing before the first call or `start`. */
export const createHost = ({ clock = systemClock, source = systemSource, name }: HostOptions = {}): Host => {
  const readings = createBroadcast<HostReading>(readingQueueMax);
  const raised = new Map<string, HealthWarning>();
  let latest: HostReading | undefined;
  let ticks: CpuTicks | undefined;
  let timer: Timer | undefined;
  let closed = false;

  const raise: Host['raise'] = (code, warning) => {
    if (warning === null) raised.delete(code);
    else raised.set(code, { ...warning, code, sinceMs: raised.get(code)?.sinceMs ?? clock.nowMs() });
  };

  const take = (): HostReading => {
    const now = readCpuTicks(source);
    latest = readHost(source, clock.nowMs(), cpuShare(ticks, now));
    ticks = now;
    raise('DISK_NEARLY_FULL', diskWarning(latest));
    raise('MEMORY_NEARLY_FULL', memoryWarning(latest));
    return latest;
  };

  const tick = (): void => {
    if (closed) return;
    timer = clock.after(readingIntervalMs, tick);
    readings.publish(take());
  };

  const close = async (): Promise<void> => {
    closed = true;
    timer?.cancel();
    readings.close();
  };

  return {
    facts: () => {
      const facts = readFacts(source, clock.nowMs());
      return name === undefined ? facts : { ...facts, hostName: name };
    },
    reading: () => latest ?? take(),
    watch: async function* (signal) {
      const iterator = readings.subscribe(signal)[Symbol.asyncIterator]();
      try {
        if (!signal.aborted && !closed) yield latest ?? take();
        for (let next = await iterator.next(); next.done !== true; next = await iterator.next()) yield next.value.value;
      } finally {
        await iterator.return?.();
      }
    },
    warnings: () => [...raised.values()],
    raise,
    start: (signal) => {
      if (timer !== undefined || closed) return;
      signal.addEventListener('abort', () => void close(), { once: true });
      tick();
    },
    close,
  };
};

const percent = (share: number): string => `${String(Math.round(share * 100))} %`;

const diskWarning = (reading: HostReading): Parameters<Host['raise']>[1] => {
  const [worst] = reading.disks
    .filter(({ usedBytes, totalBytes }) => usedBytes / totalBytes > diskShareMax)
    .sort((a, b) => b.usedBytes / b.totalBytes - a.usedBytes / a.totalBytes);
  if (worst === undefined) return null;
  return {
    title: 'Disk nearly full',
    message: `${worst.mountPoint} is ${percent(worst.usedBytes / worst.totalBytes)} full. Free space there: without it the agent cannot store new revisions.`,
    severity: 'warning',
  };
};

const memoryWarning = (reading: HostReading): Parameters<Host['raise']>[1] => {
  const share = reading.memoryUsedBytes / reading.memoryTotalBytes;
  if (!(share > memoryShareMax)) return null;
  return {
    title: 'Memory nearly full',
    message: `${percent(share)} of the memory is used. Find the process that grows before the kernel ends one.`,
    severity: 'warning',
  };
};
