/**
 * A console without a face for tests in the lab: the product's own core, driven through the bridge's handlers as the
 * page would. The fleet is created and enrolled once a lab; later consoles open the same folder with the passphrase.
 */
import { mkdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { BridgeHandlers } from '../../desktop/bridge/contract.ts';
import type { HostCounters, Rollout } from '../../desktop/bridge/model.ts';
import { createConsoleCore, openSystemPorts, type ConsoleCore } from '../../desktop/core/api.ts';
import type { PolicyDocument } from '../../native/image/policy-schema.ts';
import { agentArgv, type LabHost } from '../lab/agent-config.ts';
import { command } from '../lab/command.ts';
import { hosts } from '../lab/lab.ts';
import { runFolder } from '../lab/lab-state.ts';
import { grpcPort } from '../lab/topology.ts';

export const labPassphrase = 'a long passphrase of the lab';
const dataDirectory = `${runFolder}/console`;
const confirmWithinDefault = 60;

/** Asks until the answer is there. Throws with `what` when it is not within `timeoutMs`. */
export const eventually = async <T>(what: string, timeoutMs: number, ask: () => Promise<T | undefined>): Promise<T> => {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (performance.now() > deadline) throw new Error(`${what} did not come about within ${timeoutMs / 1000} s`);
    await sleep(50);
  }
};

export interface ApplyOptions {
  readonly hosts: readonly LabHost[];
  readonly confirmWithinSeconds?: number;
}

export class LabConsole implements AsyncDisposable {
  readonly handlers: BridgeHandlers;
  readonly #core: ConsoleCore;
  readonly #end = new AbortController();
  readonly #hostIds = new Map<string, string>();

  private constructor(core: ConsoleCore) {
    this.#core = core;
    this.handlers = core.handlers;
  }

  get signal(): AbortSignal {
    return this.#end.signal;
  }

  static #open(): LabConsole {
    mkdirSync(dataDirectory, { recursive: true, mode: 0o700 });
    return new LabConsole(createConsoleCore(openSystemPorts({ dataDirectory, version: '0.0.0-test', report: () => undefined })));
  }

  /** Creates the fleet and enrols every host of the lab. Once a lab. */
  static async enrol(): Promise<void> {
    await using lab = LabConsole.#open();
    await lab.handlers['fleet.create'](
      { fleetName: 'Lab', operatorName: 'tester', storage: 'passphrase', passphrase: labPassphrase },
      lab.signal,
    );
    for (const host of hosts) await lab.#enrolHost(host);
  }

  /** A console with the fleet open and every host connected. */
  static async open(): Promise<LabConsole> {
    const lab = LabConsole.#open();
    try {
      await lab.handlers['fleet.unlock']({ passphrase: labPassphrase }, lab.signal);
      await lab.connected(hosts);
      return lab;
    } catch (error) {
      await lab[Symbol.asyncDispose]();
      throw error;
    }
  }

  async #enrolHost(host: LabHost): Promise<void> {
    const { handlers, signal } = this;
    const begun = await handlers['enrollment.begin'](
      { name: host.name, address: host.managementAddress, port: grpcPort, labels: ['lab'] },
      signal,
    );
    if (begun.token === null) throw new Error(`no token for ${host.name}`);
    const printed = await command([...agentArgv(host, ['join']), begun.token]);
    const reached = (state: string) => async (): Promise<true | undefined> => {
      const enrollment = (await handlers['enrollment.list']({}, signal)).find(({ enrollmentId }) => enrollmentId === begun.enrollmentId);
      if (enrollment?.state === 'failed')
        throw new Error(`enrolment of ${host.name} failed: ${enrollment.problem?.message ?? 'no reason'}`);
      if (state === 'fingerprint' && enrollment?.state === state) {
        const shown = (enrollment.fingerprint ?? '').replaceAll(/[^0-9a-f]/g, '');
        if (shown === '' || !printed.replaceAll(/[\s:-]/g, '').includes(shown))
          throw new Error(`the fingerprint of ${host.name} is not the one its agent printed`);
      }
      return enrollment?.state === state ? true : undefined;
    };
    await eventually(`the fingerprint of ${host.name}`, 20_000, reached('fingerprint'));
    await handlers['enrollment.approve']({ enrollmentId: begun.enrollmentId }, signal);
    await eventually(`the enrolment of ${host.name}`, 20_000, reached('enrolled'));
  }

  /** Waits until these hosts are connected and healthy or degraded. */
  async connected(wanted: readonly LabHost[], timeoutMs = 30_000): Promise<void> {
    await eventually(`connection to ${wanted.map(({ name }) => name).join(', ')}`, timeoutMs, async () => {
      const rows = await this.handlers['hosts.list']({}, this.signal);
      for (const row of rows) this.#hostIds.set(row.name, row.hostId);
      return wanted.every((host) => rows.some((row) => row.name === host.name && (row.state === 'healthy' || row.state === 'degraded')))
        ? true
        : undefined;
    });
  }

  hostId(host: LabHost): string {
    const id = this.#hostIds.get(host.name);
    if (id === undefined) throw new Error(`${host.name} is not enrolled`);
    return id;
  }

  /** Plans and applies; answers when every host waits for the confirmation. Throws when a host refuses. */
  async apply(policy: PolicyDocument, options: ApplyOptions): Promise<Rollout> {
    const hostIds = options.hosts.map((host) => this.hostId(host));
    const plan = await this.handlers['policy.plan']({ policy: JSON.stringify(policy), hostIds }, this.signal);
    const refused = plan.hosts.find(({ problem, canApply }) => problem !== null || !canApply);
    if (refused !== undefined)
      throw new Error(
        `${refused.hostName}: ${refused.problem?.message ?? refused.cannotApplyReason ?? 'cannot apply'} ${JSON.stringify(refused.problems)}`,
      );
    const rollout = await this.handlers['policy.apply'](
      { planId: plan.planId, confirmWithinSeconds: options.confirmWithinSeconds ?? confirmWithinDefault },
      this.signal,
    );
    return this.#settled(rollout.rolloutId, 'pending');
  }

  /** Applies and keeps. */
  async enforce(policy: PolicyDocument, on: readonly LabHost[]): Promise<void> {
    const rollout = await this.apply(policy, { hosts: on });
    await this.handlers['policy.confirm']({ rolloutId: rollout.rolloutId }, this.signal);
    await this.#settled(rollout.rolloutId, 'confirmed');
  }

  async undo(rollout: Rollout): Promise<void> {
    await this.handlers['policy.undo']({ rolloutId: rollout.rolloutId }, this.signal);
    await this.#settled(rollout.rolloutId, 'rolled-back');
  }

  async #settled(rolloutId: string, state: Rollout['state']): Promise<Rollout> {
    const ends: readonly Rollout['state'][] = ['failed', 'mixed', 'confirmed', 'rolled-back'];
    const stop = new AbortController();
    try {
      for await (const rollout of this.handlers['rollout.watch'](
        { rolloutId },
        AbortSignal.any([this.signal, stop.signal, AbortSignal.timeout(30_000)]),
      )) {
        if (rollout.state === state) return rollout;
        if (ends.includes(rollout.state))
          throw new Error(`the rollout is ${rollout.state}, not ${state}: ${JSON.stringify(rollout.hosts)}`);
      }
    } finally {
      stop.abort();
    }
    throw new Error(`the rollout did not become ${state}`);
  }

  counters(host: LabHost): Promise<HostCounters> {
    return this.handlers['host.counters']({ hostId: this.hostId(host) }, this.signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#end.abort();
    await this.#core.close();
  }
}
