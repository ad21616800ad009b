/** What the simulator and its worker processes say to each other. */
import type { FleetKeys } from '../../desktop/core/authority/fleet-authority.ts';
import type { SignedIdentity, SimulatedAgentOptions } from './simulated-agent.ts';

export type WorkerOrder =
  | {
      readonly kind: 'begin';
      readonly keys: FleetKeys;
      readonly agents: readonly SimulatedAgentOptions[];
      /** Removed by the worker when its owner is gone. */
      readonly folder: string;
    }
  /** Cuts every connection, as a network outage would. */
  | { readonly kind: 'drop' }
  | { readonly kind: 'measure' };

export interface WorkerFigures {
  readonly connections: number;
  readonly residentBytes: number;
  /** User and system time since the worker began, microseconds. */
  readonly cpuMicros: number;
}

export type WorkerReport =
  | { readonly kind: 'started'; readonly identities: readonly SignedIdentity[] }
  | { readonly kind: 'failed'; readonly message: string }
  | { readonly kind: 'dropped'; readonly connections: number }
  | ({ readonly kind: 'measured' } & WorkerFigures);
