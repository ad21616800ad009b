import { NestError } from '../../../proto/model/error.ts';
import { burstOf, compilePolicy, openImage } from '../../engine/api.ts';
import type { CheckedMapping, Engine, EngineCounters, PolicyImage } from '../../engine/api.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import type { Balancer, Count, DenyList, PathCounters, RateLimit } from './api.ts';
import { createBalancers } from './balancing/balancers.ts';
import type { BackendCount } from './balancing/balancers.ts';
import { denyProblemWords } from './deny/deny-problem-words.ts';
import { hostListPrefix } from './deny/deny-sources.ts';
import type { DenyContent, DenySources } from './deny/deny-sources.ts';
import type { DenyListEffect, DenyListUpdate, HostDenyLists } from './deny/host-deny-lists.ts';
import { createFloodSwitch } from './flood-switch.ts';
import type { BackendFlows } from './flow-backends.ts';
import type { Probe } from './health/probe.ts';
import type { PolicyTables } from './policy-tables.ts';

export interface SteeringOptions {
  readonly clock: Clock;
  readonly log: Logger;
  readonly probe: Probe;
  readonly sources: DenySources;
  readonly lists: HostDenyLists;
  /** Does the work when no swap is under way; failures are its own to log. */
  readonly enqueue: (what: string, work: (engine: Engine) => Promise<void>) => void;
  /** Loads the policy in force once more, because its deny lists have changed. */
  readonly reload: () => void;
}

/** Tables of a policy as they go into the kernel now. */
export interface LoadableTables {
  readonly image: Uint8Array;
  /** NEST_BACKEND_* by backend index. */
  readonly states: Uint8Array;
  readonly content: DenyContent;
  /** Prefixes by deny list, in the order of the image. */
  readonly denyLists: readonly { readonly name: string; readonly prefixes: number }[];
}

/**
 * What changes in the data path while one policy is in force: states of backends by their health, deny lists by files, expiry
 * and the host's own ones, flood mode by the miss rate.
 */
export interface Steering {
  /** Makes the tables complete: with files, expiry and the host's lists. Raises POLICY_INVALID, POLICY_TOO_LARGE. */
  prepare(tables: PolicyTables): Promise<LoadableTables>;
  /** Judges as the tables of a candidate would with everything they lack. Raises POLICY_INVALID (a file is missing or malformed), POLICY_TOO_LARGE. */
  preview(tables: PolicyTables): Promise<PolicyImage>;
  /** These tables are in force now. */
  loaded(tables: PolicyTables, loadable: LoadableTables): void;
  /** About once a second, with fresh counters. */
  sample(engine: Engine, counters: EngineCounters): void;
  /** Looks whether files or expiries ask for a reload; about every five seconds. */
  checkDenyLists(): Promise<void>;
  /** `liveFlows`: by mapping, slash and backend; null: not known yet. */
  balancers(counters: EngineCounters, liveFlows: BackendFlows | null): readonly Balancer[];
  /** The backend of a mapping at an address and port; empty when the policy in force has none there. */
  backendName(mapping: string, address: string, port: number): string;
  denyLists(counters: EngineCounters, prefixes: number): readonly DenyList[];
  path(counters: EngineCounters): PathCounters;
  /** Rate limits of the policy in force, by mapping, and what went over them. */
  limits(counters: EngineCounters): ReadonlyMap<string, { readonly limit: RateLimit; readonly limited: Count }>;
  /** Changes a list of the host on disk; the tables follow by a reload. Raises INPUT_INVALID, also for a list of the policy, and STATE_FAILED. */
  updateDenyList(update: DenyListUpdate): DenyListEffect;
  close(): void;
}

/** Steering without a policy yet. */
export const createSteering = (options: SteeringOptions): Steering => new PolicySteering(options);

interface InForce {
  readonly tables: PolicyTables;
  readonly loadable: LoadableTables;
  readonly limits: ReadonlyMap<string, { readonly index: number; readonly limit: RateLimit }>;
}

class PolicySteering implements Steering {
  readonly #options: SteeringOptions;
  readonly #balancers;
  readonly #flood = createFloodSwitch();
  #floodSinceMs: number | null = null;
  #inForce: InForce | null = null;

  constructor(options: SteeringOptions) {
    this.#options = options;
    this.#balancers = createBalancers({
      clock: options.clock,
      probe: options.probe,
      onStates: () => options.enqueue('the states of backends', async (engine) => await engine.setBackendStates(this.#balancers.states())),
      onHealth: (mapping, backend, { health, detail }) =>
        options.log[health === 'down' ? 'warn' : 'info'](`backend ${health}`, { mapping, backend, detail }),
    });
  }

  async prepare(tables: PolicyTables): Promise<LoadableTables> {
    const { content, compiled } = await this.#options.sources.load(tables.policy, (gathered) =>
      gathered.isPlain ? tables : compilePolicy(gathered.policy, gathered.options),
    );
    this.#balancers.use(tables.policy);
    return { image: compiled.image, states: this.#balancers.states(), content, denyLists: compiled.denyLists };
  }

  async preview(tables: PolicyTables): Promise<PolicyImage> {
    const content = await this.#options.sources.preview(tables.policy);
    return content.isPlain ? tables.judge : openImage(compilePolicy(content.policy, content.options).image);
  }

  loaded(tables: PolicyTables, loadable: LoadableTables): void {
    const rateLimits = new Map(tables.policy.mappings.map(({ name, rateLimit }) => [name, rateLimit]));
    const limits = new Map(
      tables.record.mappings.flatMap(({ name }, index) => {
        const rateLimit = rateLimits.get(name);
        return rateLimit === undefined ? [] : [[name, { index, limit: limitOf(rateLimit) }] as const];
      }),
    );
    this.#inForce = { tables, loadable, limits };
  }

  sample(engine: Engine, counters: EngineCounters): void {
    const { clock, log } = this.#options;
    const hasDenyLists = (this.#inForce?.loadable.denyLists.length ?? 0) > 0;
    this.#flood.sample(counters.judged, clock.monotonicMs());
    const isOn = this.#flood.isOn && hasDenyLists;
    if (isOn === (this.#floodSinceMs !== null)) return;
    engine.setFlood(isOn);
    this.#floodSinceMs = isOn ? clock.nowMs() : null;
    log.warn(isOn ? 'flood mode on: deny lists come first' : 'flood mode off', { missesPerSecond: this.#flood.missesPerSecond });
  }

  async checkDenyLists(): Promise<void> {
    const { lists, sources, clock, reload, log } = this.#options;
    const expired = lists.expire(clock.nowMs());
    for (const [name, prefixes] of expired) log.info('prefixes of a deny list have expired', { list: name, prefixes: prefixes.length });
    if (expired.size > 0) sources.touch();
    if (this.#inForce !== null && (await sources.isStale())) reload();
  }

  balancers(counters: EngineCounters, liveFlows: BackendFlows | null): readonly Balancer[] {
    const { backends } = counters.active;
    const of = (index: number): BackendCount => ({
      flows: backends[index * 3] ?? 0n,
      packets: backends[index * 3 + 1] ?? 0n,
      bytes: backends[index * 3 + 2] ?? 0n,
    });
    return this.#balancers.view({ of, liveFlows });
  }

  backendName(mapping: string, address: string, port: number): string {
    return this.#balancers.nameAt(mapping, address, port);
  }

  denyLists(counters: EngineCounters, prefixes: number): readonly DenyList[] {
    const { lists, clock } = this.#options;
    const inForce = this.#inForce;
    const loaded = new Map((inForce?.loadable.denyLists ?? []).map((list, index) => [list.name, { ...list, index }]));
    const hitsOf = (name: string): Count => {
      const index = loaded.get(name)?.index;
      if (index === undefined) return { packets: 0n, bytes: 0n };
      const { denyLists } = counters.active;
      return { packets: denyLists[index * 2] ?? 0n, bytes: denyLists[index * 2 + 1] ?? 0n };
    };
    const ofPolicy = (inForce?.tables.policy.denyLists ?? []).map((list): DenyList => {
      const expiresAtMs = list.expires === undefined ? null : Date.parse(list.expires);
      return {
        name: list.name,
        origin: 'policy',
        file: list.file ?? '',
        prefixes: loaded.get(list.name)?.prefixes ?? 0,
        firstPrefixes: (list.prefixes ?? []).slice(0, prefixes),
        expiresAtMs,
        isExpired: expiresAtMs !== null && expiresAtMs <= clock.nowMs(),
        hits: hitsOf(list.name),
        problem: denyProblemWords(inForce?.loadable.content.problems.get(list.name), clock.nowMs()),
      };
    });
    const ofHost = lists.names().map((name): DenyList => {
      const list = lists.list(name);
      return {
        name,
        origin: 'host',
        file: '',
        prefixes: list.prefixes.length,
        firstPrefixes: list.prefixes.slice(0, prefixes),
        expiresAtMs: list.expiresAtMs,
        isExpired: false,
        hits: hitsOf(`${hostListPrefix}${name}`),
        problem: '',
      };
    });
    return [...ofPolicy, ...ofHost];
  }

  path({ judged, forwarded, routedByKernel, tooBigAnswered }: EngineCounters): PathCounters {
    const isFlood = this.#floodSinceMs !== null;
    return { judged, forwarded, routedByKernel, tooBigAnswered, isFlood, floodSinceMs: this.#floodSinceMs };
  }

  limits({ active }: EngineCounters): ReadonlyMap<string, { readonly limit: RateLimit; readonly limited: Count }> {
    const limits = this.#inForce?.limits ?? new Map<string, { readonly index: number; readonly limit: RateLimit }>();
    return new Map(
      [...limits].map(([name, { index, limit }]) => [
        name,
        { limit, limited: { packets: active.limited[index * 2] ?? 0n, bytes: active.limited[index * 2 + 1] ?? 0n } },
      ]),
    );
  }

  updateDenyList(update: DenyListUpdate): DenyListEffect {
    const { lists, sources, clock } = this.#options;
    if (this.#inForce?.tables.policy.denyLists.some(({ name }) => name === update.name) === true)
      throw new NestError('INPUT_INVALID', `The deny list "${update.name}" belongs to the policy. Change it there, by plan and apply.`);
    const effect = lists.update(update, clock.nowMs());
    if (effect.added.length + effect.removed.length > 0) sources.touch();
    return effect;
  }

  close(): void {
    this.#balancers.close();
  }
}

/** The limit of a mapping as it holds. */
const limitOf = (limit: NonNullable<CheckedMapping['rateLimit']>): RateLimit => ({
  packetsPerSecond: limit.packetsPerSecond ?? null,
  bytesPerSecond: limit.bytesPerSecond ?? null,
  burst: burstOf(limit),
  perSource: limit.per === 'source',
});
