/** Counts of processes that come and go, kept so that they never go back. */
import { lossKinds, statKinds } from '../layout.ts';
import { halfKinds, halves, reasonSlots } from './layout.ts';
import type { HalfKind } from './layout.ts';
import type { SharedMemory } from './memory.ts';

/** What one loaded policy has counted, as u64 words. */
export type PolicyCounts = Readonly<Record<HalfKind, BigUint64Array>>;

export interface Tally {
  /** A process to read from, which runs the policy of this loaded sequence of the data path (0 = none) under `own`. */
  open(memory: SharedMemory, policy: { readonly own: number; readonly loaded: number }): void;
  /** It runs another policy now; called when no packet is judged by the one before any more. */
  loaded(policy: { readonly own: number; readonly loaded: number }): void;
  /** Adds what was counted since the last call. */
  collect(): void;
  /** Adds the rest and lets the process go. */
  close(): void;
  /** By interface name: reason r has packets at 2r, bytes at 2r + 1. */
  readonly interfaces: ReadonlyMap<string, { readonly index: number; readonly reasons: BigUint64Array }>;
  /** All of it as text, and back: so that the counts of a process that has died outlive the agent, too. */
  toText(): string;
  /** Begins from there. Raises SyntaxError for another text. */
  restore(text: string): void;
  /** null: nothing was counted under it. */
  policy(loaded: number): PolicyCounts | null;
  readonly stats: BigUint64Array;
  readonly losses: BigUint64Array;
}

/** Loaded policies whose counts are kept: the one in force and the one before. */
const policiesMax = 2;

/** A tally of nothing yet. `nameOf`: interface of a port. */
export const createTally = (nameOf: (port: string) => string): Tally => new DeltaTally(nameOf);

class DeltaTally implements Tally {
  readonly interfaces = new Map<string, { index: number; reasons: BigUint64Array }>();
  readonly stats = new BigUint64Array(Object.keys(statKinds).length);
  readonly losses = new BigUint64Array(Object.keys(lossKinds).length);
  readonly #policies = new Map<number, PolicyCounts>();
  #memory: SharedMemory | null = null;
  /** Which loaded policy each half belongs to; 0 = none. */
  #owners: [number, number] = [0, 0];
  readonly #seen = new Map<string, BigUint64Array>();
  readonly #nameOf: (port: string) => string;

  constructor(nameOf: (port: string) => string) {
    this.#nameOf = nameOf;
  }

  open(memory: SharedMemory, { own, loaded }: { readonly own: number; readonly loaded: number }): void {
    this.close();
    this.#memory = memory;
    this.#seen.clear();
    this.#owners = [0, 0];
    if (own !== 0) this.#owners[own & 1] = loaded;
    this.collect();
  }

  loaded({ own, loaded }: { readonly own: number; readonly loaded: number }): void {
    this.collect();
    this.#owners[own & 1] = loaded;
    for (const kind of halfKinds) this.#seen.delete(`${kind}${String(own & 1)}`);
    while (this.#policies.size > policiesMax) {
      const oldest = Math.min(...this.#policies.keys());
      this.#policies.delete(oldest);
    }
  }

  collect(): void {
    const memory = this.#memory;
    if (memory === null) return;
    for (const { name: port, index, slot } of memory.ports()) {
      const name = this.#nameOf(port);
      const row = this.interfaces.get(name) ?? { index, reasons: new BigUint64Array(reasonSlots * 2) };
      row.index = index;
      this.interfaces.set(name, row);
      this.#add(`slot${String(slot)}`, memory.reasons(slot), row.reasons);
    }
    this.#add('stats', memory.stats(), this.stats);
    this.#add('losses', memory.losses(), this.losses);
    for (const half of [0, 1] as const) {
      const owner = this.#owners[half];
      if (owner === 0) continue;
      const counts = this.#countsOf(owner);
      for (const kind of halfKinds) this.#add(`${kind}${String(half)}`, memory.half(kind, half), counts[kind]);
    }
  }

  close(): void {
    if (this.#memory === null) return;
    this.collect();
    this.#memory.close();
    this.#memory = null;
  }

  policy(loaded: number): PolicyCounts | null {
    return this.#policies.get(loaded) ?? null;
  }

  toText(): string {
    const policies = [...this.#policies].map(([loaded, counts]) => [loaded, halfKinds.map((kind) => sparse(counts[kind]))]);
    const interfaces = [...this.interfaces].map(([name, { index, reasons }]) => [name, index, sparse(reasons)]);
    return JSON.stringify({ interfaces, policies, stats: sparse(this.stats), losses: sparse(this.losses) });
  }

  restore(text: string): void {
    const kept = JSON.parse(text) as KeptTally;
    fill(this.stats, kept.stats);
    fill(this.losses, kept.losses);
    for (const [name, index, words] of kept.interfaces) {
      const reasons = new BigUint64Array(reasonSlots * 2);
      fill(reasons, words);
      this.interfaces.set(name, { index, reasons });
    }
    for (const [loaded, kinds] of kept.policies) {
      const counts = this.#countsOf(loaded);
      for (const [position, kind] of halfKinds.entries()) fill(counts[kind], kinds[position] ?? []);
    }
  }

  #countsOf(loaded: number): PolicyCounts {
    const known = this.#policies.get(loaded);
    if (known !== undefined) return known;
    const of = (kind: HalfKind): BigUint64Array => new BigUint64Array(halves[kind].entries * halves[kind].words);
    const fresh = { mappings: of('mappings'), limits: of('limits'), deny: of('deny'), backends: of('backends') };
    this.#policies.set(loaded, fresh);
    return fresh;
  }

  /** A count that went back began anew. */
  #add(key: string, values: BigUint64Array, sum: BigUint64Array): void {
    const seen = this.#seen.get(key);
    const halfWords = new Uint32Array(values.buffer);
    for (let word = 0; word < values.length; word++) {
      if (halfWords[word * 2] === 0 && halfWords[word * 2 + 1] === 0) continue;
      const value = values[word] ?? 0n;
      const before = seen?.[word] ?? 0n;
      sum[word] = (sum[word] ?? 0n) + (value >= before ? value - before : value);
    }
    this.#seen.set(key, values);
  }
}

/** Words that are not zero, by position. */
type Sparse = readonly (readonly [word: number, value: string])[];
interface KeptTally {
  readonly interfaces: readonly (readonly [name: string, index: number, reasons: Sparse])[];
  readonly policies: readonly (readonly [loaded: number, kinds: readonly Sparse[]])[];
  readonly stats: Sparse;
  readonly losses: Sparse;
}

const sparse = (values: BigUint64Array): Sparse =>
  Array.from(values.entries()).flatMap(([word, value]) => (value === 0n ? [] : [[word, String(value)] as const]));

const fill = (values: BigUint64Array, words: Sparse): void => {
  for (const [word, value] of words) values[word] = BigInt(value);
};
