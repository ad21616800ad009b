/** Keeps certificates in date while the fleet is open: this device's own, the lists of revoked ones, and those of connected agents. */
import { NestError, errorCodeOf, toErrorShape } from '../../../proto/model/error.ts';
import { createGate, createTaskGroup, isCancelled, withGrace } from '../../lib/api.ts';
import type { Clock, RandomBytes, TaskGroup } from '../../lib/api.ts';
import { refreshFleetKeys } from '../authority/fleet-authority.ts';
import type { FleetKeys } from '../authority/fleet-authority.ts';
import { adoptRootStep, moveOperators } from '../authority/root-change.ts';
import { areOperatorsBehind, conductedSets, rootStepOf } from '../authority/root-change-record.ts';
import type { HostRoster } from '../hosts/host-roster.ts';
import type { ManagedHost } from '../hosts/managed-host.ts';
import {
  deliverRevocation,
  deliverRootStep,
  deliveryDigest,
  isAgentRenewalDue,
  mayRenew,
  renewAgent,
  settleKeyChange,
} from './agent-renewal.ts';
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
/** What an agent is being given when the session closes may take so long to end, milliseconds. */
const finishMs = 2_000;

export interface CertificateDeskOptions {
  readonly roster: HostRoster;
  readonly keys: () => FleetKeys;
  /** Renews what this console holds, when due. */
  readonly refreshOwn: (signal: AbortSignal) => Promise<void>;
  /** Changes the keys, in the vault first. */
  readonly updateKeys: (change: (keys: FleetKeys) => Promise<FleetKeys>, signal: AbortSignal) => Promise<void>;
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
  /** Brings every connected agent up to date now, certificates included; resolves when each has answered or failed. */
  settle(signal: AbortSignal): Promise<void>;
  /** Takes over a change of the root that another console has conducted further on connected hosts. */
  learn(signal: AbortSignal): Promise<void>;
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
  #isLearning = false;
  /** The step that each host was asked about last. */
  readonly #learned = new Map<string, number>();
  /** Many hosts tell the same. */
  readonly #learning = createGate({ inFlightMax: 1, waitingMax: renewalsWaitingMax });
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
        await this.#moveOperators(signal);
        await clock.sleep(roundMs, signal);
      }
    });
    roster.onReading((host) => {
      if (this.#isBehind(host) && canRenew(host) && !this.#isLearning)
        this.#tasks.start('learn', (signal) => this.#learnSoon(host, signal));
    }, this.#tasks.signal);
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

  async settle(signal: AbortSignal): Promise<void> {
    await Promise.all(this.#options.roster.all.filter(canRenew).map((host) => this.#attend(host, signal)));
    await this.#moveOperators(signal);
    // Lists of an authority that moved are new.
    await this.deliver(signal);
  }

  async learn(signal: AbortSignal): Promise<void> {
    const ahead = this.#options.roster.all.filter((host) => canRenew(host) && this.#isBehind(host));
    await Promise.all(ahead.map((host) => this.#learn(host, signal).catch((error: unknown) => this.#fail(host, error))));
  }

  close(): Promise<void> {
    return this.#tasks.close();
  }

  /** Brings one agent up to date; failures are kept for display and tried again later. */
  async #attend(host: ManagedHost, signal: AbortSignal): Promise<void> {
    try {
      await this.#learn(host, signal);
      await this.#deliver(host, signal);
      await settleKeyChange(await this.#renewalOf(host, signal));
      if (this.#isWanted(host))
        await this.#renewals.run(
          () => this.#whole(signal, async (lasting) => renewAgent(await this.#renewalOf(host, lasting), false)),
          signal,
        );
      this.#failures.delete(host.record.hostId);
    } catch (error) {
      if (!isCancelled(error)) this.#fail(host, error);
    }
  }

  #deliver(host: ManagedHost, signal: AbortSignal): Promise<unknown> {
    const deliver = async (lasting: AbortSignal): Promise<void> => {
      // Who does not believe the root takes nothing from it.
      this.#noteStep(host);
      if (canChangeRoot(host)) await deliverRootStep(await this.#renewalOf(host, lasting));
      await deliverRevocation(await this.#renewalOf(host, lasting));
    };
    return this.#deliveries.run(() => this.#whole(signal, deliver), signal);
  }

  /** An agent that began to take something is not left in the middle of it. */
  #whole<Result>(signal: AbortSignal, work: (lasting: AbortSignal) => Promise<Result>): Promise<Result> {
    return withGrace({ clock: this.#options.clock, graceMs: finishMs, signal }, work);
  }

  /** A host that stands at a later step was visited by the console that conducts the change. */
  async #learn(host: ManagedHost, signal: AbortSignal): Promise<void> {
    if (!this.#isBehind(host)) return;
    const { rootChange } = await (await host.client(signal)).listCertificates({ signal });
    if (rootChange === undefined) return;
    const { clock, updateKeys } = this.#options;
    // Who holds the root's key conducts by itself; what another process of this console did is in the vault already.
    const adopt = async (keys: FleetKeys): Promise<FleetKeys> =>
      keys.root.privateKey === null && conductedSets(keys) === null ? adoptRootStep(keys, rootChange, clock.now()) : keys;
    await this.#learning.run(() => updateKeys(adopt, signal), signal);
    // Where it cannot be taken over it is asked for once.
    this.#learned.set(host.record.hostId, host.standing?.rootStep ?? 0);
  }

  /** From the first host that is ahead; the others tell the same. */
  async #learnSoon(host: ManagedHost, signal: AbortSignal): Promise<void> {
    this.#isLearning = true;
    try {
      await this.#learn(host, signal);
    } catch (error) {
      if (!isCancelled(error)) this.#fail(host, error);
    } finally {
      this.#isLearning = false;
    }
  }

  #isBehind({ record, standing }: ManagedHost): boolean {
    const said = standing?.rootStep ?? 0;
    return said > (rootStepOf(this.#options.keys())?.sequence ?? 0) && this.#learned.get(record.hostId) !== said;
  }

  /** Another console was here with the step already. */
  #noteStep({ record, standing }: ManagedHost): void {
    const sequence = rootStepOf(this.#options.keys())?.sequence;
    if (sequence !== undefined && standing?.rootStep === sequence && record.rootStep !== sequence)
      this.#options.roster.update({ ...record, rootStep: sequence });
  }

  /** Once every host believes the new root, operators' devices may show certificates of it. */
  async #moveOperators(signal: AbortSignal): Promise<void> {
    const { keys, roster, updateKeys, clock, random } = this.#options;
    const sequence = rootStepOf(keys())?.sequence;
    if (!areOperatorsBehind(keys()) || roster.all.some(({ record }) => record.rootStep !== sequence)) return;
    const context = { now: clock.now(), random };
    await updateKeys(async (present) => refreshFleetKeys(await moveOperators(present, context), context), signal);
  }

  #fail({ record: { hostId } }: ManagedHost, error: unknown): void {
    this.#failures.set(hostId, { atMs: this.#options.clock.monotonicMs(), message: toErrorShape(error).message });
    if (errorCodeOf(error) === 'INTERNAL') this.#options.report('a certificate could not be renewed', { hostId, error });
  }

  #isDue(host: ManagedHost): boolean {
    if (!canRenew(host) || !host.isLive) return false;
    if (this.#isBehind(host)) return true;
    const failure = this.#failures.get(host.record.hostId);
    if (failure !== undefined && this.#options.clock.monotonicMs() - failure.atMs < retryMs) return false;
    const digest = deliveryDigest(this.#options.keys());
    const { rootStep } = host.record;
    const sequence = rootStepOf(this.#options.keys())?.sequence;
    if (canChangeRoot(host) && sequence !== undefined && rootStep !== sequence) return true;
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

const canChangeRoot = ({ linkState }: ManagedHost): boolean => linkState?.kind === 'up' && linkState.features.includes('root-change');

/** Connected, and not too old for it. */
const canRenew = ({ linkState }: ManagedHost): boolean => linkState?.kind === 'up' && linkState.features.includes('certificates');
