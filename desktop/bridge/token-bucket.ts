/** Allows `ratePerSecond` on average and as many at once. */
export class TokenBucket {
  readonly #ratePerSecond: number;
  readonly #now: () => number;
  #tokens: number;
  #filledAt: number;

  /** `now`: monotonic milliseconds. */
  constructor(ratePerSecond: number, now: () => number) {
    this.#ratePerSecond = ratePerSecond;
    this.#now = now;
    this.#tokens = ratePerSecond;
    this.#filledAt = now();
  }

  /** Takes one; false when the rate is used up. */
  take(): boolean {
    const now = this.#now();
    this.#tokens = Math.min(this.#ratePerSecond, this.#tokens + ((now - this.#filledAt) * this.#ratePerSecond) / 1000);
    this.#filledAt = now;
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }
}
