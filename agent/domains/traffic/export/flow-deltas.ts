import { recordKey, recordKinds } from '../../../engine/api.ts';
import type { FlowRecord } from '../../../engine/api.ts';

/** Ages saturate here: from then on a flow's start cannot be told from its record. */
const ageMsMax = 0xffff_ffff;
/** Two records of one flow tell its start with rounding errors that stay below this. */
const startToleranceMs = 5;
/** A flow that so many complete dumps in a row did not show is gone; its end may be told some seconds after a dump has left it out. */
const walksMissedMax = 3;
/** A flow that a policy has cut is in no dump, yet a later policy may let it go on with its counts: kept for two hours of the shortest period. */
const walksKeptCut = 720;
const wordsPerFlow = 4;
const slotsFirst = 1_024;

/** What was counted since the record before; forward is from the initiator. */
export interface FlowDelta {
  readonly forwardPackets: bigint;
  readonly forwardBytes: bigint;
  readonly reversePackets: bigint;
  readonly reverseBytes: bigint;
  /** TCP flags of all records of the flow so far. */
  readonly tcpFlags: number;
}

export interface FlowDeltas {
  /**
   * Notes what this record tells and returns what is new in it: never negative, so that the sum over the records of a flow is
   * what it carried. `tcpFlags` are those of the record.
   */
  observe(record: FlowRecord, tcpFlags: number): FlowDelta;
  /** Before a dump is asked for: from here on ended flows are kept, so that older rows of theirs count nothing. */
  beginWalk(): void;
  /** After its last row. Complete: flows it has not shown are forgotten by and by. */
  endWalk(isComplete: boolean): void;
  readonly size: number;
  /** Flows forgotten for lack of room; what they carry until their next record is in no delta. */
  readonly forgotten: number;
}

/** `sinceMs`: record time (milliseconds since boot) from which on every flow is known; what older flows carried before their first record here is in no delta. */
export const createFlowDeltas = (capacity: number, sinceMs: number): FlowDeltas => new SlabDeltas(capacity, sinceMs);

/** Since boot, milliseconds; null when the record cannot tell. */
const startMsOf = (record: FlowRecord): number | null => {
  const { ageMs } = record;
  return ageMs === ageMsMax ? null : Number(record.timeNs / 1_000_000n) - (ageMs ?? 0);
};

class SlabDeltas implements FlowDeltas {
  readonly #capacity: number;
  /** Slot by key, in the order in which flows came. */
  readonly #slots = new Map<string, number>();
  #free: number[] = [];
  #used = 0;
  #counts = new BigUint64Array(slotsFirst * wordsPerFlow);
  #starts = new Float64Array(slotsFirst);
  #walks = new Uint32Array(slotsFirst);
  #flags = new Uint8Array(slotsFirst);
  #walk = 1;
  #isWalking = false;
  readonly #ended = new Set<string>();
  #knownSinceMs: number;
  forgotten = 0;

  constructor(capacity: number, sinceMs: number) {
    this.#capacity = capacity;
    this.#knownSinceMs = sinceMs;
  }

  get size(): number {
    return this.#slots.size;
  }

  observe(record: FlowRecord, tcpFlags: number): FlowDelta {
    const { forward, reverse } = record;
    const counts = [forward.packets, forward.bytes, reverse.packets, reverse.bytes] as const;
    if (record.kind === recordKinds.deny) return deltaOf(counts, tcpFlags);
    const key = recordKey(record);
    const slot = this.#slotOf(key, record);
    if (slot === null) return deltaOf([0n, 0n, 0n, 0n], tcpFlags);
    const deltas = counts.map((count, word) => this.#advance(slot * wordsPerFlow + word, count));
    this.#walks[slot] = this.#walk + (record.kind === recordKinds.rejudged ? walksKeptCut : 0);
    this.#flags[slot] = (this.#flags[slot] ?? 0) | tcpFlags;
    const delta = deltaOf(deltas, this.#flags[slot]);
    if (record.kind === recordKinds.end) this.#end(key);
    return delta;
  }

  beginWalk(): void {
    this.#walk++;
    this.#isWalking = true;
  }

  endWalk(isComplete: boolean): void {
    this.#isWalking = false;
    for (const key of this.#ended) this.#remove(key);
    this.#ended.clear();
    if (!isComplete) return;
    for (const [key, slot] of this.#slots) {
      if ((this.#walks[slot] ?? 0) + walksMissedMax <= this.#walk) this.#remove(key);
    }
  }

  /** The slot of the record's flow; null when the record tells of an earlier flow with the same endpoints. */
  #slotOf(key: string, record: FlowRecord): number | null {
    const startMs = startMsOf(record);
    const known = this.#slots.get(key);
    if (known === undefined) return this.#begin(key, startMs, record);
    const knownStartMs = this.#starts[known] ?? 0;
    if (startMs === null || Math.abs(startMs - knownStartMs) <= startToleranceMs) return known;
    if (startMs < knownStartMs) return null;
    this.#remove(key);
    this.#ended.delete(key);
    return this.#begin(key, startMs, record);
  }

  #begin(key: string, startMs: number | null, { forward, reverse }: FlowRecord): number {
    if (this.#slots.size >= this.#capacity) this.#forgetOldest();
    const slot = this.#free.pop() ?? this.#used++;
    if (slot >= this.#starts.length) this.#grow();
    this.#slots.set(key, slot);
    this.#starts[slot] = startMs ?? 0;
    this.#flags[slot] = 0;
    // What an older flow carried was told by the agent before this one, or belongs to nobody: it counts from here on.
    const isOlder = startMs === null || startMs + startToleranceMs < this.#knownSinceMs;
    const before = isOlder ? [forward.packets, forward.bytes, reverse.packets, reverse.bytes] : [0n, 0n, 0n, 0n];
    this.#counts.set(before, slot * wordsPerFlow);
    return slot;
  }

  #advance(word: number, count: bigint): bigint {
    const before = this.#counts[word] ?? 0n;
    if (count <= before) return 0n;
    this.#counts[word] = count;
    return count - before;
  }

  #end(key: string): void {
    if (this.#isWalking) this.#ended.add(key);
    else this.#remove(key);
  }

  #remove(key: string): void {
    const slot = this.#slots.get(key);
    if (slot === undefined) return;
    this.#slots.delete(key);
    this.#free.push(slot);
  }

  #forgetOldest(): void {
    const [oldest] = this.#slots;
    if (oldest === undefined) return;
    const [key, slot] = oldest;
    this.#knownSinceMs = Math.max(this.#knownSinceMs, (this.#starts[slot] ?? 0) + 2 * startToleranceMs);
    this.#ended.delete(key);
    this.#remove(key);
    this.forgotten++;
  }

  #grow(): void {
    const slots = this.#starts.length * 2;
    this.#counts = widened(this.#counts, new BigUint64Array(slots * wordsPerFlow));
    this.#starts = widened(this.#starts, new Float64Array(slots));
    this.#walks = widened(this.#walks, new Uint32Array(slots));
    this.#flags = widened(this.#flags, new Uint8Array(slots));
  }
}

const deltaOf = (counts: readonly bigint[], tcpFlags: number): FlowDelta => ({
  forwardPackets: counts[0] ?? 0n,
  forwardBytes: counts[1] ?? 0n,
  reversePackets: counts[2] ?? 0n,
  reverseBytes: counts[3] ?? 0n,
  tcpFlags,
});

const widened = <T extends { set(values: T): void }>(old: T, wide: T): T => {
  wide.set(old);
  return wide;
};
