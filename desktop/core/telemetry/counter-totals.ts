/** The raw counters of one status as sums over its interfaces: what the next one is compared with. Used again and again, never made anew. */
import type { HostStatus } from '../../../proto/gen/nest/v1/host.ts';
import { isDropped, reasonName } from '../../../proto/model/reason.ts';

/** Host time and our time between two readings may differ by so much before the host's clock is taken to have been set. */
const clockStepMs = 1_000;

/** A place for every reason a host has ever named. */
export class ReasonSlots {
  /** Reason numbers by slot. */
  readonly numbers: number[] = [];
  readonly #dropped: boolean[] = [];
  readonly #slots = new Map<number, number>();

  get count(): number {
    return this.numbers.length;
  }

  /** The slot of a reason number, a new one at first sight. */
  of(number: number): number {
    const known = this.#slots.get(number);
    if (known !== undefined) return known;
    this.#slots.set(number, this.numbers.length);
    this.#dropped.push(isDropped(reasonName(number)));
    return this.numbers.push(number) - 1;
  }

  isDropped(slot: number): boolean {
    return this.#dropped[slot] ?? false;
  }
}

export class CounterTotals {
  hostTimeMs = 0;
  monotonicMs = 0;
  receivedPackets = 0;
  receivedBytes = 0;
  /** How many reasons the interfaces name; 0 without a data path. */
  reasons = 0;
  readonly #packets: number[] = [];
  readonly #bytes: number[] = [];

  /** By slot; 0 for a reason that was not named. */
  packetsAt(slot: number): number {
    return this.#packets[slot] ?? 0;
  }

  bytesAt(slot: number): number {
    return this.#bytes[slot] ?? 0;
  }

  /** Takes the sums of this status; `monotonicMs` is when it came. */
  read(status: HostStatus, { slots, monotonicMs }: { readonly slots: ReasonSlots; readonly monotonicMs: number }): void {
    this.hostTimeMs = Number(status.timeMs);
    this.monotonicMs = monotonicMs;
    this.receivedPackets = 0;
    this.receivedBytes = 0;
    this.reasons = 0;
    this.#packets.fill(0);
    this.#bytes.fill(0);
    for (const { name, receivedPackets, receivedBytes, reasons } of status.interfaces) {
      if (name !== 'lo') {
        this.receivedPackets += Number(receivedPackets);
        this.receivedBytes += Number(receivedBytes);
      }
      for (const key in reasons) {
        const number = Number(key);
        const count = reasons[number];
        if (count === undefined) continue;
        const slot = slots.of(number);
        this.#packets[slot] = this.packetsAt(slot) + Number(count.packets);
        this.#bytes[slot] = this.bytesAt(slot) + Number(count.bytes);
        this.reasons += 1;
      }
    }
  }
}

/** Counters are read on the host, so its clock measures best; ours stands in when the host's was set meanwhile. Milliseconds. */
export const intervalMs = (before: CounterTotals, now: CounterTotals): number => {
  const host = now.hostTimeMs - before.hostTimeMs;
  const ours = now.monotonicMs - before.monotonicMs;
  return Math.abs(host - ours) > clockStepMs ? ours : host;
};
