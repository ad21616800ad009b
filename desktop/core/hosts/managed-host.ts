/** One host of the fleet: its record, its link, its last words, and the work that keeps them fresh. */
import { NestError } from '../../../proto/model/error.ts';
import type { HostStatus } from '../../../proto/gen/nest/v1/host.ts';
import type * as model from '../../bridge/model.ts';
import type { Acquaintance, AgentClient, AgentLink, LinkState } from '../../grpc/api.ts';
import { createLatest, createTaskGroup, isCancelled, throwIfCancelled } from '../../lib/api.ts';
import type { Clock, TaskGroup } from '../../lib/api.ts';
import { AuditWitness } from '../audit/audit-witness.ts';
import type { FleetCache, HostRecord } from '../cache/fleet-cache.ts';
import { engineOf, healthOf } from '../telemetry/host-health.ts';
import type { Reading, Standing } from '../telemetry/reading.ts';
import { readingOf, storedReading } from '../telemetry/stored-reading.ts';
import type { StoredReading } from '../telemetry/stored-reading.ts';
import { Telemetry } from '../telemetry/telemetry.ts';
import { hostDocumentOf } from './wire-model.ts';
import type { HostDocument } from './wire-model.ts';
import { refreshDocuments } from './document-refresh.ts';
import type { FleetPace } from './fleet-pace.ts';
import { createStatusSilence } from './status-silence.ts';

/** Work that can wait looks so often whether the fleet is still connecting. */
const connectingPollMs = 250;
/** A call waits so long for a connection that is being made. */
const connectionWaitMs = 3_000;
/** A log that contradicts what is remembered, but could not be checked, is checked again so often. */
const contradictionAgainMs = 10_000;
export interface ManagedHostOptions {
  readonly clock: Clock;
  readonly cache: FleetCache;
  readonly report: (message: string, fields: Readonly<Record<string, unknown>>) => void;
  readonly pace: FleetPace;
  /** Called after every status, for those who wait for a host to change. */
  readonly onReading: (host: ManagedHost) => void;
}

export class ManagedHost {
  record: HostRecord;
  /** What this console remembers of the host's audit log. */
  readonly witness: AuditWitness;
  readonly #options: ManagedHostOptions;
  /** One group for each time the fleet is open: a closed one starts nothing any more. */
  #tasks: TaskGroup;
  readonly #changes = createLatest(0);
  #link: AgentLink | null = null;
  readonly #telemetry: Telemetry;
  #document: HostDocument | null;
  #persistedAt = 0;
  /** Monotonic: since when the connection is attended to, and when the last status came. */
  #attendedMs = Infinity;
  #heardMs = -Infinity;
  #contradictedMs = -Infinity;

  constructor(record: HostRecord, options: ManagedHostOptions) {
    this.record = record;
    this.#options = options;
    this.witness = new AuditWitness({ cache: options.cache, clock: options.clock, record: () => this.record });
    const kept = options.cache.document<StoredReading | Reading>(record.hostId, 'sample');
    this.#telemetry = new Telemetry(kept === null ? null : readingOf(kept.content));
    this.#document = options.cache.document<HostDocument>(record.hostId, 'host')?.content ?? null;
    this.#tasks = this.#newTasks();
  }

  /** Made when it is asked for: who looks at every status of every host takes `standing`. */
  get reading(): Reading | null {
    return this.#telemetry.reading;
  }

  /** What of the last reading seldom changes. */
  get standing(): Standing | null {
    return this.#telemetry.standing;
  }

  /** When the last reading came, console clock; null without one. */
  get heardAt(): number | null {
    return this.#telemetry.at;
  }

  /** When the host took the last reading, by its own clock, milliseconds since the Unix epoch; null before the first of this process. */
  get hostTimeMs(): number | null {
    return this.#telemetry.hostTimeMs;
  }

  get linkState(): LinkState | null {
    return this.#link?.state ?? null;
  }

  /** True when what `reading` says was received over the connection that lives now. */
  get isLive(): boolean {
    const link = this.#link?.state;
    return link?.kind === 'up' && this.standing !== null && this.#heardMs >= this.#attendedMs && this.#health().state !== 'offline';
  }

  /** Counts up with everything that changes. */
  changes(signal: AbortSignal): AsyncIterable<number> {
    return this.#changes.follow(signal);
  }

  /** Starts to keep a connection through `link`. */
  connect(link: AgentLink): void {
    this.#link = link;
    this.#tasks.start('link', (signal) => link.maintain((client, connected) => this.#attend(client, connected), signal));
    this.#tasks.start('link states', async (signal) => {
      for await (const state of link.follow(signal)) {
        // Whoever is locked out of one host is soon out of the others: background work would only be refused.
        if (state.kind === 'down' && state.error.code === 'REVOKED') this.#options.pace.hurry();
        this.#touch();
      }
    });
  }

  /** A connected client. Raises why there is none, after waiting a moment for one. */
  async client(signal: AbortSignal, waitMs = connectionWaitMs): Promise<AgentClient> {
    if (this.#link === null) throw new NestError('FLEET_LOCKED', 'The fleet is locked. Unlock it first.');
    try {
      // A host known to be gone is not waited for.
      return await this.#link.client(this.#link.state.kind === 'down' ? Math.min(waitMs, 50) : waitMs, signal);
    } catch (error) {
      if (isCancelled(error)) throw error;
      const health = this.#health();
      if (error instanceof NestError)
        throw new NestError(error.code, `${this.record.name}: ${health.reason ?? error.message}`, {
          details: { ...error.details, hostId: this.record.hostId },
          cause: error,
        });
      throw error;
    }
  }

  row(): model.HostRow {
    const { reading } = this;
    const { state, reason } = this.#health();
    const { hostId, name, address, labels } = this.record;
    const link = this.#link?.state;
    return {
      hostId,
      name,
      address,
      labels,
      state,
      stateReason: reason,
      seenAt: reading?.at ?? null,
      engine: engineOf(reading),
      packetsPerSecond: reading?.packetsPerSecond ?? null,
      dropsPerSecond: reading?.deniedPerSecond ?? null,
      bytesPerSecond: reading?.bytesPerSecond ?? null,
      cpuBusy: reading?.cpuBusy ?? null,
      flows: reading?.flows ?? null,
      revision: reading?.policy.revision ?? null,
      generation: reading === null || reading.policy.generation === '' ? null : reading.policy.generation,
      pendingUntil: reading?.policy.pending?.rollbackAt ?? null,
      ...(reading?.breakGlass === undefined ? {} : { breakGlass: reading.breakGlass }),
      agentVersion: link?.kind === 'up' ? link.agentVersion : (this.#document?.agentVersion ?? null),
      kernel: this.#document?.facts?.kernel ?? null,
      cluster: this.record.cluster ?? null,
      certificateEndsAt: this.record.certificateEndsAt,
      history: reading?.packetsHistory ?? [],
    };
  }

  /** Null when nothing was ever received. */
  sample(): model.HostSample | null {
    if (this.reading === null) return null;
    const {
      packetsPerSecond: _packets,
      packetsHistory: _history,
      pendingTransactionId: _transaction,
      pendingRemainingMs: _remaining,
      accessHash: _access,
      rootStep: _rootStep,
      audit: _audit,
      ...reading
    } = this.reading;
    const { state, reason } = this.#health();
    const link = this.#link?.state;
    const alarm = this.witness.warning();
    const warnings = alarm === null ? reading.warnings : [alarm, ...reading.warnings];
    return {
      ...reading,
      warnings,
      live: this.isLive,
      state,
      stateReason: reason,
      clockSkewMs: link?.kind === 'up' ? link.clockSkewMs : null,
    };
  }

  detail(): model.HostDetail {
    return {
      row: this.row(),
      facts: this.#document?.facts ?? null,
      engines: this.#document?.engines ?? [],
      certificate: { fingerprint: this.record.spkiSha256, endsAt: this.record.certificateEndsAt },
      sample: this.sample(),
    };
  }

  /** Ends the connection and all work; what was last known stays readable. */
  async disconnect(): Promise<void> {
    await this.#tasks.close();
    this.#tasks = this.#newTasks();
    this.#link = null;
    this.#persist(true);
    this.#touch();
  }

  #health(): ReturnType<typeof healthOf> {
    const nowMs = this.#options.clock.monotonicMs();
    return healthOf({
      upMs: nowMs - this.#attendedMs,
      silentMs: this.#heardMs < this.#attendedMs ? null : nowMs - this.#heardMs,
      record: this.record,
      link: this.#link?.state ?? null,
      reading: this.reading,
      now: this.#options.clock.now(),
      auditAlarm: this.witness.warning()?.message ?? null,
    });
  }

  #newTasks(): TaskGroup {
    return createTaskGroup((name, error) => {
      this.#options.report('background work of a host failed', { hostId: this.record.hostId, task: name, error });
    });
  }

  #touch(): void {
    this.#changes.set(this.#changes.value + 1);
  }

  /** What is done while a connection lives; ends by failing. */
  async #attend(client: AgentClient, signal: AbortSignal): Promise<void> {
    this.#attendedMs = this.#options.clock.monotonicMs();
    const done = new AbortController();
    const refresh = this.#refresh(client, AbortSignal.any([signal, done.signal]));
    try {
      await this.#receive(client, signal);
    } finally {
      done.abort();
      await refresh;
      this.#persist(true);
    }
  }

  async #receive(client: AgentClient, signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    const stop = new AbortController();
    const ends = AbortSignal.any([signal, stop.signal]);
    const silence = createStatusSilence(clock);
    const statuses = client.watchStatus(
      (status) => {
        silence.heard();
        this.#accept(status);
        if (this.witness.wants(this.standing?.audit ?? null) === 'now') this.#checkAtOnce(client, ends);
      },
      ends,
      this.#acquaintance(),
    );
    const silent = silence.watch(ends);
    try {
      await Promise.race([statuses, silent]);
    } finally {
      stop.abort();
      await Promise.allSettled([statuses, silent]);
    }
  }

  #acquaintance(): Acquaintance {
    const { cache, clock } = this.#options;
    return {
      hash: Buffer.from(this.#document?.hash ?? '', 'hex'),
      describe: (description) => {
        this.#document = hostDocumentOf(description);
        cache.putDocuments([{ hostId: this.record.hostId, kind: 'host', at: clock.now(), content: this.#document }]);
      },
    };
  }

  #accept(status: HostStatus): void {
    const { clock } = this.#options;
    this.#heardMs = clock.monotonicMs();
    this.#telemetry.take(status, { at: clock.now(), monotonicMs: this.#heardMs });
    this.#persist(false);
    this.#options.onReading(this);
    this.#touch();
  }

  /** The host says that its log is shorter than what it signed for, or another one: that waits for no turn. */
  #checkAtOnce(client: AgentClient, signal: AbortSignal): void {
    const nowMs = this.#options.clock.monotonicMs();
    if (nowMs - this.#contradictedMs < contradictionAgainMs) return;
    this.#contradictedMs = nowMs;
    this.#tasks.start('audit', async () => {
      await this.#options.pace.checkNow(() => this.witness.check(client, signal), signal);
      this.#touch();
    });
  }

  #persist(isForced: boolean): void {
    const at = this.heardAt;
    if (at === null || at === this.#persistedAt || (!isForced && at - this.#persistedAt < this.#options.pace.samplePersistMs)) return;
    const { reading } = this;
    if (reading === null) return;
    this.#persistedAt = at;
    this.#options.cache.putDocuments([{ hostId: this.record.hostId, kind: 'sample', at, content: storedReading(reading) }]);
  }

  /** Resolves when the connection has brought one. Raises CANCELLED. */
  async #firstStatus(signal: AbortSignal): Promise<void> {
    for await (const _change of this.#changes.follow(signal)) if (this.#heardMs >= this.#attendedMs) return;
    throwIfCancelled(signal);
  }

  async #refresh(client: AgentClient, signal: AbortSignal): Promise<void> {
    const { cache, clock, pace } = this.#options;
    const { hostId } = this.record;
    try {
      for (let isFirst = true; ; isFirst = false) {
        if (isFirst) await this.#firstStatus(signal);
        while (pace.isConnecting) await clock.sleep(connectingPollMs, signal);
        // A log that was cut or rewritten should show at once, whatever else can wait; one that ends as it did has nothing to show.
        if (isFirst && this.witness.wants(this.standing?.audit ?? null) === 'nothing') this.witness.confirm();
        else await pace.check(() => this.witness.check(client, signal), signal);
        this.#touch();
        // After a reconnect what was taken a moment ago is still good.
        const takenAt = cache.document(hostId, 'revisions')?.at ?? 0;
        await clock.sleep(Math.min(pace.documentsRefreshMs, Math.max(0, takenAt + pace.documentsRefreshMs - clock.now())), signal);
        await pace.refresh(() => refreshDocuments({ client, cache, hostId, clock }, signal), signal);
      }
    } catch (error) {
      if (!isCancelled(error)) throw error;
    }
  }
}
