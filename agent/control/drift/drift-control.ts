import { join } from 'node:path';
import { emptyFact } from '../../../proto/model/audit.ts';
import { errorCodeOf, NestError, toErrorShape } from '../../../proto/model/error.ts';
import { readTextIfPresent, writeFileAtomic } from '../../lib/atomic-file.ts';
import type { Clock, Timer } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import type { AuditControl } from '../audit/api.ts';
import type { RaiseWarning } from '../revisions/api.ts';
import type { DriftControl, DriftFinding, DriftFound, DriftMode, DriftPort, DriftStatus } from './api.ts';

/** How often the kernel is looked at. */
export const driftCheckMs = 60_000;
/** Findings told; more of them are one and the same trouble. */
const findingsMax = 64;
const fileName = 'drift.json';

export interface DriftOptions {
  /** Directory of drift.json; must exist. */
  readonly stateDir: string;
  readonly port: DriftPort;
  readonly audit: Pick<AuditControl, 'note'>;
  readonly raise: RaiseWarning;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Drift control with the mode that was chosen last, looking from now on. A file that cannot be read counts as "report", with an error in the log. */
export const createDriftControl = async (options: DriftOptions): Promise<DriftControl> => {
  const control = new HostDrift(options, await storedMode(options));
  control.arm();
  return control;
};

class HostDrift implements DriftControl {
  readonly #options: DriftOptions;
  readonly #findings = new Map<string, DriftFinding>();
  #mode: DriftMode;
  #checkedAtMs: number | null = null;
  #healed = 0;
  #timer: Timer | undefined;
  #running: Promise<DriftStatus> | null = null;
  #isClosed = false;

  constructor(options: DriftOptions, mode: DriftMode) {
    this.#options = options;
    this.#mode = mode;
  }

  arm(): void {
    if (!this.#isClosed) this.#timer = this.#options.clock.after(driftCheckMs, () => void this.#onTimer());
  }

  status(): DriftStatus {
    return { mode: this.#mode, checkedAtMs: this.#checkedAtMs, findings: [...this.#findings.values()], healed: this.#healed };
  }

  async check(): Promise<DriftStatus> {
    this.#running ??= this.#look().finally(() => void (this.#running = null));
    return await this.#running;
  }

  async setMode(mode: DriftMode): Promise<DriftStatus> {
    try {
      await writeFileAtomic(join(this.#options.stateDir, fileName), `${JSON.stringify({ mode })}\n`);
    } catch (cause) {
      throw new NestError(
        'STATE_FAILED',
        'The choice cannot be stored. Check that the disk has room and that the state directory is writable.',
        {
          cause,
        },
      );
    }
    // One that runs may have begun with the other mode.
    await this.#running?.catch(() => undefined);
    this.#mode = mode;
    return await this.check();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#timer?.cancel();
    await this.#running?.catch(() => undefined);
  }

  async #onTimer(): Promise<void> {
    try {
      await this.check();
    } catch (error) {
      if (!this.#isClosed) this.#options.log.warn('drift cannot be looked for', { error });
    }
    this.arm();
  }

  async #look(): Promise<DriftStatus> {
    const { port } = this.#options;
    this.#compare(await port.inspect(), 'drift.gone');
    const healable = [...this.#findings.values()].filter(({ canHeal }) => canHeal).map(({ resource }) => resource);
    if (this.#mode === 'heal' && healable.length > 0) {
      await this.#heal(healable);
      this.#compare(await port.inspect(), 'drift.healed');
    }
    this.#checkedAtMs = this.#options.clock.nowMs();
    this.#tell();
    return this.status();
  }

  async #heal(resources: readonly string[]): Promise<void> {
    const { port, log } = this.#options;
    try {
      await port.heal(resources);
    } catch (error) {
      log.error('drift cannot be put right', { resources, error });
      for (const resource of resources) this.#note('drift.heal', { resource, message: toErrorShape(error).message }, errorCodeOf(error));
    }
  }

  /** Notes what is new and what has gone; `goneAs`: why it has. */
  #compare(found: readonly DriftFound[], goneAs: 'drift.gone' | 'drift.healed'): void {
    const now = new Map(found.slice(0, findingsMax).map((each) => [each.resource, each]));
    for (const [resource, finding] of this.#findings) {
      if (now.has(resource)) continue;
      this.#findings.delete(resource);
      if (goneAs === 'drift.healed') this.#healed += 1;
      this.#options.log.info('drift is gone', { resource, isHealed: goneAs === 'drift.healed' });
      this.#note(goneAs, finding);
    }
    for (const [resource, each] of now) {
      const before = this.#findings.get(resource);
      this.#findings.set(resource, { ...each, sinceMs: before?.sinceMs ?? this.#options.clock.nowMs() });
      if (before !== undefined) continue;
      this.#options.log.warn('the kernel has drifted', { resource, what: each.message });
      this.#note('drift.found', each);
    }
  }

  #note(action: string, { resource, message }: Pick<DriftFound, 'resource' | 'message'>, result = emptyFact.result): void {
    this.#options.audit.note({ ...emptyFact, actor: 'agent', action, target: `resource=${resource}`, detail: message, result });
  }

  #tell(): void {
    const findings = [...this.#findings.values()];
    const message = findings.map(({ resource, message: what }) => `${resource}: ${what}`).join(' ');
    this.#options.raise(
      'DRIFT',
      findings.length === 0 ? null : { title: 'The kernel is not as the agent has left it', message, severity: 'warning' },
    );
  }
}

const storedMode = async ({ stateDir, log }: DriftOptions): Promise<DriftMode> => {
  try {
    const text = await readTextIfPresent(join(stateDir, fileName));
    const stored: unknown = text === null ? null : JSON.parse(text);
    return typeof stored === 'object' && stored !== null && 'mode' in stored && stored.mode === 'heal' ? 'heal' : 'report';
  } catch (error) {
    log.error('the mode of drift control cannot be read: drift is reported', { error });
    return 'report';
  }
};
