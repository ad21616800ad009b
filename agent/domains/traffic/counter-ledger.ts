import type { DatabaseSync } from 'node:sqlite';
import type { EngineCounters, MappingValues } from '../../engine/api.ts';
import { mappingDefault } from '../../engine/api.ts';
import { inTransaction } from '../../control/revisions/api.ts';
import { denyListMigration } from './deny/host-deny-lists.ts';
import { mappingEndMigration } from './mapping-terms.ts';
import { interfaceEngineMigration } from './interface-engines.ts';

/** What the kernel runs under one sequence. */
export interface SequenceRecord {
  readonly generation: string;
  /** Position = mapping index. */
  readonly mappings: readonly LedgerMapping[];
  readonly isDefaultAllow: boolean;
}

interface LedgerMapping {
  readonly name: string;
  readonly allow: boolean;
}

export interface LedgerTotal {
  /** Empty = default action. */
  readonly mapping: string;
  readonly allow: boolean;
  readonly packets: bigint;
  readonly bytes: bigint;
}

/**
 * Totals by mapping name that are exact over swaps, restarts and crashes. The kernel counts by index and sequence and keeps two
 * sequences; the ledger notes for each of them how much it has already added to the totals, in the same transaction.
 * So adding is idempotent: whatever happens between two calls, each packet is added once.
 */
export interface CounterLedger {
  /** What a sequence of this data path runs; undefined when it is not known any more. */
  sequence(instance: string, sequence: number): SequenceRecord | undefined;
  /** The stored revision a sequence belongs to; 0 = not known. */
  revisionOf(instance: string, sequence: number): number;
  setRevision(instance: string, sequence: number, revision: number): void;
  /** Before a swap: folds what is about to be overwritten and notes what the next sequence will run. */
  prepareSwap(instance: string, counters: EngineCounters, next: { readonly sequence: number; readonly record: SequenceRecord }): void;
  /** After a swap that failed: its sequence runs nothing. */
  cancelSwap(instance: string, sequence: number): void;
  /** Folds what was counted until now, so that even a reboot loses only what came later. */
  checkpoint(instance: string, counters: EngineCounters): void;
  totals(instance: string, counters: EngineCounters): LedgerTotal[];
  close(): void;
}

/** Schema versions of traffic.sqlite. */
export const ledgerMigrations: readonly string[] = [
  `CREATE TABLE sequence (
     instance TEXT NOT NULL,
     sequence INTEGER NOT NULL,
     generation TEXT NOT NULL,
     revision INTEGER NOT NULL,
     is_default_allow INTEGER NOT NULL,
     mappings TEXT NOT NULL,
     counted BLOB NOT NULL,
     is_closed INTEGER NOT NULL,
     PRIMARY KEY (instance, sequence)
   ) STRICT, WITHOUT ROWID;
   CREATE TABLE total (
     mapping TEXT PRIMARY KEY,
     allow INTEGER NOT NULL,
     packets INTEGER NOT NULL,
     bytes INTEGER NOT NULL,
     turn INTEGER NOT NULL
   ) STRICT, WITHOUT ROWID`,
  denyListMigration,
  interfaceEngineMigration,
  mappingEndMigration,
];

/** Sequences whose names are kept, so that flows judged by an older policy can be named. */
const sequencesKept = 16;
/** Names whose totals are kept; beyond it those that were not counted for longest go. */
const totalsMax = 32_768;

/** A ledger in an opened and migrated database. Every method raises STATE_FAILED when the disk fails. */
export const createCounterLedger = (database: DatabaseSync): CounterLedger => new StoredLedger(database);

interface KnownSequence extends SequenceRecord {
  revision: number;
  isClosed: boolean;
  /** Values already in the totals: packets and bytes by mapping, the default action last. */
  counted: BigUint64Array;
}

interface Total {
  allow: boolean;
  packets: bigint;
  bytes: bigint;
}

class StoredLedger implements CounterLedger {
  readonly #database: DatabaseSync;
  readonly #known = new Map<string, KnownSequence>();
  readonly #totals = new Map<string, Total>();

  constructor(database: DatabaseSync) {
    this.#database = database;
    this.#reload();
  }

  sequence(instance: string, sequence: number): SequenceRecord | undefined {
    return this.#known.get(this.#swapOf(instance, sequence));
  }

  revisionOf(instance: string, sequence: number): number {
    return this.#known.get(this.#swapOf(instance, sequence))?.revision ?? 0;
  }

  setRevision(instance: string, stamp: number, revision: number): void {
    const key = this.#swapOf(instance, stamp);
    const known = this.#known.get(key);
    const [, sequence] = partsOf(key);
    if (known === undefined || known.revision === revision) return;
    this.#change(
      () =>
        void this.#database
          .prepare('UPDATE sequence SET revision = ? WHERE instance = ? AND sequence = ?')
          .run(revision, instance, sequence),
    );
    known.revision = revision;
  }

  prepareSwap(
    instance: string,
    counters: EngineCounters,
    { sequence, record: next }: { readonly sequence: number; readonly record: SequenceRecord },
  ): void {
    try {
      this.#change(() => {
        this.#fold(instance, counters);
        if (counters.retired !== null) this.#closeSequence(instance, counters.retired.sequence);
        this.#forget(instance, sequence);
        this.#insert(instance, sequence, next);
      });
    } catch (error) {
      // Whatever the disk says of that number belongs to an earlier try.
      this.#known.delete(keyOf(instance, sequence));
      throw error;
    }
  }

  cancelSwap(instance: string, sequence: number): void {
    this.#known.delete(keyOf(instance, sequence));
    this.#change(() => void this.#database.prepare('DELETE FROM sequence WHERE instance = ? AND sequence = ?').run(instance, sequence));
  }

  checkpoint(instance: string, counters: EngineCounters): void {
    this.#change(() => this.#fold(instance, counters));
  }

  totals(instance: string, counters: EngineCounters): LedgerTotal[] {
    const totals = new Map([...this.#totals].map(([name, total]) => [name, { ...total }]));
    for (const values of openHalves(counters)) {
      const known = this.#known.get(keyOf(instance, values.sequence));
      if (known === undefined || known.isClosed) continue;
      for (const { mapping, allow, packets, bytes } of newlyCounted(known, values)) {
        const total = totals.get(mapping) ?? { allow, packets: 0n, bytes: 0n };
        totals.set(mapping, { allow: total.allow, packets: total.packets + packets, bytes: total.bytes + bytes });
      }
    }
    const current = this.#known.get(keyOf(instance, counters.active.sequence));
    for (const { name, allow } of current === undefined ? [] : rowsOf(current)) {
      const total = totals.get(name);
      totals.set(name, { allow, packets: total?.packets ?? 0n, bytes: total?.bytes ?? 0n });
    }
    return [...totals].map(([mapping, total]) => ({ mapping, ...total }));
  }

  close(): void {
    if (this.#database.isOpen) this.#database.close();
  }

  /** Key of the swap that a stamp belongs to: re-stamps count up from their swap, so it is the last one until then. */
  #swapOf(instance: string, stamp: number): string {
    let swap = stamp;
    if (!this.#known.has(keyOf(instance, stamp))) {
      swap = -1;
      for (const key of this.#known.keys()) {
        const [owner, sequence] = partsOf(key);
        if (owner === instance && sequence <= stamp && sequence > swap) swap = sequence;
      }
    }
    return keyOf(instance, swap);
  }

  /** One transaction; when it fails, memory is read from disk again, so that both always agree. */
  #change(work: () => void): void {
    try {
      inTransaction(this.#database, work);
    } catch (error) {
      if (this.#database.isOpen) this.#reload();
      throw error;
    }
  }

  #fold(instance: string, counters: EngineCounters): void {
    for (const values of openHalves(counters)) {
      const known = this.#known.get(keyOf(instance, values.sequence));
      if (known === undefined || known.isClosed) continue;
      const fresh = newlyCounted(known, values);
      if (fresh.length === 0) continue;
      this.#add(fresh, values.sequence);
      known.counted = compacted(known, values);
      this.#database
        .prepare('UPDATE sequence SET counted = ? WHERE instance = ? AND sequence = ?')
        .run(bytesOf(known.counted), instance, values.sequence);
    }
  }

  #add(fresh: readonly LedgerTotal[], turn: number): void {
    const put = this.#database.prepare('INSERT OR REPLACE INTO total VALUES (?, ?, ?, ?, ?)');
    for (const { mapping, allow, packets, bytes } of fresh) {
      const before = this.#totals.get(mapping);
      const total = { allow, packets: (before?.packets ?? 0n) + packets, bytes: (before?.bytes ?? 0n) + bytes };
      this.#totals.set(mapping, total);
      put.run(mapping, allow ? 1 : 0, total.packets, total.bytes, turn);
    }
    if (this.#totals.size <= totalsMax) return;
    this.#database.prepare('DELETE FROM total WHERE mapping NOT IN (SELECT mapping FROM total ORDER BY turn DESC LIMIT ?)').run(totalsMax);
    this.#readTotals();
  }

  /** Its half is about to be cleared, so what the kernel says of it counts no more. */
  #closeSequence(instance: string, sequence: number): void {
    this.#database.prepare('UPDATE sequence SET is_closed = 1 WHERE instance = ? AND sequence = ?').run(instance, sequence);
    const known = this.#known.get(keyOf(instance, sequence));
    if (known !== undefined) known.isClosed = true;
  }

  #forget(instance: string, next: number): void {
    const kept = [...this.#known.keys()]
      .map(partsOf)
      .filter(([owner, sequence]) => owner === instance && sequence < next)
      .map(([, sequence]) => sequence)
      .sort((a, b) => b - a)
      .slice(0, sequencesKept);
    const oldest = kept.at(-1) ?? next;
    this.#database.prepare('DELETE FROM sequence WHERE instance <> ? OR sequence >= ? OR sequence < ?').run(instance, next, oldest);
    for (const key of this.#known.keys()) {
      const [owner, sequence] = partsOf(key);
      if (owner !== instance || sequence >= next || sequence < oldest) this.#known.delete(key);
    }
  }

  #insert(instance: string, sequence: number, record: SequenceRecord): void {
    const mappings = JSON.stringify(record.mappings.map(({ name, allow }) => [name, allow ? 1 : 0]));
    this.#database
      .prepare('INSERT INTO sequence VALUES (?, ?, ?, 0, ?, ?, ?, 0)')
      .run(instance, sequence, record.generation, record.isDefaultAllow ? 1 : 0, mappings, new Uint8Array());
    this.#known.set(keyOf(instance, sequence), { ...record, revision: 0, isClosed: false, counted: new BigUint64Array() });
  }

  #reload(): void {
    this.#known.clear();
    for (const row of this.#database.prepare('SELECT * FROM sequence').all()) {
      const pairs = JSON.parse(String(row['mappings'])) as [string, number][];
      const blob = row['counted'] as Uint8Array;
      this.#known.set(keyOf(String(row['instance']), Number(row['sequence'])), {
        generation: String(row['generation']),
        revision: Number(row['revision']),
        isDefaultAllow: row['is_default_allow'] === 1,
        mappings: pairs.map(([name, allow]) => ({ name, allow: allow === 1 })),
        counted: new BigUint64Array(blob.slice().buffer),
        isClosed: row['is_closed'] === 1,
      });
    }
    this.#readTotals();
  }

  #readTotals(): void {
    this.#totals.clear();
    const all = this.#database.prepare('SELECT mapping, allow, packets, bytes FROM total');
    all.setReadBigInts(true);
    for (const row of all.iterate()) {
      this.#totals.set(String(row['mapping']), {
        allow: row['allow'] === 1n,
        packets: row['packets'] as bigint,
        bytes: row['bytes'] as bigint,
      });
    }
  }
}

const openHalves = (counters: EngineCounters): readonly MappingValues[] =>
  counters.retired === null ? [counters.active] : [counters.retired, counters.active];

/** Rows as the kernel counts them, the default action (empty name) last. */
const rowsOf = (record: SequenceRecord): LedgerMapping[] => [...record.mappings, { name: '', allow: record.isDefaultAllow }];

/** Where a row's packets stand in the kernel's values. */
const offsetOf = (record: SequenceRecord, row: number): number => (row < record.mappings.length ? row : mappingDefault) * 2;

const newlyCounted = (known: KnownSequence, { values }: MappingValues): LedgerTotal[] => {
  const fresh: LedgerTotal[] = [];
  for (const [row, { name, allow }] of rowsOf(known).entries()) {
    const offset = offsetOf(known, row);
    const packets = (values[offset] ?? 0n) - (known.counted[row * 2] ?? 0n);
    const bytes = (values[offset + 1] ?? 0n) - (known.counted[row * 2 + 1] ?? 0n);
    // A sum over CPUs read while they count never goes back; what does is a half the kernel has cleared.
    if (packets > 0n || bytes > 0n) fresh.push({ mapping: name, allow, packets, bytes });
  }
  return fresh;
};

/** The kernel's values of the rows alone. */
const compacted = (known: SequenceRecord, { values }: MappingValues): BigUint64Array => {
  const counted = new BigUint64Array((known.mappings.length + 1) * 2);
  for (let row = 0; row <= known.mappings.length; row++) {
    const offset = offsetOf(known, row);
    counted[row * 2] = values[offset] ?? 0n;
    counted[row * 2 + 1] = values[offset + 1] ?? 0n;
  }
  return counted;
};

const bytesOf = (values: BigUint64Array): Uint8Array => new Uint8Array(values.buffer, values.byteOffset, values.byteLength);

const keyOf = (instance: string, sequence: number): string => `${String(sequence)} ${instance}`;
const partsOf = (key: string): [instance: string, sequence: number] => [
  key.slice(key.indexOf(' ') + 1),
  Number(key.slice(0, key.indexOf(' '))),
];
