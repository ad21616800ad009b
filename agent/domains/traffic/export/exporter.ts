import { setImmediate } from 'node:timers/promises';
import type { AuthenticationEvent } from '../../../lib/authentication-event.ts';
import type { Clock, Timer } from '../../../lib/clock.ts';
import type { Logger, LogSink } from '../../../lib/log.ts';
import type { SyslogFacility } from '../../../lib/syslog-message.ts';
import { flowsMax, recordAt } from '../../../engine/api.ts';
import type { Engine, FlowRecord, RecordBatch } from '../../../engine/api.ts';
import type { ExportCounters } from '../api.ts';
import type { FlowNames } from '../flow-view.ts';
import { authenticationMessage, diagnosticMessage, healthMessage } from './event-syslog.ts';
import type { HealthChange } from './event-syslog.ts';
import { exportFlow } from './exported-flow.ts';
import { createFlowDeltas } from './flow-deltas.ts';
import type { FlowDeltas } from './flow-deltas.ts';
import { createHealthChanges } from './health-changes.ts';
import type { HealthCondition } from './health-changes.ts';
import { createIpfixTarget } from './ipfix-target.ts';
import type { IpfixTarget } from './ipfix-target.ts';
import { createRecordQueue, rowsPerTurn } from './record-queue.ts';
import { createSyslogTarget } from './syslog-target.ts';
import type { SyslogTarget } from './syslog-target.ts';

/** Records wait for room in the queues of datagrams so long at a time, and so often before the queues drop them. */
const roomMs = 10;
const roomWaitsMax = 100;
/** Records that wait when the agent stops get this long to leave. */
const closeMs = 1_000;

export interface ExportConfig {
  /** Written into each syslog message; absent: nothing is. */
  readonly cluster?: string | undefined;
  readonly syslog?: { readonly host: string; readonly port: number; readonly facility: SyslogFacility } | undefined;
  readonly ipfix?:
    { readonly host: string; readonly port: number; readonly observationDomain: number; readonly templateSeconds: number } | undefined;
  readonly log: { readonly authentication: boolean; readonly netflow: boolean; readonly debug: boolean };
  readonly periodicSeconds: number;
}

export interface ExporterOptions {
  readonly config: ExportConfig;
  readonly hostName: string;
  readonly clock: Clock;
  readonly log: Logger;
}

/** What the traffic domain needs of it. */
export interface FlowExporter {
  /** From now on dumps are taken from this engine, until `detach`. */
  attach(engine: Engine, names: FlowNames): void;
  /** Takes flow records in the order in which they came, to look at them later; never waits, never raises. */
  accept(batch: RecordBatch): void;
  detach(): void;
}

export interface Exporter extends FlowExporter {
  authentication(event: AuthenticationEvent): void;
  /** Takes lines of the agent's log, of all levels, when the debug log is switched on. */
  readonly diagnostics: LogSink;
  /** All conditions that hold now; tells what changed since the last call. */
  health(conditions: readonly HealthCondition[]): void;
  counters(): ExportCounters;
  /** Sends what waits, once, and closes. Idempotent. */
  close(): Promise<void>;
}

/** Sends flow records and events to the collectors of the configuration; without any it does nothing. Construction opens sockets. */
export const createExporter = (options: ExporterOptions): Exporter => new CollectorExporter(options);

interface Attached {
  readonly engine: Engine;
  names: FlowNames;
  readonly deltas: FlowDeltas;
}

class CollectorExporter implements Exporter {
  readonly #options: ExporterOptions;
  readonly #syslog: SyslogTarget | null;
  readonly #ipfix: IpfixTarget | null;
  readonly #healthChanges = createHealthChanges();
  readonly #exportsFlows: boolean;
  #attached: Attached | null = null;
  #timer: Timer | null = null;
  #dumpsTruncated = 0;
  #dumpsMissed = 0;
  #forgotten = 0;
  readonly #queue = createRecordQueue<Attached>({
    visit: (batch, position, attached) => this.#tryExport(recordAt(batch.rows, position), attached),
    giveWay: () => this.#giveWay(),
  });
  #isFailing = false;
  #recordsFailed = 0;
  #closing: Promise<void> | null = null;
  readonly diagnostics: LogSink = {
    write: (record) => {
      if (this.#options.config.log.debug) this.#syslog?.send('diagnostic', diagnosticMessage(record, this.#context()));
    },
    close: () => undefined,
  };

  constructor(options: ExporterOptions) {
    const { config, hostName, clock } = options;
    this.#options = options;
    this.#syslog = config.syslog === undefined ? null : createSyslogTarget({ ...config.syslog, hostName, clock });
    this.#ipfix = config.ipfix === undefined || !config.log.netflow ? null : createIpfixTarget({ ...config.ipfix, clock });
    this.#exportsFlows = config.log.netflow && (this.#syslog !== null || this.#ipfix !== null);
  }

  attach(engine: Engine, names: FlowNames): void {
    if (!this.#exportsFlows || this.#closing !== null) return;
    const sinceBootMs = this.#options.clock.nowMs() - names.wallTimeMs(0n);
    this.#attached = { engine, names, deltas: createFlowDeltas(flowsMax, sinceBootMs) };
    // The first dump, at once, only notes what flows of an earlier agent have carried.
    this.#arm(0);
  }

  accept(batch: RecordBatch): void {
    if (this.#attached !== null) this.#queue.push(batch, this.#attached);
  }

  detach(): void {
    this.#timer?.cancel();
    const attached = this.#attached;
    this.#attached = null;
    if (attached === null) return;
    this.#forgotten += attached.deltas.forgotten;
    // What still waits is told after the engine has gone, and with it the clock.
    const { names } = attached;
    const bootMs = names.wallTimeMs(0n);
    attached.names = { ...names, wallTimeMs: (timeNs) => Math.round(bootMs + Number(timeNs / 1000n) / 1000) };
  }

  authentication(event: AuthenticationEvent): void {
    if (this.#options.config.log.authentication) this.#syslog?.send('authentication', authenticationMessage(event, this.#context()));
  }

  health(conditions: readonly HealthCondition[]): void {
    if (!this.#options.config.log.debug || this.#syslog === null) return;
    for (const change of this.#healthChanges.next(conditions)) this.#sendHealth(change);
  }

  counters(): ExportCounters {
    return {
      targets: [this.#syslog, this.#ipfix].flatMap((target) => (target === null ? [] : [target.counters()])),
      dumpsTruncated: this.#dumpsTruncated,
      dumpsMissed: this.#dumpsMissed,
      recordsDropped: this.#queue.dropped + this.#recordsFailed,
      flowsForgotten: this.#forgotten + (this.#attached?.deltas.forgotten ?? 0),
    };
  }

  close(): Promise<void> {
    this.#closing ??= this.#finish();
    return this.#closing;
  }

  async #finish(): Promise<void> {
    this.detach();
    const { promise: late, resolve } = Promise.withResolvers<void>();
    const deadline = this.#options.clock.after(closeMs, resolve);
    await Promise.race([this.#queue.settled(), late]);
    deadline.cancel();
    this.#queue.stop();
    await Promise.all([this.#syslog?.close(), this.#ipfix?.close()]);
  }

  #context(): { readonly cluster: string; readonly nowMs: number } {
    return { cluster: this.#options.config.cluster ?? '', nowMs: this.#options.clock.nowMs() };
  }

  #sendHealth(change: HealthChange): void {
    this.#syslog?.send('health', healthMessage(change, this.#context()));
  }

  /** One record that cannot be told must not keep back the others. */
  #tryExport(record: FlowRecord, attached: Attached): void {
    try {
      this.#export(record, attached);
    } catch (error) {
      if (this.#recordsFailed++ === 0) this.#options.log.warn('a flow record cannot be exported', { error });
    }
  }

  #export(record: FlowRecord, { deltas, names }: Attached): void {
    const flow = exportFlow(record, deltas, names);
    if (flow === null) return;
    this.#syslog?.sendFlow(flow, this.#options.config.cluster ?? '');
    this.#ipfix?.add(flow);
  }

  #arm(delayMs: number): void {
    this.#timer = this.#options.clock.after(delayMs, () => void this.#period());
  }

  /** One dump; the next begins a period after this one began, or at once when it took longer. */
  async #period(): Promise<void> {
    const attached = this.#attached;
    if (attached === null) return;
    const { clock, log, config } = this.#options;
    const dueMs = clock.monotonicMs() + config.periodicSeconds * 1000;
    try {
      await this.#walk(attached);
      this.#isFailing = false;
    } catch (error) {
      this.#dumpsMissed++;
      if (!this.#isFailing && this.#attached === attached) log.warn('flows cannot be exported periodically', { error });
      this.#isFailing = true;
    }
    if (this.#attached === attached) this.#arm(Math.max(0, dueMs - clock.monotonicMs()));
  }

  async #walk(attached: Attached): Promise<void> {
    const { engine, deltas } = attached;
    deltas.beginWalk();
    let isComplete = false;
    try {
      const batch = await engine.flows(flowsMax);
      if (batch.truncated) this.#dumpsTruncated++;
      for (let position = 0; position < batch.count; position++) {
        if (this.#attached !== attached) return;
        this.#export(recordAt(batch.rows, position), attached);
        if (position % rowsPerTurn === rowsPerTurn - 1) await this.#giveWay();
      }
      isComplete = !batch.truncated;
    } finally {
      deltas.endWalk(isComplete);
    }
  }

  /** Other work first; and packed records can wait until the datagrams before them have left. */
  async #giveWay(): Promise<void> {
    await setImmediate();
    for (let waits = 0; waits < roomWaitsMax && this.#isCongested(); waits++)
      await new Promise<void>((resolve) => void this.#options.clock.after(roomMs, resolve));
  }

  #isCongested(): boolean {
    return (this.#syslog?.isCongested ?? false) || (this.#ipfix?.isCongested ?? false);
  }
}
