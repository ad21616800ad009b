/** Names a policy accepts, made from names another system wrote: each is given out once. */

const lengthMax = 63;

export class PolicyNames {
  readonly #taken = new Set<string>();
  readonly #counts = new Map<string, number>();

  /** The name itself where a policy accepts it and it is free, else the nearest that is. */
  take(wanted: string): string {
    const cleaned = wanted.replace(/[^A-Za-z0-9._-]+/g, '-').replace(/^[^A-Za-z0-9]+/, '');
    const base =
      cleaned === '' || cleaned.toLowerCase() === 'any' ? `${cleaned === '' ? 'unnamed' : cleaned}-1` : cleaned.slice(0, lengthMax);
    let name = base;
    let count = this.#counts.get(base) ?? 1;
    while (this.#taken.has(name)) {
      const suffix = `-${String(++count)}`;
      name = `${base.slice(0, lengthMax - suffix.length)}${suffix}`;
    }
    this.#counts.set(base, count);
    this.#taken.add(name);
    return name;
  }
}
