/** All hosts of the fleet, connected while it is unlocked. */
import { NestError } from '../../../proto/model/error.ts';
import type * as model from '../../bridge/model.ts';
import { createLinkPool } from '../../grpc/api.ts';
import type { AgentLink, LinkPool, LinkPoolOptions, OperatorIdentity } from '../../grpc/api.ts';
import { createLatest } from '../../lib/api.ts';
import type { Clock, RandomBytes } from '../../lib/api.ts';
import type { FleetCache, HostRecord } from '../cache/fleet-cache.ts';
import { createFleetPace } from './fleet-pace.ts';
import type { FleetPace } from './fleet-pace.ts';
import { ManagedHost } from './managed-host.ts';

export interface HostRosterOptions {
  readonly cache: FleetCache;
  readonly clock: Clock;
  readonly random: RandomBytes;
  readonly consoleVersion: string;
  /** Absent: all connections are made in this thread. */
  readonly openShard?: LinkPoolOptions['openShard'];
  readonly report: (message: string, fields: Readonly<Record<string, unknown>>) => void;
}

/** Whose name the console connects with. */
export interface Connector {
  readonly fleetId: string;
  readonly operator: OperatorIdentity;
}

const byName = new Intl.Collator('en', { numeric: true });

export class HostRoster {
  readonly #options: HostRosterOptions;
  readonly #hosts = new Map<string, ManagedHost>();
  readonly #links: LinkPool;
  readonly #pace: FleetPace;
  readonly #size = createLatest(0);
  /** Null after a change: comparing names costs more than keeping their order. */
  #byName: readonly ManagedHost[] | null = null;
  readonly #readings = new Set<(host: ManagedHost) => void>();
  #connector: Connector | null = null;

  constructor(options: HostRosterOptions) {
    this.#options = options;
    this.#links = createLinkPool({ ...options, hostCount: () => this.#hosts.size });
    this.#pace = createFleetPace({ hostCount: () => this.#hosts.size, handshakes: this.#links, clock: options.clock });
    for (const record of options.cache.hosts()) this.#take(record);
  }

  /** By name, so that every list of the console has the same order. */
  get all(): readonly ManagedHost[] {
    this.#byName ??= [...this.#hosts.values()].sort((a, b) => byName.compare(a.record.name, b.record.name));
    return this.#byName;
  }

  /** Number of hosts, followable. */
  get size(): { readonly value: number; follow(signal: AbortSignal): AsyncIterable<number> } {
    return this.#size;
  }

  /** Raises HOST_UNKNOWN. */
  get(hostId: string): ManagedHost {
    const host = this.#hosts.get(hostId);
    if (host === undefined)
      throw new NestError('HOST_UNKNOWN', 'This host is not in the fleet. Look at the list of hosts.', { details: { hostId } });
    return host;
  }

  /** Calls `listener` after every status of any host until the signal aborts. */
  onReading(listener: (host: ManagedHost) => void, signal: AbortSignal): void {
    this.#readings.add(listener);
    signal.addEventListener('abort', () => this.#readings.delete(listener), { once: true });
  }

  /** Something urgent goes out to all hosts: background work of this console waits for a moment. */
  hurry(): void {
    this.#pace.hurry();
  }

  /** Connects every host, now and when one is added. */
  connect(connector: Connector): void {
    this.#connector = connector;
    for (const host of this.#hosts.values()) host.connect(this.#linkTo(host.record, connector));
  }

  async disconnect(): Promise<void> {
    this.#connector = null;
    await Promise.all(this.all.map((host) => host.disconnect()));
    await this.#links.rest();
  }

  add(record: HostRecord): ManagedHost {
    this.#options.cache.putHost(record);
    const host = this.#take(record);
    if (this.#connector !== null) host.connect(this.#linkTo(record, this.#connector));
    return host;
  }

  /** Keeps what changed about a host's identity. A host that was removed meanwhile stays removed. */
  update(record: HostRecord): void {
    const host = this.#hosts.get(record.hostId);
    if (host === undefined) return;
    host.record = record;
    this.#byName = null;
    this.#links.identityChanged(record.hostId);
    this.#options.cache.putHost(record);
  }

  /** Raises HOST_UNKNOWN, HOST_EXISTS. */
  rename(hostId: string, changes: { readonly name: string; readonly labels: readonly string[] }): model.HostRow {
    const host = this.get(hostId);
    if (this.all.some(({ record }) => record.name === changes.name && record.hostId !== hostId))
      throw new NestError('HOST_EXISTS', `There is already a host named ${changes.name}. Choose another name.`);
    host.record = { ...host.record, ...changes };
    this.#byName = null;
    this.#options.cache.putHost(host.record);
    return host.row();
  }

  /** Raises HOST_UNKNOWN. */
  relabel(hostId: string, labels: readonly string[]): model.HostRow {
    const host = this.get(hostId);
    host.record = { ...host.record, labels };
    this.#options.cache.putHost(host.record);
    return host.row();
  }

  /** Forgets a host; its agent keeps enforcing. Raises HOST_UNKNOWN. */
  async remove(hostId: string): Promise<void> {
    const host = this.get(hostId);
    this.#hosts.delete(hostId);
    this.#byName = null;
    await host.disconnect();
    this.#options.cache.removeHost(hostId);
    this.#size.set(this.#hosts.size);
  }

  /** Takes over what another process (the command line beside the console) changed. */
  async reload(): Promise<void> {
    this.#byName = null;
    const records = new Map(this.#options.cache.hosts().map((record) => [record.hostId, record]));
    for (const [hostId, host] of this.#hosts) {
      const record = records.get(hostId);
      if (record !== undefined) {
        const isNewKey = record.spkiSha256 !== host.record.spkiSha256 || record.nextSpkiSha256 !== host.record.nextSpkiSha256;
        host.record = record;
        if (isNewKey) this.#links.identityChanged(hostId);
        continue;
      }
      this.#hosts.delete(hostId);
      this.#byName = null;
      await host.disconnect();
    }
    for (const record of records.values()) {
      if (this.#hosts.has(record.hostId)) continue;
      const host = this.#take(record);
      if (this.#connector !== null) host.connect(this.#linkTo(record, this.#connector));
    }
    this.#size.set(this.#hosts.size);
  }

  /** Whether an agent answers under this identity within `waitMs`. */
  async answersAs(record: HostRecord, waitMs: number, signal: AbortSignal): Promise<boolean> {
    if (this.#connector === null) return false;
    const stop = new AbortController();
    const link = this.#linkTo(record, this.#connector);
    const upkeep = link
      .maintain(
        (_client, connected) =>
          new Promise((_resolve, reject) =>
            connected.addEventListener('abort', () => reject(new NestError('CANCELLED', 'The call was cancelled.')), { once: true }),
          ),
        AbortSignal.any([signal, stop.signal]),
      )
      .catch(() => undefined);
    try {
      await link.client(waitMs, signal);
      return true;
    } catch {
      return false;
    } finally {
      stop.abort();
      await upkeep;
    }
  }

  #take(record: HostRecord): ManagedHost {
    const host = new ManagedHost(record, {
      ...this.#options,
      pace: this.#pace,
      onReading: (changed) => {
        for (const listener of this.#readings) listener(changed);
      },
    });
    this.#hosts.set(record.hostId, host);
    this.#byName = null;
    this.#size.set(this.#hosts.size);
    return host;
  }

  #linkTo(record: HostRecord, { fleetId, operator }: Connector): AgentLink {
    // The key may change while the link lives.
    const now = (): HostRecord => this.#hosts.get(record.hostId)?.record ?? record;
    const identity = {
      fleetId,
      agentId: record.hostId,
      get spkiSha256() {
        return now().spkiSha256;
      },
      get nextSpkiSha256() {
        return now().nextSpkiSha256;
      },
    };
    return this.#links.link({ endpoint: record, identity, operator });
  }
}
