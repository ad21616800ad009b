/**
 * The measuring half of suite "packet": runs inside the benchmark's network namespace, prints its measurements as JSON.
 * Arguments: bpffs directory, link, peer. Removes its pins at the end, also when interrupted.
 */
import { setTimeout as sleep } from 'node:timers/promises';

import type { DataPath } from '../../native/addon.ts';
import { compilePolicy } from '../../native/image/api.ts';
import { bpfObjectPath, loadNative } from '../../native/index.ts';
import { benchPolicy, deniedPacket, establishedPacket, newFlowPacket, offsets } from './packet-sets.ts';
import { measureCost, sendPackets } from './packet-tool.ts';
import type { CostSample } from './packet-tool.ts';
import type { PacketMeasurements } from './packet-measurements.ts';
import { eventRates, eventSeriesPerRate, flowCounts, mappingCounts, rounds } from './packet-measurements.ts';

const recordsMax = 65_536;
const pollMs = 2;
const quietPolls = 25;

interface Bench {
  readonly path: DataPath;
  readonly pinPath: string;
  readonly signal: AbortSignal;
  sequence: number;
}

/** The reporting half may be killed: then nobody waits for us, and our pins have to go. */
const parent = process.ppid;
const throwIfUnwanted = (signal: AbortSignal): void => {
  signal.throwIfAborted();
  if (process.ppid !== parent) throw new Error('The benchmark that started this one is gone.');
};

const main = async ([bpffs = '', link = '', peer = '']: readonly string[]): Promise<void> => {
  const interruption = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => interruption.abort(new Error(`interrupted by ${name}`)));
  const pinPath = `${bpffs}/nest`;
  const path = await loadNative().open({ objectPath: bpfObjectPath(), pinPath });
  try {
    const bench = { path, pinPath, signal: interruption.signal, sequence: path.state().sequence };
    const costs = await measureCosts(bench);
    await path.attach(link);
    const events = await measureEvents(bench, peer);
    const measurements: PacketMeasurements = { ...costs, events };
    console.log(JSON.stringify(measurements));
  } finally {
    await path.remove();
  }
};

/** Rounds over all sizes, so that whatever the machine does meanwhile hits all of them alike. */
const measureCosts = async (bench: Bench): Promise<Omit<PacketMeasurements, 'events'>> => {
  const policies = mappingCounts.map((mappings) => benchPolicy(mappings));
  const costs: { established: CostSample[]; denied: CostSample[] }[][] = flowCounts.map(() =>
    mappingCounts.map(() => ({ established: [], denied: [] })),
  );
  const reloads: { compileMs: number; loadMs: number; flipMs: number }[][] = mappingCounts.map(() => []);
  for (let round = 0; round < rounds; round++) {
    console.error(`round ${String(round + 1)} of ${String(rounds)}`);
    for (const [size, policy] of policies.entries()) {
      throwIfUnwanted(bench.signal);
      const started = performance.now();
      const { image } = compilePolicy(policy);
      const compileMs = performance.now() - started;
      const { loadMs, flipMs } = await bench.path.swap(image, ++bench.sequence);
      reloads[size]?.push({ compileMs, loadMs, flipMs });
      for (const [spread, packets] of flowCounts.entries()) {
        const request = { pinPath: bench.pinPath, packets };
        const cell = costs[spread]?.[size];
        cell?.established.push(
          await measureCost({ ...request, packet: establishedPacket(), varyOffset: offsets.sourcePort }, bench.signal),
        );
        cell?.denied.push(await measureCost({ ...request, packet: deniedPacket(), varyOffset: offsets.destinationAddress }, bench.signal));
      }
    }
  }
  return { costs, reloads };
};

/** New flows at rising rates; every one makes a record that JavaScript has to take. */
const measureEvents = async (bench: Bench, peer: string): Promise<PacketMeasurements['events']> => {
  await takeAll(bench, () => true);
  const results: { rate: number; sent: number; taken: number; lost: number; recordsPerSecond: number }[] = [];
  let series = 0;
  for (const rate of eventRates) {
    for (let repeat = 0; repeat < eventSeriesPerRate; repeat++) {
      let isSending = true;
      const sending = sendPackets(
        { link: peer, packet: newFlowPacket(series++), varyOffset: offsets.sourcePort, packets: recordsMax, rate },
        bench.signal,
      ).finally(() => (isSending = false));
      const [{ sent, interfaceDrops }, result] = await Promise.all([sending, takeAll(bench, () => !isSending)]);
      results.push({ rate, sent: sent - interfaceDrops, ...result });
    }
  }
  return results;
};

/** Takes records until the sender is done and nothing came for a while. */
const takeAll = async (bench: Bench, isDone: () => boolean): Promise<{ taken: number; lost: number; recordsPerSecond: number }> => {
  let [taken, lost, quiet, firstAt, lastAt] = [0, 0, 0, 0, 0];
  while (quiet < quietPolls) {
    throwIfUnwanted(bench.signal);
    const batch = bench.path.takeRecords(recordsMax);
    const count = batch.records.length / 96;
    lost += Number(batch.lost);
    if (count > 0) {
      lastAt = performance.now();
      if (taken === 0) firstAt = lastAt;
      quiet = 0;
    } else if (isDone()) quiet++;
    taken += count;
    await sleep(pollMs);
  }
  return { taken, lost, recordsPerSecond: lastAt > firstAt ? (taken * 1000) / (lastAt - firstAt) : 0 };
};

await main(process.argv.slice(2));
