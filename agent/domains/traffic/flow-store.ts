import { mergeRecord, recordAt, recordBytes, recordKey, recordKinds } from '../../engine/api.ts';
import type { FlowRecord } from '../../engine/api.ts';

/** Ended, cut and denied flows the agent remembers; the oldest are forgotten first. */
const flowsKept = 65_536;

/** A copy of what is kept, in no particular order. */
export interface StoredFlows {
  readonly rows: Buffer;
  readonly count: number;
  /** Time of each flow's first record, by position: earlier than the record's own for denied flows that came again. */
  readonly firstTimeNs: BigUint64Array;
}

/**
 * A ring of packed records. Denied packets of one flow are one entry: counts add up and the time moves on, so that a
 * client that tries again does not push others out.
 */
export interface FlowStore {
  add(record: FlowRecord): void;
  snapshot(): StoredFlows;
  /** Time of the newest flow that was forgotten for lack of room; null while none was. */
  readonly forgottenTimeNs: bigint | null;
}

/** A ring of `capacity` flows (at least 1). */
export const createFlowStore = (capacity = flowsKept): FlowStore => new RingStore(capacity);

class RingStore implements FlowStore {
  readonly #capacity: number;
  readonly #rows: Buffer;
  readonly #firstTimeNs: BigUint64Array;
  readonly #denied = new Map<string, number>();
  #count = 0;
  #next = 0;
  forgottenTimeNs: bigint | null = null;

  constructor(capacity: number) {
    this.#capacity = capacity;
    this.#rows = Buffer.alloc(capacity * recordBytes);
    this.#firstTimeNs = new BigUint64Array(capacity);
  }

  add(record: FlowRecord): void {
    const isDenied = record.kind === recordKinds.deny;
    const key = isDenied ? recordKey(record) : '';
    const known = isDenied ? this.#denied.get(key) : undefined;
    if (known !== undefined) return mergeRecord(recordAt(this.#rows, known), record);
    const position = this.#next;
    if (this.#count === this.#capacity) this.#forget(position);
    else this.#count++;
    record.row.copy(this.#rows, position * recordBytes);
    this.#firstTimeNs[position] = record.timeNs;
    if (isDenied) this.#denied.set(key, position);
    this.#next = (position + 1) % this.#capacity;
  }

  snapshot(): StoredFlows {
    return {
      rows: Buffer.from(this.#rows.subarray(0, this.#count * recordBytes)),
      count: this.#count,
      firstTimeNs: this.#firstTimeNs.slice(0, this.#count),
    };
  }

  #forget(position: number): void {
    const oldest = recordAt(this.#rows, position);
    if (this.forgottenTimeNs === null || oldest.timeNs > this.forgottenTimeNs) this.forgottenTimeNs = oldest.timeNs;
    if (oldest.kind === recordKinds.deny) this.#denied.delete(recordKey(oldest));
  }
}
