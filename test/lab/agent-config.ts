/** Where a lab host keeps its things, and the configuration its agent gets. */
import { join } from 'node:path';
import { runFolder } from './lab-state.ts';
import { grpcPort, metricsPort, type HostAddresses } from './topology.ts';

const repository = join(import.meta.dirname, '../..');
/** The Node the project runs on, by its real path: namespaces see no PATH of ours. */
export const nodePath = join(repository, 'node_modules/node/bin', process.platform === 'win32' ? 'node.exe' : 'node');
export const agentBundle = join(repository, 'dist/agent/nest-agent.mjs');
export const webBundle = join(repository, 'dist/desktop/web/web.mjs');
export const packetTool = join(repository, 'dist/native/nest-packet');
const objectPath = join(repository, 'dist/bpf/nest_xdp.bpf.o');

export type TrafficMode = 'auto' | 'enforce' | 'observe';

export interface LabHost extends HostAddresses {
  readonly folder: string;
  readonly configPath: string;
  readonly stateDir: string;
  /** A bpffs of its own. */
  readonly bpffs: string;
  readonly pinPath: string;
  readonly logPath: string;
}

/** A host with its paths. */
export const labHost = (host: HostAddresses): LabHost => {
  const folder = `${runFolder}/${host.name}`;
  return {
    ...host,
    folder,
    configPath: `${folder}/config.json`,
    stateDir: `${folder}/state`,
    bpffs: `${folder}/bpf`,
    pinPath: `${folder}/bpf/nest`,
    logPath: `${folder}/agent.log`,
  };
};

/** The agent's configuration document. */
export const agentConfig = (host: LabHost, mode: TrafficMode): object => ({
  name: host.name,
  stateDir: host.stateDir,
  listen: { address: '0.0.0.0', port: grpcPort },
  metrics: { address: '0.0.0.0', port: metricsPort },
  traffic: { mode, interfaces: ['lan0', 'wan0', 'mgmt0'], pinPath: host.pinPath, objectPath },
  log: { level: 'info', format: 'json' },
});

/** argv of an agent command on that host, run from the root namespace. */
export const agentArgv = (host: LabHost, args: readonly string[]): readonly string[] => [
  'ip',
  'netns',
  'exec',
  host.namespace,
  nodePath,
  agentBundle,
  ...args,
  '--config',
  host.configPath,
];

/** What the web host needs to enrol the lab by itself. */
export const demoManifest = (hosts: readonly LabHost[]): object => ({
  fleetName: 'Demo fleet',
  hosts: hosts.map((host) => ({
    name: host.name,
    address: host.managementAddress,
    port: grpcPort,
    labels: ['lab'],
    join: agentArgv(host, ['join']),
  })),
});
