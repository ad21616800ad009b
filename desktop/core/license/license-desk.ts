/**
 * The licence of one unlocked fleet: asks the server once an hour, remembers what it said, and says whether another host fits. It
 * refuses at enrolment only; nothing that runs ever asks it.
 */
import { createHash } from 'node:crypto';
import { NestError, toErrorShape } from '../../../proto/model/error.ts';
import type { LicenseCheck, LicenseView } from '../../bridge/model.ts';
import { backoffDelayMs, createGate, createLatest, createTaskGroup } from '../../lib/api.ts';
import type { Clock, RandomBytes, TaskGroup } from '../../lib/api.ts';
import { entitlementOf } from './entitlement.ts';
import type { Entitlement, FileTerms, GatedFeature, JudgedKey, LicenseUse } from './entitlement.ts';
import { readEntitlementFile } from './entitlement-file.ts';
import { keyHashOf } from './license-key.ts';
import { emptyMemory } from './license-memory.ts';
import type { LicenseMemory, LicenseStore } from './license-memory.ts';
import type { LicenseReply, LicenseServer } from './license-server.ts';
import type { LicenseSettings } from './license-settings.ts';
import { licenseViewOf } from './license-view.ts';

export const pollMs = 3_600_000;
/** Share of the pause that is random, so that consoles started together do not ask together. */
export const pollJitter = 0.1;
const retry = { firstMs: 60_000, maxMs: pollMs, factor: 2, jitter: 0.2 } as const;
/** The longest pause a server may ask for. */
const retryAfterMsMax = 6 * 3_600_000;
/** An enrolment asks the server itself when the answer is older than an hour, but not more often than this. */
const settleMs = 60_000;
/** Calls that may wait for the one under way. */
const waitingMax = 8;

export interface LicenseDeskOptions {
  readonly settings: LicenseSettings;
  /** Null when the environment names none that can be used. */
  readonly server: LicenseServer | null;
  readonly store: LicenseStore;
  readonly fleetId: string;
  /** The key in the vault now. */
  readonly storedKey: () => string | null;
  readonly use: () => LicenseUse;
  readonly clock: Clock;
  readonly random: RandomBytes;
  readonly version: string;
  readonly hostName: string;
  readonly report: (message: string, fields: Readonly<Record<string, unknown>>) => void;
}

/** One more host, beside those that are being enrolled. */
export interface Admission {
  readonly cluster?: string | undefined;
  readonly beside: readonly { readonly cluster?: string | undefined }[];
}

export class LicenseDesk {
  readonly #options: LicenseDeskOptions;
  readonly #oneByOne = createGate({ inFlightMax: 1, waitingMax });
  readonly #keyChanges = createLatest(0);
  readonly #tasks: TaskGroup;
  readonly #startedMs: number;
  #memory: LicenseMemory;
  #file: FileTerms | null = null;
  #failures = 0;
  #retryAfterMs = 0;
  #nextAt: number | null = null;
  #settling: Promise<void> | null = null;

  constructor(options: LicenseDeskOptions) {
    this.#options = options;
    this.#memory = emptyMemory;
    this.#startedMs = options.clock.monotonicMs();
    this.#tasks = createTaskGroup((task, error) => {
      options.report('background work of the licence failed', { task, error });
    });
    this.#reload();
  }

  /** Asks by itself from now on, as long as there is a key. Without a key nothing is ever sent. */
  start(): void {
    this.#tasks.start('licence', (signal) => this.#poll(signal));
  }

  get entitlement(): Entitlement {
    const { settings } = this.#options;
    return entitlementOf({
      isRelease: settings.isRelease,
      hasKey: this.key !== null,
      judged: this.#judged(),
      file: this.#file,
      now: this.#now(),
    });
  }

  /** The key in force. */
  get key(): string | null {
    return this.#options.settings.key ?? this.#options.storedKey();
  }

  view(): LicenseView {
    this.#reload();
    const { settings, clock, use } = this.#options;
    const { tried } = this.#memory;
    return licenseViewOf({
      at: clock.now(),
      settings,
      key: this.key,
      entitlement: this.entitlement,
      file: this.#file,
      use: use(),
      tried,
      checkedAt: this.#judged()?.good?.at ?? null,
      nextCheckAt: this.#nextAt,
    });
  }

  /** Raises QUOTA_EXCEEDED when one more host, or its cluster, is not covered. */
  admit({ cluster, beside }: Admission): void {
    const { hostsMax, clustersMax, state } = this.entitlement;
    if (hostsMax === null && clustersMax === null) return;
    const use = this.#options.use();
    const hosts = use.hosts + beside.length;
    if (hostsMax !== null && hosts >= hostsMax) throw overHosts(state, { limit: hostsMax, used: hosts });
    if (cluster === undefined || clustersMax === null) return;
    const clusters = new Set([...use.clusters, ...beside.flatMap((other) => (other.cluster === undefined ? [] : [other.cluster]))]);
    if (!clusters.has(cluster) && clusters.size >= clustersMax) throw overClusters(state, { limit: clustersMax, used: clusters.size });
  }

  /** Raises QUOTA_EXCEEDED when the feature is not covered. */
  require(feature: GatedFeature, title: string): void {
    const { features, state } = this.entitlement;
    if (features.includes(feature)) return;
    throw new NestError('QUOTA_EXCEEDED', `${title} is not covered: ${statesOf[state]}. Enter a licence that names "${feature}".`, {
      details: { quota: feature, state },
    });
  }

  /** Before something new is judged: asks the server when its answer is old, once for all who wait. A server that is away is no failure. */
  async settle(): Promise<void> {
    this.#reload();
    const { settings, clock } = this.#options;
    const now = clock.now();
    const at = this.#judged()?.good?.at ?? null;
    const isYoung = at !== null && at <= now && now - at < pollMs;
    const { tried } = this.#memory;
    const isJustTried = tried !== null && tried.at <= now && now - tried.at < settleMs;
    if (!settings.isRelease || this.key === null || isYoung || isJustTried) return;
    this.#settling ??= this.#ask(this.#tasks.signal).finally(() => {
      this.#settling = null;
    });
    await this.#settling;
  }

  /** Asks the server now. Raises LICENSE_INVALID when there is no key, or it is refused; LICENSE_UNREACHABLE. */
  async check(feature: string | undefined, signal: AbortSignal): Promise<LicenseCheck> {
    const key = this.key;
    if (key === null) throw new NestError('LICENSE_INVALID', 'There is no licence key to check. Enter one with "nest license set".');
    const reply = await this.#askOrRaise(key, signal);
    if (reply.answer.kind === 'refused') throw refusedBy(reply.answer.message);
    if (feature === undefined) return { license: this.view(), feature: null };
    const { answer } = await this.#server().feature(key, feature, signal);
    const name = feature.toLowerCase();
    return { license: this.view(), feature: { name, isEntitled: answer.kind === 'granted' && answer.terms.features.includes(name) } };
  }

  /** What the server says to a key that is not kept yet; null when it does not answer. Raises LICENSE_INVALID when it refuses the key. */
  async tryKey(key: string, signal: AbortSignal): Promise<LicenseReply | null> {
    try {
      const reply = await this.#server().validate(key, signal);
      if (reply.answer.kind === 'refused') throw refusedBy(reply.answer.message);
      return reply;
    } catch (error) {
      if (toErrorShape(error).code === 'LICENSE_UNREACHABLE') return null;
      throw error;
    }
  }

  /** After the key in the vault was changed. `reply`: what the server said to the new one. */
  keyChanged(reply: LicenseReply | null): void {
    const key = this.key;
    const now = this.#options.clock.now();
    this.#failures = 0;
    this.#keep({ seenAt: now, judged: null, tried: null });
    if (key !== null && reply !== null) this.#learn(key, reply);
    this.#keyChanges.set(this.#keyChanges.value + 1);
  }

  /** Takes an entitlement file in the place of the one before. Raises LICENSE_INVALID. */
  takeFile(text: string): void {
    const { clock } = this.#options;
    const terms = this.#open(text, clock.now());
    if (terms.terms.endsAt + terms.graceMs <= clock.now())
      throw new NestError('LICENSE_INVALID', 'The entitlement file has ended. Ask the licence desk for a new one.');
    this.#keep({ seenAt: clock.now(), file: text });
    this.#file = terms;
  }

  async close(): Promise<void> {
    await this.#tasks.close();
    this.#keyChanges.close();
  }

  async #poll(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const changed = new AbortController();
      const seen = this.#keyChanges.value;
      const follow = (async () => {
        for await (const change of this.#keyChanges.follow(AbortSignal.any([signal, changed.signal]))) if (change !== seen) break;
        changed.abort();
      })();
      const isDue = await this.#pause(AbortSignal.any([signal, changed.signal]));
      changed.abort();
      await follow;
      if (!isDue || signal.aborted) continue;
      await this.#ask(signal);
      await this.#keepalive(signal);
    }
  }

  /** True when it is time to ask; false when something else woke it. */
  async #pause(signal: AbortSignal): Promise<boolean> {
    const { clock, server } = this.#options;
    const pauseMs = this.key === null || server === null ? null : this.#pauseMs();
    this.#nextAt = pauseMs === null ? null : clock.now() + pauseMs;
    // Without a key there is nothing to wait for but a key; the pause only ends with the signal.
    return clock.sleep(pauseMs ?? 2 ** 31 - 1, signal).then(
      () => pauseMs !== null,
      () => false,
    );
  }

  /** After an answer about an hour; after failures growing pauses, never shorter than the server asked for. */
  #pauseMs(): number {
    const { clock, random } = this.#options;
    if (this.#failures > 0) return Math.max(backoffDelayMs(this.#failures, retry, random), this.#retryAfterMs);
    const hour = backoffDelayMs(1, { firstMs: pollMs, maxMs: pollMs, factor: 1, jitter: pollJitter }, random);
    const judged = this.#judged();
    const at = judged?.good?.at ?? judged?.refusal?.at ?? null;
    if (at === null || at > clock.now()) return 0;
    return Math.max(0, hour - (clock.now() - at));
  }

  /** Asks and remembers; what the server says, or that it says nothing, is in the memory. */
  async #ask(signal: AbortSignal): Promise<void> {
    const key = this.key;
    if (key === null || this.#options.server === null) return;
    try {
      await this.#askOrRaise(key, signal);
    } catch (error) {
      if (toErrorShape(error).code !== 'LICENSE_UNREACHABLE') throw error;
    }
  }

  /** One call at a time. Raises LICENSE_UNREACHABLE. */
  #askOrRaise(key: string, signal: AbortSignal): Promise<LicenseReply> {
    return this.#oneByOne.run(async () => {
      try {
        const reply = await this.#server().validate(key, signal);
        this.#failures = 0;
        this.#learn(key, reply);
        return reply;
      } catch (error) {
        const { code, message, details } = toErrorShape(error);
        if (code === 'LICENSE_UNREACHABLE') {
          this.#failures += 1;
          this.#retryAfterMs = Math.min(retryAfterMsMax, Number(details['retryAfterMs'] ?? 0));
          this.#keep({ tried: { at: this.#options.clock.now(), code, message } });
        }
        throw error;
      }
    }, signal);
  }

  /** News are a courtesy: nothing depends on whether they arrive. */
  async #keepalive(signal: AbortSignal): Promise<void> {
    const { clock, settings, use, version, hostName, fleetId } = this.#options;
    const key = this.key;
    const good = this.#judged()?.good ?? null;
    if (!settings.isRelease || key === null || good === null || this.#failures > 0) return;
    const { hosts, clusters } = use();
    const uptimeSeconds = Math.round((clock.monotonicMs() - this.#startedMs) / 1000);
    const own = createHash('sha256').update(`nest ${fleetId}`).digest('hex').slice(0, 32);
    const news = { serverId: good.terms.serverId ?? own, hostName, version, uptimeSeconds, hosts, clusters: clusters.size };
    await this.#server()
      .keepalive(key, news, signal)
      .catch((error: unknown) => {
        if (toErrorShape(error).code !== 'LICENSE_UNREACHABLE') throw error;
      });
  }

  /** What a key was told replaces what it was told before; a refusal ends what was good. */
  #learn(key: string, { answer, skewMs }: LicenseReply): void {
    const now = this.#options.clock.now();
    const judged: JudgedKey =
      answer.kind === 'granted'
        ? { keyHash: keyHashOf(key), good: { terms: answer.terms, at: now, skewMs }, refusal: null }
        : { keyHash: keyHashOf(key), good: null, refusal: { at: now, message: answer.message } };
    const tried =
      answer.kind === 'granted' ? { at: now, code: null, message: '' } : { at: now, code: 'LICENSE_INVALID', message: answer.message };
    this.#keep({ seenAt: now, judged, tried });
  }

  /** An answer to another key counts for nothing. */
  #judged(): JudgedKey | null {
    const { judged } = this.#memory;
    return judged !== null && this.key !== null && judged.keyHash === keyHashOf(this.key) ? judged : null;
  }

  /** Never earlier than what was seen before, until the server or a new file says so. */
  #now(): number {
    return Math.max(this.#options.clock.now(), this.#memory.seenAt);
  }

  #keep(changes: Partial<LicenseMemory>): void {
    this.#reload();
    this.#memory = { ...this.#memory, seenAt: this.#now(), ...changes };
    this.#options.store.write(this.#memory);
  }

  /** Another process of this console (the command line beside the window) may have learnt more. */
  #reload(): void {
    const before = this.#memory;
    this.#memory = this.#options.store.read();
    const { file } = this.#memory;
    if (file === before.file) return;
    this.#file = null;
    if (file === null) return;
    try {
      this.#file = this.#open(file, this.#now());
    } catch (error) {
      // It was good once: the keys of the build have changed since.
      this.#options.report('the entitlement file does not count any more', { error });
    }
  }

  #open(text: string, now: number): FileTerms {
    const { settings, fleetId } = this.#options;
    return readEntitlementFile(text, { publicKeys: settings.publicKeys, product: settings.product, fleetId, now });
  }

  #server(): LicenseServer {
    const { server } = this.#options;
    if (server !== null) return server;
    throw new NestError(
      'LICENSE_UNREACHABLE',
      'LICENSE_SERVER_URL names no server that may be asked. Correct it, or import an entitlement file.',
    );
  }
}

const statesOf = {
  development: 'this is a development build',
  community: 'there is no licence',
  unchecked: 'the licence key has not been checked yet',
  valid: 'the licence does not name it',
  grace: 'the licence does not name it',
  limited: 'the licence could not be checked for more than a day',
  lapsed: 'the licence could not be checked for two weeks',
  expired: 'the licence has ended',
  invalid: 'the licence key is refused by the licence server',
} as const;

interface Quota {
  readonly limit: number;
  readonly used: number;
}

const overHosts = (state: Entitlement['state'], { limit, used }: Quota): NestError =>
  new NestError(
    'QUOTA_EXCEEDED',
    `${coverOf(state)} covers ${String(limit)} hosts, and the fleet has ${String(used)} with those being enrolled. Remove a host, or enter a licence that covers more. What runs is not touched.`,
    { details: { quota: 'hosts', limit, used, state } },
  );

const overClusters = (state: Entitlement['state'], { limit, used }: Quota): NestError =>
  new NestError(
    'QUOTA_EXCEEDED',
    `${coverOf(state)} covers ${limit === 1 ? 'one cluster' : `${String(limit)} clusters`}, and this host would begin another. Name the cluster there is, or enter a licence that covers more. What runs is not touched.`,
    { details: { quota: 'clusters', limit, used, state } },
  );

const coverOf = (state: Entitlement['state']): string =>
  state === 'valid' || state === 'grace' ? 'The licence' : 'Nest without a licence in force';

const refusedBy = (message: string): NestError =>
  new NestError('LICENSE_INVALID', `The licence server refuses the key: ${message}. Check the key; nothing was changed.`);
