/** What a nest-fastpathd shares, read by offsets. It stays readable after the process has died, as long as it is open here. */
import { recordBytes } from '../layout.ts';
import {
  halves,
  laneBytes,
  laneOffsets,
  lanesMax,
  placeBytes,
  placeOffsets,
  portBytes,
  portNameBytes,
  portOffsets,
  portsMax,
  reasonSlots,
  ringOffsets,
  statusBytes,
  statusOffsets,
} from './layout.ts';
import type { HalfKind } from './layout.ts';

/** Bytes of another process. Offsets and lengths in bytes. */
export interface SharedBytes {
  read(offset: number, length: number): Buffer;
  write(offset: number, bytes: Uint8Array): void;
  close(): void;
}

export interface SharedPort {
  readonly name: string;
  readonly index: number;
  /** Of the interface counters. */
  readonly slot: number;
  /** 1: the kernel copies packets, 2: it does not, 3: DPDK. */
  readonly mode: number;
}

/** Counters, records and liveness of one process. */
export interface SharedMemory {
  ports(): readonly SharedPort[];
  /** Of one port slot, all workers together: reason r has packets at 2r, bytes at 2r + 1. */
  reasons(slot: number): BigUint64Array;
  /** Half 0 or 1 (parity of the sequence), all workers together. */
  half(kind: HalfKind, half: number): BigUint64Array;
  /** NEST_STAT_* and NEST_LOSS_* by position. */
  stats(): BigUint64Array;
  losses(): BigUint64Array;
  /** Packed struct nest_record rows that no one has taken yet, at most `limit`. */
  takeRecords(limit: number): Buffer;
  /** Rounds of each worker, and whether it waits for packets. */
  workers(): readonly { readonly rounds: bigint; readonly isSleeping: boolean }[];
  close(): void;
}

/** A view of the memory and the status page of one process; owns both. */
export const openSharedMemory = (memory: SharedBytes, status: SharedBytes): SharedMemory => new Pages(memory, status);

type Place = keyof typeof placeOffsets;
const statKindsCount = 4;
const lossKindsCount = 3;

class Pages implements SharedMemory {
  readonly #memory: SharedBytes;
  readonly #status: SharedBytes;
  readonly #places: readonly Readonly<Record<Place, number>>[];

  constructor(memory: SharedBytes, status: SharedBytes) {
    this.#memory = memory;
    this.#status = status;
    const page = status.read(0, statusBytes);
    const lanes = Math.min(page.readUInt32LE(statusOffsets.lane_count), lanesMax);
    this.#places = Array.from({ length: lanes }, (_, lane) => {
      const base = statusOffsets.offsets + lane * placeBytes;
      const at = (place: Place): number => Number(page.readBigUInt64LE(base + placeOffsets[place]));
      return {
        ring: at('ring'),
        interfaces: at('interfaces'),
        mappings: at('mappings'),
        limits: at('limits'),
        deny: at('deny'),
        backends: at('backends'),
        stats: at('stats'),
        losses: at('losses'),
      };
    });
  }

  ports(): readonly SharedPort[] {
    const rows = this.#status.read(statusOffsets.ports, portsMax * portBytes);
    return Array.from({ length: portsMax }, (_, slot) => {
      const base = slot * portBytes;
      const name = rows.toString('latin1', base + portOffsets.name, base + portOffsets.name + portNameBytes);
      return {
        name: name.slice(0, Math.max(0, name.indexOf('\0'))),
        index: rows.readUInt32LE(base + portOffsets.interface),
        slot,
        mode: rows.readUInt32LE(base + portOffsets.mode),
      };
    }).filter(({ mode }) => mode !== 0);
  }

  reasons(slot: number): BigUint64Array {
    return this.#sum('interfaces', slot * reasonSlots * 2, reasonSlots * 2);
  }

  half(kind: HalfKind, half: number): BigUint64Array {
    const words = halves[kind].entries * halves[kind].words;
    return this.#sum(kind, half * words, words);
  }

  stats(): BigUint64Array {
    return this.#sum('stats', 0, statKindsCount);
  }

  losses(): BigUint64Array {
    return this.#sum('losses', 0, lossKindsCount);
  }

  takeRecords(limit: number): Buffer {
    const batches: Buffer[] = [];
    let room = limit;
    for (const { ring } of this.#places) {
      if (room === 0) break;
      const batch = this.#takeOf(ring, room);
      room -= batch.length / recordBytes;
      batches.push(batch);
    }
    return Buffer.concat(batches);
  }

  workers(): readonly { readonly rounds: bigint; readonly isSleeping: boolean }[] {
    const rows = this.#status.read(statusOffsets.lanes, this.#places.length * laneBytes);
    return this.#places.map((_, lane) => ({
      rounds: rows.readBigUInt64LE(lane * laneBytes + laneOffsets.rounds),
      isSleeping: rows.readUInt32LE(lane * laneBytes + laneOffsets.sleeping) !== 0,
    }));
  }

  close(): void {
    this.#memory.close();
    this.#status.close();
  }

  /** Reads what is there, then tells the worker that its places are free. */
  #takeOf(ring: number, limit: number): Buffer {
    const head = this.#memory.read(ring, ringOffsets.slots);
    const written = head.readBigUInt64LE(ringOffsets.written);
    const taken = head.readBigUInt64LE(ringOffsets.taken);
    const capacity = head.readUInt32LE(ringOffsets.capacity);
    const count = Math.min(Number(written - taken), limit, capacity);
    if (count <= 0) return Buffer.alloc(0);
    const first = Number(taken % BigInt(capacity));
    const beforeEnd = Math.min(count, capacity - first);
    const slots = ring + ringOffsets.slots;
    const rows = Buffer.concat([
      this.#memory.read(slots + first * recordBytes, beforeEnd * recordBytes),
      ...(count > beforeEnd ? [this.#memory.read(slots, (count - beforeEnd) * recordBytes)] : []),
    ]);
    const next = Buffer.alloc(8);
    next.writeBigUInt64LE(taken + BigInt(count));
    this.#memory.write(ring + ringOffsets.taken, next);
    return rows;
  }

  /** Adds the workers up. Most words are zero, and zeros are found without making big numbers of them. */
  #sum(place: Exclude<Place, 'ring'>, firstWord: number, words: number): BigUint64Array {
    const sum = new BigUint64Array(words);
    for (const places of this.#places) {
      const bytes = this.#memory.read(places[place] + firstWord * 8, words * 8);
      const halfWords = new Uint32Array(bytes.buffer, bytes.byteOffset, words * 2);
      for (let word = 0; word < words; word++) {
        if (halfWords[word * 2] === 0 && halfWords[word * 2 + 1] === 0) continue;
        sum[word] = (sum[word] ?? 0n) + bytes.readBigUInt64LE(word * 8);
      }
    }
    return sum;
  }
}
