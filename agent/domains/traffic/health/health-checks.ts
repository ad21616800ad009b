import type { Clock, Timer } from '../../../lib/clock.ts';
import type { Probe, ProbeAnswer, ProbeTarget } from './probe.ts';

export type Health = 'unknown' | 'up' | 'down';

/** One backend to be watched. */
export interface CheckedBackend {
  /** Names the backend across policies, so that a new one does not forget what is known. */
  readonly key: string;
  readonly target: ProbeTarget;
  readonly intervalMs: number;
  /** Answers in a row that make it healthy, and unhealthy: 1 or more. */
  readonly rise: number;
  readonly fall: number;
}

export interface BackendHealth {
  readonly health: Health;
  /** The last answer; empty before the first. */
  readonly detail: string;
  /** When `health` became so, milliseconds since the Unix epoch; null while unknown. */
  readonly sinceMs: number | null;
}

export interface HealthChecks {
  /** Watches exactly these backends from now on. What is known of a backend whose check is the same is kept. */
  watch(backends: readonly CheckedBackend[]): void;
  /** Unknown for a backend that is not watched. */
  health(key: string): BackendHealth;
  /** Ends all checks; idempotent. */
  close(): void;
}

export interface HealthCheckOptions {
  readonly clock: Clock;
  readonly probe: Probe;
  /** Called at once whenever the health of a backend changed. */
  readonly onChange: (key: string, health: BackendHealth) => void;
}

/** Probes at a time; what comes due beyond it waits for its turn. */
export const probesMax = 128;

/** From the beginning of one failed check to that of the next, as long as the failures do not suffice. */
export const failingPauseMs = 100;

const notKnown: BackendHealth = { health: 'unknown', detail: '', sinceMs: null };

/** Checks without backends yet: call `watch`. */
export const createHealthChecks = (options: HealthCheckOptions): HealthChecks => new Checks(options);

class Watched {
  backend: CheckedBackend;
  known: BackendHealth = notKnown;
  /** Answers in a row that say the opposite of `known`. */
  opposing = 0;
  timer: Timer | undefined;
  isGone = false;

  constructor(backend: CheckedBackend) {
    this.backend = backend;
  }
}

class Checks implements HealthChecks {
  readonly #options: HealthCheckOptions;
  readonly #watched = new Map<string, Watched>();
  readonly #due: Watched[] = [];
  readonly #stopping = new AbortController();
  #asking = 0;

  constructor(options: HealthCheckOptions) {
    this.#options = options;
  }

  watch(backends: readonly CheckedBackend[]): void {
    if (this.#stopping.signal.aborted) return;
    const wanted = new Map(backends.map((backend) => [backend.key, backend]));
    for (const [key, watched] of this.#watched) {
      const next = wanted.get(key);
      if (next !== undefined && isSameTarget(next.target, watched.backend.target)) {
        watched.backend = next;
        wanted.delete(key);
        continue;
      }
      this.#forget(key, watched);
    }
    let order = 0;
    for (const backend of wanted.values()) {
      const watched = new Watched(backend);
      this.#watched.set(backend.key, watched);
      // Spread over the first interval, so that a thousand backends are not asked in one moment.
      this.#arm(watched, Math.min(backend.intervalMs, order++ % 100));
    }
  }

  health(key: string): BackendHealth {
    return this.#watched.get(key)?.known ?? notKnown;
  }

  close(): void {
    this.#stopping.abort();
    for (const [key, watched] of this.#watched) this.#forget(key, watched);
  }

  #forget(key: string, watched: Watched): void {
    watched.isGone = true;
    watched.timer?.cancel();
    this.#watched.delete(key);
  }

  #arm(watched: Watched, delayMs: number): void {
    if (watched.isGone) return;
    watched.timer = this.#options.clock.after(delayMs, () => {
      this.#due.push(watched);
      this.#askDue();
    });
  }

  #askDue(): void {
    while (this.#asking < probesMax) {
      const watched = this.#due.shift();
      if (watched === undefined) return;
      if (!watched.isGone) void this.#ask(watched);
    }
  }

  async #ask(watched: Watched): Promise<void> {
    const { clock, probe } = this.#options;
    const begunMs = clock.monotonicMs();
    this.#asking++;
    const answer = await probe(watched.backend.target, this.#stopping.signal);
    this.#asking--;
    if (!watched.isGone) {
      this.#take(watched, answer);
      this.#arm(watched, Math.max(0, pauseOf(watched) - (clock.monotonicMs() - begunMs)));
    }
    this.#askDue();
  }

  #take(watched: Watched, { isHealthy, detail }: ProbeAnswer): void {
    const { backend, known } = watched;
    const says: Health = isHealthy ? 'up' : 'down';
    if (known.health === says) {
      watched.opposing = 0;
      watched.known = { ...known, detail };
      return;
    }
    watched.opposing++;
    // The first answer of all decides at once: nobody should wait several intervals for a backend that is there.
    const needed = known.health === 'unknown' ? 1 : isHealthy ? backend.rise : backend.fall;
    if (watched.opposing < needed) {
      watched.known = { ...known, detail };
      return;
    }
    watched.opposing = 0;
    watched.known = { health: says, detail, sinceMs: this.#options.clock.nowMs() };
    this.#options.onChange(backend.key, watched.known);
  }
}

/** A backend that is up and began to fail is asked again soon, so that it is down after its first failure and little more. */
const pauseOf = ({ backend, known, opposing }: Watched): number =>
  known.health === 'up' && opposing > 0 ? Math.min(backend.intervalMs, failingPauseMs) : backend.intervalMs;

const isSameTarget = (a: ProbeTarget, b: ProbeTarget): boolean =>
  a.kind === b.kind && a.address === b.address && a.port === b.port && a.path === b.path;
