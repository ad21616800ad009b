/**
 * From the statuses of one host to its sample: rates are differences of two counter readings divided by the time between them. A status costs
 * little; the sample in full is made when somebody looks.
 */
import type { HostStatus } from '../../../proto/gen/nest/v1/host.ts';
import { isDropped, reasonName } from '../../../proto/model/reason.ts';
import { CounterTotals, ReasonSlots, intervalMs } from './counter-totals.ts';
import { History } from './history.ts';
import { machineOf, standingOf } from './reading.ts';
import type { Reading, Standing } from './reading.ts';

/** Points of history, one a second. */
export const historyMax = 300;
/** Readings closer than this say little about a rate. */
const intervalMinMs = 200;

export interface Arrival {
  /** Console clock, milliseconds since the Unix epoch. */
  readonly at: number;
  readonly monotonicMs: number;
}

type Rates = Pick<Reading, 'allowedPerSecond' | 'deniedPerSecond' | 'bytesPerSecond' | 'packetsPerSecond'>;

const noRates: Rates = { allowedPerSecond: null, deniedPerSecond: null, bytesPerSecond: null, packetsPerSecond: null };

export class Telemetry {
  readonly #slots = new ReasonSlots();
  readonly #history = new History(3, historyMax);
  readonly #packets = new History(1, historyMax);
  /** Of the last status, and of the one before; they take turns. */
  #latest = new CounterTotals();
  #spare = new CounterTotals();
  /** What the next status is compared with; null before the first. */
  #baseline: CounterTotals | null = null;
  #status: HostStatus | null = null;
  #at = 0;
  #rates = noRates;
  /** By slot; null when there is nothing to compare with. */
  #reasonRates: number[] | null = null;
  #standing: Standing | null;
  #reading: Reading | null;

  /** `kept` is what was last known from an earlier time; null = nothing. */
  constructor(kept: Reading | null) {
    this.#reading = kept;
    this.#standing = kept;
    if (kept === null) return;
    this.#at = kept.at;
    for (const { at, allowed, denied } of kept.history) this.#history.push(at, allowed, denied);
    for (const packets of kept.packetsHistory) this.#packets.push(packets);
  }

  /** When the host took the last reading, by its own clock, milliseconds since the Unix epoch; null before the first of this process. */
  get hostTimeMs(): number | null {
    return this.#baseline === null ? null : this.#latest.hostTimeMs;
  }

  /** When the last reading came, console clock; null without one. */
  get at(): number | null {
    return this.#standing === null ? null : this.#at;
  }

  /** The part of the reading that seldom changes, at no cost. */
  get standing(): Standing | null {
    return this.#standing;
  }

  /** All that is known; null when nothing ever came. */
  get reading(): Reading | null {
    if (this.#reading === null && this.#status !== null && this.#standing !== null)
      this.#reading = this.#read(this.#status, this.#standing);
    return this.#reading;
  }

  /** Takes the next status. It may be the same one grown in place: then only what a delta names has changed. */
  take(status: HostStatus, { at, monotonicMs }: Arrival): void {
    if (this.#standing === null || status !== this.#status) this.#standing = standingOf(status, at);
    this.#status = status;
    this.#reading = null;
    this.#at = at;
    const totals = this.#latest === this.#baseline ? this.#spare : this.#latest;
    this.#spare = this.#latest === this.#baseline ? this.#latest : this.#spare;
    this.#latest = totals;
    totals.read(status, { slots: this.#slots, monotonicMs });
    const before = this.#baseline;
    const ms = before === null ? 0 : intervalMs(before, totals);
    // A reading too close to the last keeps the older baseline, so that the next rate covers both.
    const isTooClose = before !== null && ms >= 0 && ms < intervalMinMs;
    if (!isTooClose) this.#baseline = totals;
    this.#reasonRates = null;
    if (!isTooClose) this.#rates = before === null || ms < intervalMinMs ? noRates : this.#compare(before, totals, ms);
    const { allowedPerSecond, deniedPerSecond, packetsPerSecond } = this.#rates;
    if (isTooClose) return;
    if (allowedPerSecond !== null) this.#history.push(at, allowedPerSecond, deniedPerSecond ?? 0);
    if (packetsPerSecond !== null) this.#packets.push(packetsPerSecond);
  }

  /** No rates when counters went back because the data path or the interfaces are new. */
  #compare(before: CounterTotals, now: CounterTotals, ms: number): Rates {
    const perSecond = (count: number): number => (count * 1000) / ms;
    if (now.reasons === 0) {
      const packets = now.receivedPackets - before.receivedPackets;
      const bytes = now.receivedBytes - before.receivedBytes;
      return packets < 0 || bytes < 0 ? noRates : { ...noRates, packetsPerSecond: perSecond(packets), bytesPerSecond: perSecond(bytes) };
    }
    // The first counters of a data path that was not there before span more than this interval.
    if (before.reasons === 0) return noRates;
    let [allowed, denied, bytes] = [0, 0, 0];
    const rates: number[] = [];
    for (let slot = 0; slot < this.#slots.count; slot += 1) {
      const packets = now.packetsAt(slot) - before.packetsAt(slot);
      const more = now.bytesAt(slot) - before.bytesAt(slot);
      if (packets < 0 || more < 0) return noRates;
      if (this.#slots.isDropped(slot)) denied += packets;
      else allowed += packets;
      bytes += more;
      rates.push(perSecond(packets));
    }
    this.#reasonRates = rates;
    return {
      allowedPerSecond: perSecond(allowed),
      deniedPerSecond: perSecond(denied),
      packetsPerSecond: perSecond(allowed + denied),
      bytesPerSecond: perSecond(bytes),
    };
  }

  #read(status: HostStatus, standing: Standing): Reading {
    return {
      at: this.#at,
      ...standing,
      ...machineOf(status),
      ...this.#rates,
      reasons: this.#reasons(),
      history: this.#history.map((value) => ({ at: value(0), allowed: value(1), denied: value(2) })),
      packetsHistory: this.#packets.map((value) => value(0)),
    };
  }

  #reasons(): Reading['reasons'] {
    const rates = this.#reasonRates;
    return this.#slots.numbers
      .map((number, slot) => ({ name: reasonName(number), packets: this.#latest.packetsAt(slot), perSecond: rates?.[slot] ?? null }))
      .filter(({ packets }) => packets > 0)
      .map(({ name, packets, perSecond }) => ({ reason: name, dropped: isDropped(name), packets, perSecond }));
  }
}
