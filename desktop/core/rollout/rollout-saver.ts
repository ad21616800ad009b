/** Writes the progress of one rollout to the console's disk: not more often than its size allows, and through failures of that disk. */
import type { Clock } from '../../lib/api.ts';
import type { RolloutProgress } from './rollout-progress.ts';

/** Progress is written whole: the more hosts, the rarer, so that a rollout costs what its hosts do and not their square. */
const saveMsPerHost = 0.2;

export interface SaverOptions {
  readonly clock: Clock;
  /** May raise STATE_FAILED. */
  readonly save: (progress: RolloutProgress) => void;
  readonly report: (message: string, fields: Readonly<Record<string, unknown>>) => void;
}

export class RolloutSaver {
  readonly #options: SaverOptions;
  #savedAtMs = -Infinity;
  #saved: RolloutProgress | null = null;
  #hasFailed = false;

  constructor(options: SaverOptions) {
    this.#options = options;
  }

  /** When it is time; another call follows soon. */
  saveInTurn(progress: RolloutProgress): void {
    if (this.#options.clock.monotonicMs() - this.#savedAtMs >= progress.hosts.length * saveMsPerHost) this.save(progress);
  }

  /** Now. A disk that fails stops nothing: the hosts keep the record, too, and it is tried again with the next call. */
  save(progress: RolloutProgress): void {
    if (this.#saved === progress) return;
    const { clock, save, report } = this.#options;
    this.#savedAtMs = clock.monotonicMs();
    try {
      save(progress);
      this.#saved = progress;
      this.#hasFailed = false;
    } catch (error) {
      if (!this.#hasFailed) report('the progress of a rollout cannot be stored', { rolloutId: progress.rolloutId, error });
      this.#hasFailed = true;
    }
  }
}
