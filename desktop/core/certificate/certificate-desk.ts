/** Keeps certificates in date while the fleet is open: this device's own, the lists of revoked ones, and those of connected agents. */
import { NestError, errorCodeOf, toErrorShape } from '../../../proto/model/error.ts';
import { createGate, createTaskGroup, isCancelled } from '../../lib/api.ts';
import type { Clock, RandomBytes, TaskGroup } from '../../lib/api.ts';
import type { FleetKeys } from '../authority/fleet-authority.ts';
import type { HostRoster } from '../hosts/host-roster.ts';
import type { ManagedHost } from '../hosts/managed-host.ts';
import { deliverRevocation, deliveryDigest, isAgentRenewalDue, mayRenew, renewAgent, settleKeyChange } from './agent-renewal.ts';
import type { AgentRenewal } from './agent-renewal.ts';

/** The fleet is looked through so often. */
const roundMs = 5_000;
/** This device's own certificate and the lists are looked at so often. */
const ownRoundMs = 60 * 60_000;
/** Renewals at once: each is two signatures here and a file there. */
const renewalsInFlightMax = 4;
const renewalsWaitingMax = 10_000;
/** Lists are taken to so many agents at once: a revocation must not wait. */
const deliveriesInFlightMax = 64;
/** After a failure the same agent is left alone for so long. */
const retryMs = 10 * 60_000;

export interface CertificateDeskOptions {
  readonly roster: HostRoster;
  readonly keys: () => FleetKeys;
  /** Renews what this console holds, when due. */
  readonly refreshOwn: (signal: AbortSignal) => Promise<void>;
  readonly clock: Clock;
  readonly random: RandomBytes;
  readonly report: (message: string, fields: Readonly<Record<string, unknown>>) => void;
}

export interface CertificateDesk {
  /** Renews one agent now. Raises why that is not possible. */
  renew(hostId: string, options: { readonly hasFreshKey: boolean; readonly signal: AbortSignal }): Promise<void>;
  /** Why the last renewal of a host failed; null when it did not. */
  problemOf(hostId: string): string | null;
  /** Takes new lists to every connected agent; resolves when each has answered or failed. */
  deliver(signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

interface Failure {
  readonly atMs: number;
  readonly message: string;
}

/** Starts to look after certificates; the caller closes it. */
export const createCertificateDesk = (options: CertificateDeskOptions): CertificateDesk => {
  const desk = new Desk(options);
  desk.start();
  return desk;
};

class Desk implements CertificateDesk {
  readonly #options: CertificateDeskOptions;
  readonly #renewals = createGate({ inFlightMax: renewalsInFlightMax, waitingMax: renewalsWaitingMax });
  readonly #deliveries = createGate({ inFlightMax: deliveriesInFlightMax, waitingMax: renewalsWaitingMax });
  /** At most one a host; removed with its next success. */
  readonly #failures = new Map<string, Failure>();
  readonly #tasks: TaskGroup;

  constructor(options: CertificateDeskOptions) {
    this.#options = options;
    this.#tasks = createTaskGroup((task, error) => options.report('background work on certificates failed', { task, error }));
  }

  start(): void {
    const { roster, clock, refreshOwn } = this.#options;
    this.#tasks.start('agents', async (signal) => {
      for (;;) {
        const due = roster.all.filter((host) => this.#isDue(host));
        await Promise.all(due.map((host) => this.#attend(host, signal)));
        await clock.sleep(roundMs, signal);
      }
    });
    this.#tasks.start('own', async (signal) => {
      for (;;) {
        await refreshOwn(signal);
        await clock.sleep(ownRoundMs, signal);
      }
    });
  }

  async renew(hostId: string, { hasFreshKey, signal }: { readonly hasFreshKey: boolean; readonly signal: AbortSignal }): Promise<void> {
    const host = this.#options.roster.get(hostId);
    const renewal = await this.#renewalOf(host, signal);
    if (!canRenew(host))
      throw new NestError('NOT_FOUND', `The agent of ${host.record.name} cannot renew its certificate yet. Upgrade it first.`);
    await this.#renewals.run(() => renewAgent(renewal, hasFreshKey), signal);
    this.#failures.delete(hostId);
  }

  problemOf(hostId: string): string | null {
    return this.#failures.get(hostId)?.message ?? null;
  }

  async deliver(signal: AbortSignal): Promise<void> {
    const connected = this.#options.roster.all.filter(canRenew);
    await Promise.all(connected.map((host) => this.#deliver(host, signal).catch((error: unknown) => this.#fail(host, error))));
  }

  close(): Promise<void> {
    return this.#tasks.close();
  }

  /** Brings one agent up to date; failures are kept for display and tried again later. */
  async #attend(host: ManagedHost, signal: AbortSignal): Promise<void> {
    try {
      await this.#deliver(host, signal);
      await settleKeyChange(await this.#renewalOf(host, signal));
      if (this.#isWanted(host)) await this.#renewals.run(async () => renewAgent(await this.#renewalOf(host, signal), false), signal);
      this.#failures.delete(host.record.hostId);
    } catch (error) {
      if (!isCancelled(error)) this.#fail(host, error);
    }
  }

  #deliver(host: ManagedHost, signal: AbortSignal): Promise<unknown> {
    return this.#deliveries.run(async () => deliverRevocation(await this.#renewalOf(host, signal)), signal);
  }

  #fail({ record: { hostId } }: ManagedHost, error: unknown): void {
    this.#failures.set(hostId, { atMs: this.#options.clock.monotonicMs(), message: toErrorShape(error).message });
    if (errorCodeOf(error) === 'INTERNAL') this.#options.report('a certificate could not be renewed', { hostId, error });
  }

  #isDue(host: ManagedHost): boolean {
    if (!canRenew(host) || !host.isLive) return false;
    const failure = this.#failures.get(host.record.hostId);
    if (failure !== undefined && this.#options.clock.monotonicMs() - failure.atMs < retryMs) return false;
    const digest = deliveryDigest(this.#options.keys());
    return this.#isWanted(host) || host.record.nextSpkiSha256 !== undefined || (digest !== null && host.record.revocationSha256 !== digest);
  }

  #isWanted({ record }: ManagedHost): boolean {
    const keys = this.#options.keys();
    return mayRenew(keys) && isAgentRenewalDue(record, keys, this.#options.clock.now());
  }

  async #renewalOf(host: ManagedHost, signal: AbortSignal): Promise<AgentRenewal> {
    const { keys, roster, clock, random } = this.#options;
    return {
      keys: keys(),
      client: await host.client(signal),
      record: host.record,
      save: (record) => roster.update(record),
      context: { now: clock.now(), random },
      signal,
    };
  }
}

/** Connected, and not too old for it. */
const canRenew = ({ linkState }: ManagedHost): boolean => linkState?.kind === 'up' && linkState.features.includes('certificates');
