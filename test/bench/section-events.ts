/** New flows at rising rates; every one makes a record that JavaScript has to take. */
import { setTimeout as sleep } from 'node:timers/promises';
import { recordBytes } from '../../agent/engine/layout.ts';
import { compilePolicy } from '../../native/image/api.ts';
import { benchPolicy, newFlowBits, newFlowPacket, offsets } from './packet-sets.ts';
import { drivePackets, generatePackets } from './packet-tool.ts';
import { BenchRefused, toRow } from './report.ts';
import type { Row } from './report.ts';
import { rounds } from './section.ts';
import type { Bench, Section } from './section.ts';

const recordsMax = 65_536;
const pollMs = 1;
const quietPolls = 50;
const seconds = 2;
const reasonPolicyAllow = 3;
/** The other processors are for whoever takes the records. */
const driverProcessor = 1;
/** Records a second. */
const takenMin = 500_000;

/**
 * Flows a second, and how they come: as packets on a veth pair, whose generator shares a processor with the program and makes no more than
 * some 450,000 a second, or by running the pinned program alone, so that the records are what is measured.
 */
const offers = [
  { by: 'veth', rate: 200_000 },
  { by: 'driver', rate: 520_000 },
  { by: 'driver', rate: 1_000_000 },
] as const;
type Offer = (typeof offers)[number];

interface EventSeries {
  readonly rate: number;
  /** Packets, each the first of a flow. */
  readonly sent: number;
  readonly sentPerSecond: number;
  /** Flows that the program says it began. */
  readonly begun: number;
  readonly taken: number;
  readonly lost: number;
  readonly recordsPerSecond: number;
}

const measure = async (bench: Bench): Promise<readonly EventSeries[]> => {
  await bench.swap(compilePolicy(benchPolicy(100)).image);
  await bench.path.attach(bench.link);
  await takeAll(bench, () => true);
  const series: EventSeries[] = [];
  for (let round = 0; round < rounds; round++) {
    console.error(`events: round ${String(round + 1)} of ${String(rounds)}`);
    for (const offer of offers) {
      bench.throwIfUnwanted();
      let isSending = true;
      const sending = send(bench, offer, series.length).finally(() => (isSending = false));
      const before = judged(bench);
      const [sent, taken] = await Promise.all([sending, takeAll(bench, () => !isSending)]);
      series.push({ rate: offer.rate, ...sent, begun: judged(bench) - before, ...taken });
    }
  }
  await bench.path.detach(bench.link);
  return series;
};

/** Packets that were allowed by the policy, not by the flow table: each began a flow. */
const judged = ({ path }: Bench): number =>
  path.counters().interfaces.reduce((sum, { reasons }) => sum + Number(reasons[2 * reasonPolicyAllow] ?? 0n), 0);

const send = async (
  bench: Bench,
  { by, rate }: Offer,
  turn: number,
): Promise<{ readonly sent: number; readonly sentPerSecond: number }> => {
  // Every turn has its own source address: what the others left in the flow table is not its own.
  const packet = newFlowPacket(`198.19.250.${String(turn + 1)}`);
  const request = { packet, count: rate * seconds, rate, vary: { offset: offsets.sourcePort, flows: 2 ** newFlowBits } };
  const { sent, seconds: took } =
    by === 'veth'
      ? await generatePackets({ ...request, link: bench.peer }, bench.signal)
      : await drivePackets({ ...request, link: bench.link, pinPath: bench.pinPath, processor: driverProcessor }, bench.signal);
  return { sent, sentPerSecond: sent / took };
};

/** Takes records until the sender is done and nothing came for a while. */
const takeAll = async (bench: Bench, isDone: () => boolean): Promise<Pick<EventSeries, 'taken' | 'lost' | 'recordsPerSecond'>> => {
  let [taken, lost, quiet, firstAt, firstTaken, lastAt] = [0, 0, 0, 0, 0, 0];
  while (quiet < quietPolls) {
    bench.throwIfUnwanted();
    const batch = bench.path.takeRecords(recordsMax);
    const count = batch.records.length / recordBytes;
    lost += Number(batch.lost);
    if (count > 0) {
      lastAt = performance.now();
      // What came before the clock started does not count.
      if (taken === 0) [firstAt, firstTaken] = [lastAt, count];
      quiet = 0;
    } else if (isDone()) quiet++;
    taken += count;
    await sleep(pollMs);
  }
  return { taken, lost, recordsPerSecond: lastAt > firstAt ? ((taken - firstTaken) * 1000) / (lastAt - firstAt) : 0 };
};

const rows = (series: readonly EventSeries[]): Row[] => {
  for (const { rate, sent, begun, taken, lost } of series) {
    if (begun === sent && taken + lost === sent) continue;
    throw new BenchRefused(
      `of ${String(sent)} packets at ${String(rate)}/s ${String(begun)} began a flow, ${String(taken)} records were taken and ${String(lost)} counted as lost: every packet must begin one, and every flow be either.`,
    );
  }
  return offers.flatMap((offer) => offerRows(offer, series));
};

const offerRows = ({ by, rate }: Offer, series: readonly EventSeries[]): Row[] => {
  const own = series.filter((each) => each.rate === rate);
  const offered = `${rate.toLocaleString('en-US')}/s offered${by === 'veth' ? ' on veth' : ''}`;
  const taken = own.map(({ recordsPerSecond }) => recordsPerSecond);
  const isJudged = by === 'driver' && rate === offers[1].rate;
  return [
    ...(by === 'veth'
      ? []
      : [toRow({ figure: `new flows, ${offered}`, unit: 'flows/s', samples: own.map(({ sentPerSecond }) => sentPerSecond) })]),
    toRow({
      figure: `flow records taken, ${offered}`,
      unit: 'records/s',
      samples: taken,
      ...(isJudged ? { target: { op: '>=' as const, value: takenMin } } : {}),
    }),
    toRow({
      // A sum, not a median: one lost record in one series is a loss.
      figure: `flow records lost in ${String(own.length)} series, ${offered}`,
      unit: 'records',
      samples: [own.reduce((sum, { lost }) => sum + lost, 0)],
      ...(rate <= offers[1].rate ? { target: { op: '<=' as const, value: 0 } } : {}),
    }),
  ];
};

export const eventsSection: Section<readonly EventSeries[]> = { name: 'events', measure, rows };
