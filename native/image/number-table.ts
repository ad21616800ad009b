/** Open-addressing table from non-negative safe integers to unsigned 32-bit values; a third of the time and memory of a Map at a million entries. */

const empty = -1;
const smallestCapacity = 64;

/** Grows without limit of its own: the caller bounds how many keys it adds. */
export class NumberTable {
  #keys: Float64Array;
  #values: Uint32Array;
  #size = 0;

  constructor(expected = 0) {
    let capacity = smallestCapacity;
    while (capacity < expected * 2) capacity *= 2;
    this.#keys = new Float64Array(capacity).fill(empty);
    this.#values = new Uint32Array(capacity);
  }

  get size(): number {
    return this.#size;
  }

  /** The value of a key, 0 when it is absent. */
  get(key: number): number {
    return this.#values[this.#slotOf(key)] ?? 0;
  }

  set(key: number, value: number): void {
    let slot = this.#slotOf(key);
    if (this.#keys[slot] === empty) {
      if ((this.#size + 1) * 2 > this.#keys.length) {
        this.#grow();
        slot = this.#slotOf(key);
      }
      this.#keys[slot] = key;
      this.#size++;
    }
    this.#values[slot] = value;
  }

  /** All keys, ascending. */
  sortedKeys(): Float64Array {
    const sorted = new Float64Array(this.#size);
    let count = 0;
    for (const key of this.#keys) if (key !== empty) sorted[count++] = key;
    return sorted.sort();
  }

  /** Where the key is, or the free slot where it would be; there always is one. */
  #slotOf(key: number): number {
    const mask = this.#keys.length - 1;
    let slot = hash(key) & mask;
    for (;;) {
      const found = this.#keys[slot];
      if (found === key || found === empty) return slot;
      slot = (slot + 1) & mask;
    }
  }

  #grow(): void {
    const keys = this.#keys;
    const values = this.#values;
    this.#keys = new Float64Array(keys.length * 2).fill(empty);
    this.#values = new Uint32Array(values.length * 2);
    for (const [position, key] of keys.entries()) {
      if (key === empty) continue;
      const slot = this.#slotOf(key);
      this.#keys[slot] = key;
      this.#values[slot] = values[position] ?? 0;
    }
  }
}

const hash = (key: number): number => {
  let mixed = Math.imul(key | 0, 0x9e37_79b1) ^ Math.imul((key / 0x1_0000_0000) | 0, 0x85eb_ca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 15), 0x2c1b_3c6d);
  return mixed ^ (mixed >>> 13);
};
