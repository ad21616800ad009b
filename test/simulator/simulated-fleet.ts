/** The console's side of a simulated fleet: a data folder with fleet, operator and inventory, as the console itself would have made it. */
import { join } from 'node:path';
import { createConsoleCore, openSystemPorts } from '../../desktop/core/api.ts';
import type { ConsolePorts } from '../../desktop/core/api.ts';
import type { FleetKeys } from '../../desktop/core/authority/fleet-authority.ts';
import type { SignedIdentity, SimulatedAgentOptions } from './simulated-agent.ts';

const sites = ['ams1', 'fra2', 'osl1', 'lis3'] as const;
const roles = ['edge', 'core', 'lab'] as const;

export interface FleetFolder {
  /** For --data of the console. */
  readonly dataDirectory: string;
  readonly passphrase: string;
}

/** Ports of a console on this folder, without the machine's keychain: a throw-away fleet has no business there, and asking it may wait for a dialogue. */
export const simulatedConsolePorts = ({ dataDirectory }: Pick<FleetFolder, 'dataDirectory'>): ConsolePorts => {
  const ports = openSystemPorts({ dataDirectory, version: '0.0.0-simulator', report: () => undefined });
  return { ...ports, vaults: ports.vaults.filter(({ storage }) => storage === 'passphrase') };
};

/** Makes a fleet through the console's own handler and reads its keys back with the passphrase. */
export const createSimulatedFleet = async (folder: FleetFolder): Promise<FleetKeys> => {
  const core = createConsoleCore(simulatedConsolePorts(folder));
  try {
    await core.handlers['fleet.create'](
      { fleetName: 'Simulated', operatorName: 'demo', storage: 'passphrase', passphrase: folder.passphrase },
      new AbortController().signal,
    );
  } finally {
    await core.close();
  }
  return readFleetKeys(folder);
};

/** Keys of the fleet in this folder. Raises PASSPHRASE_WRONG, FLEET_MISSING. */
export const readFleetKeys = async (folder: FleetFolder): Promise<FleetKeys> => {
  const ports = simulatedConsolePorts(folder);
  try {
    const vault = ports.vaults.find(({ storage }) => storage === 'passphrase');
    if (vault === undefined) throw new Error('The console has no vault with a passphrase any more.');
    const secret = await vault.open(folder.passphrase);
    vault.close();
    return JSON.parse(new TextDecoder().decode(secret)) as FleetKeys;
  } finally {
    ports.cache.close();
  }
};

/** Writes the hosts into the inventory, with sites and roles that differ. */
export const writeInventory = (
  folder: FleetFolder,
  agents: readonly SimulatedAgentOptions[],
  identities: readonly SignedIdentity[],
): void => {
  const ports = simulatedConsolePorts(folder);
  try {
    for (const [number, agent] of agents.entries()) {
      const identity = identities[number];
      if (identity === undefined) throw new Error(`The agent ${agent.name} was not signed.`);
      ports.cache.putHost({
        hostId: identity.agentId,
        name: agent.name,
        address: agent.address,
        port: agent.port,
        labels: [`site=${sites[agent.index % sites.length] ?? ''}`, `role=${roles[agent.index % roles.length] ?? ''}`],
        spkiSha256: identity.spkiSha256,
        certificateEndsAt: identity.certificateEndsAt,
        enrolledAt: ports.clock.now(),
      });
    }
  } finally {
    ports.cache.close();
  }
};

/** Where a simulated fleet keeps the console's folder. */
export const consoleFolderOf = (folder: string): string => join(folder, 'console');
