/**
 * The policy of an agent without a data path. What a document may say, what of it is in force and what a plan shows is decided by the
 * agent's own code; only the tables go nowhere.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { openStateDatabase } from '../../agent/control/revisions/api.ts';
import type { RaiseWarning } from '../../agent/control/revisions/api.ts';
import type { Plan, PlanRequest, Traffic, WithheldMapping } from '../../agent/domains/traffic/api.ts';
import { mayHoldApprovals } from '../../agent/domains/traffic/approval.ts';
import { ledgerMigrations } from '../../agent/domains/traffic/counter-ledger.ts';
import { createFailedChanges } from '../../agent/domains/traffic/data-path-warnings.ts';
import { openMappingTerms } from '../../agent/domains/traffic/mapping-terms.ts';
import type { MappingTerms } from '../../agent/domains/traffic/mapping-terms.ts';
import { createPlanCache } from '../../agent/domains/traffic/plan-cache.ts';
import { createDocumentCompiler } from '../../agent/domains/traffic/policy-tables.ts';
import type { DocumentCompiler, PolicyTables } from '../../agent/domains/traffic/policy-tables.ts';
import type { Clock, Timer } from '../../agent/lib/clock.ts';
import { silentLogger } from '../../agent/lib/log.ts';
import { compileShared, planAlone, planShared } from './shared-plans.ts';

/** How often an agent looks whether the time of a mapping is over. */
const lookMs = 1_000;
const mappingEnds = 'mappings whose time is over';
const noneWithheld: readonly WithheldMapping[] = [];

export interface SimulatedPolicyOptions {
  readonly clock: Clock;
  readonly stateDir: string;
  readonly raise: RaiseWarning;
  readonly onMappingEnded: (ended: WithheldMapping) => void;
}

/** What a host keeps of its mappings' ends, and the compiler that goes by it. */
interface OwnTerms {
  readonly terms: MappingTerms;
  readonly compiler: DocumentCompiler;
  close(): void;
}

export class SimulatedPolicy implements Pick<Traffic, 'plan' | 'takePlan' | 'activate' | 'close'> {
  readonly #options: SimulatedPolicyOptions;
  readonly #path: string;
  readonly #plans;
  readonly #failures;
  /** null: this host has never seen an approval. Most have not, and have no such file. */
  #own: OwnTerms | null;
  #current: PolicyTables | null = null;
  #changes: Promise<unknown> = Promise.resolve();
  #timer: Timer | undefined;
  #isClosed = false;

  /** Raises STATE_FAILED. */
  constructor(options: SimulatedPolicyOptions) {
    this.#options = options;
    this.#path = join(options.stateDir, 'traffic.sqlite');
    this.#plans = createPlanCache(options.clock);
    this.#failures = createFailedChanges(options.raise);
    this.#own = existsSync(this.#path) ? openTerms(this.#path, options) : null;
  }

  /** Of the policy in force; empty before the first. */
  get generation(): string {
    return this.#current?.generation ?? '';
  }

  get withheld(): readonly WithheldMapping[] {
    return this.#own?.terms.withheld() ?? noneWithheld;
  }

  async plan(request: PlanRequest, signal: AbortSignal): Promise<Plan> {
    const { clock } = this.#options;
    const isPlain = !mayHoldApprovals(request.policyJson) && !mayHoldApprovals(request.base.policyJson);
    const compiler: DocumentCompiler = {
      compile: (policyJson) => this.#compile(policyJson),
      again: (tables) => this.#terms().compiler.again(tables),
    };
    const plan = await (isPlain ? planShared : planAlone)(request, { compiler, clock }, signal);
    if (plan.planHash !== '') this.#plans.put(plan);
    return plan;
  }

  async takePlan(planHash: string, policyJson: string): Promise<Plan> {
    return await this.#plans.take(planHash, async () => (await this.#compile(policyJson)).generation);
  }

  async activate(policyJson: string, signal: AbortSignal): ReturnType<Traffic['activate']> {
    return await this.#inTurn(async () => {
      const tables = await this.#compile(policyJson);
      signal.throwIfAborted();
      this.#load(tables);
      return { generation: tables.generation, loadMs: 0, flipMs: 0 };
    });
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#timer?.cancel();
    await this.#changes.catch(() => undefined);
    this.#own?.close();
  }

  #terms(): OwnTerms {
    return (this.#own ??= openTerms(this.#path, this.#options));
  }

  async #compile(policyJson: string): Promise<PolicyTables> {
    return mayHoldApprovals(policyJson) ? await this.#terms().compiler.compile(policyJson) : await compileShared(policyJson);
  }

  #load(tables: PolicyTables): void {
    this.#current = tables;
    this.#timer?.cancel();
    if (tables.terms.nextEndMs !== null) this.#armLook();
    this.#own?.terms.loaded(tables.terms);
  }

  #armLook(): void {
    if (!this.#isClosed) this.#timer = this.#options.clock.after(lookMs, () => this.#look());
  }

  /** As a host does: ends are looked for second by second, by the wall clock. */
  #look(): void {
    this.#armLook();
    if (this.#own?.terms.isDue() === true) void this.#endMappings();
  }

  async #endMappings(): Promise<void> {
    try {
      await this.#inTurn(async () => {
        if (this.#current !== null && !this.#isClosed) this.#load(await this.#terms().compiler.again(this.#current));
      });
      this.#failures.succeeded(mappingEnds);
    } catch (error) {
      this.#failures.failed(mappingEnds, error);
    }
  }

  /** One change after the other. */
  async #inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const turn = this.#changes.catch(() => undefined).then(work);
    this.#changes = turn;
    return await turn;
  }
}

const openTerms = (path: string, { clock, onMappingEnded }: SimulatedPolicyOptions): OwnTerms => {
  const { database } = openStateDatabase({ path, migrations: ledgerMigrations });
  const terms = openMappingTerms({ database, clock, log: silentLogger, onEnded: onMappingEnded });
  return { terms, compiler: createDocumentCompiler((policy) => terms.inForce(policy)), close: () => database.close() };
};
