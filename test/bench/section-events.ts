/** New flows at rising rates; every one makes a record that JavaScript has to take. */
import { setTimeout as sleep } from 'node:timers/promises';
import { compilePolicy } from '../../native/image/api.ts';
import { benchPolicy, newFlowPacket, offsets } from './packet-sets.ts';
import { generatePackets } from './packet-tool.ts';
import { toRow } from './report.ts';
import type { Row } from './report.ts';
import { rounds } from './section.ts';
import type { Bench, Section } from './section.ts';

const recordsMax = 65_536;
const recordBytes = 96;
const pollMs = 1;
const quietPolls = 50;
/** New flows a second. */
const rates = [200_000, 500_000, 1_000_000] as const;
const seconds = 2;
/** Without a loss up to here. */
const losslessRate = 500_000;

interface EventSeries {
  readonly rate: number;
  readonly sent: number;
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
    for (const rate of rates) {
      bench.throwIfUnwanted();
      let isSending = true;
      const request = {
        link: bench.peer,
        packet: newFlowPacket(),
        count: rate * seconds,
        rate,
        vary: { offset: offsets.sourcePort, flows: 1 << 22 },
      };
      const sending = generatePackets(request, bench.signal).finally(() => (isSending = false));
      const [{ sent }, result] = await Promise.all([sending, takeAll(bench, () => !isSending)]);
      series.push({ rate, sent, ...result });
    }
  }
  await bench.path.detach(bench.link);
  return series;
};

/** Takes records until the sender is done and nothing came for a while. */
const takeAll = async (bench: Bench, isDone: () => boolean): Promise<Omit<EventSeries, 'rate' | 'sent'>> => {
  let [taken, lost, quiet, firstAt, lastAt] = [0, 0, 0, 0, 0];
  while (quiet < quietPolls) {
    bench.throwIfUnwanted();
    const batch = bench.path.takeRecords(recordsMax);
    const count = batch.records.length / recordBytes;
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

const rows = (series: readonly EventSeries[]): Row[] =>
  rates.flatMap((rate) => {
    const own = series.filter((each) => each.rate === rate);
    const offered = `${rate.toLocaleString('en-US')}/s offered`;
    return [
      toRow({ figure: `flow records taken, ${offered}`, unit: 'records/s', samples: own.map(({ recordsPerSecond }) => recordsPerSecond) }),
      toRow({
        // A sum, not a median: one lost record in one series is a loss.
        figure: `flow records lost in ${String(own.length)} series, ${offered}`,
        unit: 'records',
        samples: [own.reduce((sum, { lost }) => sum + lost, 0)],
        ...(rate <= losslessRate ? { target: { op: '<=' as const, value: 0 } } : {}),
      }),
    ];
  });

export const eventsSection: Section<readonly EventSeries[]> = { name: 'events', measure, rows };
