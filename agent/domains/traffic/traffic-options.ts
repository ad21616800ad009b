import type { RaiseWarning } from '../../control/revisions/api.ts';
import type { EngineSource, Fastpath } from '../../engine/api.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import type { EngineName, WithheldMapping } from './api.ts';
import type { FlowExporter } from './export/exporter.ts';
import type { Probe } from './health/probe.ts';
import type { readVirtualFunctions } from './interface-functions.ts';
import type { ReadSetting } from './local-source-warning.ts';
import type { NetworkInterface } from './network-interfaces.ts';

export interface TrafficOptions {
  /** enforce: `start` fails without a data path. auto: it goes on observing. observe: the data path is not opened. */
  readonly mode: 'auto' | 'enforce' | 'observe';
  readonly interfaces: 'auto' | readonly string[];
  /** Directory of traffic.sqlite; must exist. */
  readonly stateDir: string;
  readonly engine: EngineSource;
  readonly clock: Clock;
  readonly log: Logger;
  readonly raise: RaiseWarning;
  /** Gets every flow record; absent: nothing leaves the host. */
  readonly exporter?: FlowExporter;
  readonly listInterfaces?: () => Promise<readonly NetworkInterface[]>;
  /** SR-IOV of an interface by its name; null: none. */
  readonly virtualFunctionsOf?: typeof readVirtualFunctions;
  /** Where files of deny lists lie. */
  readonly denyListDir: string;
  /** Whether what this host itself sends is judged; default auto. */
  readonly local?: 'auto' | 'off';
  /** Engines that the configuration asks for, by interface. */
  readonly engines?: ReadonlyMap<string, EngineName>;
  /** Runs the engines outside the kernel; absent: this agent has none. */
  readonly fastpath?: Fastpath;
  /** Asks backends whether they are there. */
  readonly probe?: Probe;
  /** Reads settings of the kernel. */
  readonly readSetting?: ReadSetting;
  /** Told once of each mapping whose time is over; must not raise. */
  readonly onMappingEnded?: (ended: WithheldMapping) => void;
}
