import type { DatabaseSync } from 'node:sqlite';
import { NestError } from '../../../proto/model/error.ts';
import { inTransaction } from '../../control/revisions/api.ts';
import type { EngineProbe, UserService } from '../../engine/api.ts';
import type { EngineName, InterfaceService } from './api.ts';
import type { Attachment } from './attachments.ts';
import type { WatchedFacts } from './interface-watch.ts';

/** SQL that makes the table: one more schema version of the traffic database. */
export const interfaceEngineMigration = `CREATE TABLE interface_engine (
     interface TEXT PRIMARY KEY,
     engine TEXT NOT NULL
   ) STRICT, WITHOUT ROWID`;

/** Which engine an operator wants for each interface, kept over restarts. */
export interface EngineChoices {
  /** Of the console, else of the configuration file, else "auto". */
  of(name: string): EngineName;
  /** Raises STATE_FAILED. */
  set(name: string, engine: EngineName): void;
}

/** Choices in an opened and migrated database. `configured`: of the configuration file, by interface. */
export const openEngineChoices = (database: DatabaseSync, configured: ReadonlyMap<string, EngineName>): EngineChoices => {
  const chosen = new Map<string, EngineName>();
  for (const row of database.prepare('SELECT interface, engine FROM interface_engine').iterate()) {
    const engine = engineNames.find((name) => name === row['engine']);
    if (engine !== undefined) chosen.set(String(row['interface']), engine);
  }
  return {
    of: (name) => chosen.get(name) ?? configured.get(name) ?? 'auto',
    set: (name, engine) => {
      inTransaction(database, () => void database.prepare('INSERT OR REPLACE INTO interface_engine VALUES (?, ?)').run(name, engine));
      chosen.set(name, engine);
    },
  };
};

const engineNames: readonly EngineName[] = ['auto', 'xdp', 'af_xdp', 'dpdk', 'off'];

export interface ServiceContext {
  readonly choice: EngineName;
  readonly probes: readonly EngineProbe[];
  readonly facts: WatchedFacts | undefined;
  /** How an engine outside the kernel stands here; null: none was chosen, or this agent runs none. */
  readonly user: UserService | null;
}

/** How an interface is served, and why so. */
export const interfaceService = (attachment: Attachment, { choice, probes, facts, user }: ServiceContext): InterfaceService => ({
  ...attachment,
  choice,
  engine: engineOf(attachment, user),
  reason: user === null ? reasonOf(attachment, choice, facts) : userReasonOf(attachment, user),
  engines: probes.map((probe) => (probe.engine === 'xdp-native' ? nativeProbe(probe, facts) : probe)),
  facts:
    facts === undefined
      ? null
      : {
          receiveQueues: facts.receiveQueues,
          sendQueues: facts.sendQueues,
          numaNode: facts.numaNode,
          speedMbps: facts.speedMbps,
          xdpFeatures: facts.xdpFeatures,
          virtualFunctions: facts.virtualFunctions,
        },
});

/** A process that is away may have left a packet program that runs the kernel's verdict, in the driver as it did. */
const engineOf = ({ mode }: Attachment, user: UserService | null): string => {
  if (user?.state === 'serving') return user.engine;
  if (user?.state === 'covered') return user.fallback === 'xdp' ? 'xdp-native' : '';
  return mode === null ? '' : `xdp-${mode}`;
};

const userReasonOf = ({ problem }: Attachment, user: UserService): string =>
  [user.state === 'serving' ? 'Chosen by an operator:' : '', user.reason, problem].filter((part) => part !== '').join(' ');

const reasonOf = ({ mode, problem }: Attachment, choice: EngineName, facts: WatchedFacts | undefined): string => {
  if (choice === 'off') return 'Switched off by an operator: no policy is enforced here.';
  if (mode === null) return problem;
  const how = choice === 'auto' ? 'Chosen by itself' : 'Chosen by an operator';
  if (mode === 'native') return `${how}: the driver${driverOf(facts)} runs packet programs itself, before the kernel touches a packet.`;
  return `${how}: the driver${driverOf(facts)} runs no packet programs, so the kernel runs them on its way in, slower.`;
};

const driverOf = (facts: WatchedFacts | undefined): string => (facts === undefined || facts.driver === '' ? '' : ` ${facts.driver}`);

/** What the driver says about itself narrows what the host can do in general. */
const nativeProbe = (probe: EngineProbe, facts: WatchedFacts | undefined): EngineProbe => {
  if (!probe.available || facts === undefined || facts.xdpFeatures === null || facts.xdpFeatures.includes('basic')) return probe;
  return { ...probe, available: false, reason: `The driver${driverOf(facts)} of this interface runs no packet programs.` };
};

/** Raises ENGINE_UNAVAILABLE with the probe's reason when an engine cannot serve this host. */
export const checkEngineChoice = (engine: EngineName, probes: readonly EngineProbe[]): void => {
  if (engine !== 'af_xdp' && engine !== 'dpdk') return;
  const probe = probes.find((candidate) => candidate.engine === engine);
  if (probe?.available === true) return;
  const reason = probe?.reason ?? 'This build of the agent does not know it.';
  throw new NestError('ENGINE_UNAVAILABLE', `The engine ${engine} cannot be used here: ${reason} Choose auto or xdp.`);
};
