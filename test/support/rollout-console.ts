/** Consoles with a folder of their own for tests of rollouts: killed in the middle, opened again, one fleet between them. */
import { join } from 'node:path';
import type { Enrollment } from '../../desktop/bridge/model.ts';
import type { StagedRollout } from '../../desktop/bridge/rollout-model.ts';
import { createConsoleCore, createMemorySettings } from '../../desktop/core/api.ts';
import type { ConsoleCore, CredentialVault } from '../../desktop/core/api.ts';
import type { FleetCache } from '../../desktop/core/cache/fleet-cache.ts';
import { openFleetCache } from '../../desktop/core/cache/sqlite-fleet-cache.ts';
import { createVerdictProgram } from '../../desktop/core/trace/verdict-program.ts';
import { systemClock, systemRandom } from '../../desktop/lib/api.ts';
import type { Clock } from '../../desktop/lib/api.ts';

const never = new AbortController().signal;
const endMsMax = 60_000;
const pollMs = 50;
const triesMax = 400;
let policies = 0;

export const testPassphrase = 'correct horse battery';

/** A policy that differs from those before, so that it has a generation of its own. */
export const nextPolicy = (): string => {
  policies += 1;
  const mapping = {
    name: `p${String(policies)}`,
    sources: ['any'],
    destinations: ['any'],
    protocols: ['tcp'],
    ports: [String(policies)],
    action: 'allow',
    priority: 1,
  };
  return JSON.stringify({ apiVersion: 'nest/v1', kind: 'Policy', defaultAction: 'allow', services: [], mappings: [mapping] });
};

export interface ConsoleOptions {
  readonly folder: string;
  readonly name: string;
  readonly vault: CredentialVault;
  readonly clock?: Clock;
  readonly report?: (message: string, error: unknown) => void;
  /** Sees each time progress of a rollout was written. */
  readonly onWritten?: () => void;
}

export interface TestConsole {
  readonly core: ConsoleCore;
  /** Ends at once, in the middle of whatever it does. */
  readonly kill: () => Promise<void>;
}

type Place = Pick<ConsoleOptions, 'folder' | 'name'>;

const cachePath = ({ folder, name }: Place): string => join(folder, `${name}.sqlite`);

/** A locked console over the file of this name. */
export const openConsole = (options: ConsoleOptions): TestConsole => {
  const { vault, onWritten = () => undefined, report = () => undefined } = options;
  const { cache } = openFleetCache(cachePath(options), Date.now());
  const watched: FleetCache = {
    ...cache,
    putRecord: (kind, id, record) => {
      cache.putRecord(kind, id, record);
      if (kind === 'rollout-progress') onWritten();
    },
  };
  const core = createConsoleCore({
    clock: options.clock ?? systemClock(),
    random: systemRandom,
    cache: watched,
    vaults: [vault],
    settings: createMemorySettings(),
    verdictProgram: createVerdictProgram(),
    version: '0.0.0',
    report: (message, { error }) => report(message, error),
  });
  let killed: Promise<void> | undefined;
  return { core, kill: () => (killed ??= core.close()) };
};

/** The hosts that one console knows are made known to the other; both must be closed. */
export const copyInventory = (from: Place, to: Place): void => {
  const [source, target] = [from, to].map((place) => openFleetCache(cachePath(place), Date.now()).cache);
  for (const host of source?.hosts() ?? []) target?.putHost(host);
  source?.close();
  target?.close();
};

/** Looks until it is so. Throws with `what` when it does not become so. */
export const until = async (what: string, isSo: () => Promise<boolean> | boolean): Promise<void> => {
  for (let tries = 0; tries < triesMax; tries += 1) {
    if (await isSo()) return;
    await systemClock().sleep(pollMs, never);
  }
  throw new Error(`${what} did not come about`);
};

/** Opens the fleet and waits until no host is being connected any more. */
export const unlock = async ({ core }: TestConsole): Promise<void> => {
  await core.handlers['fleet.unlock']({ passphrase: testPassphrase }, never);
  await until('the connections', async () => {
    const rows = await core.handlers['hosts.list']({}, never);
    return rows.every(({ state }) => state !== 'connecting');
  });
};

/** The rollout as it was when it ended. */
export const ended = async ({ core }: TestConsole, rolloutId: string): Promise<StagedRollout> => {
  let last: StagedRollout | undefined;
  for await (const rollout of core.handlers['rollouts.watch']({ rolloutId }, AbortSignal.timeout(endMsMax))) last = rollout;
  if (last === undefined) throw new Error('nothing was shown');
  return last;
};

export interface Joining {
  readonly name: string;
  readonly port: number;
  readonly join: (token: string) => Promise<void>;
}

/** On a machine that does much else. */
const enrollMsMax = 60_000;

/** Adds an agent to the fleet of an open console; the host's id. */
export const enrolAgent = async ({ core }: TestConsole, { name, port, join: joinAgent }: Joining): Promise<string> => {
  const { enrollmentId, token } = await core.handlers['enrollment.begin']({ name, address: '127.0.0.1', port }, never);
  await joinAgent(token ?? '');
  let last: Enrollment | undefined;
  for await (const step of core.handlers['enrollment.watch']({ enrollmentId }, AbortSignal.timeout(enrollMsMax))) {
    last = step;
    if (step.state === 'fingerprint') break;
  }
  if (last?.state !== 'fingerprint') throw new Error(`the enrolment of ${name} stayed ${JSON.stringify(last)}`);
  const { hostId } = await core.handlers['enrollment.approve']({ enrollmentId }, never);
  if (hostId === null) throw new Error('the host was not enrolled');
  return hostId;
};
