import { z } from 'zod';
import { agentPortDefault } from '../../proto/model/limits.ts';

/** Exporters usually answer here; distinct from the gRPC port so that a firewall can tell them apart. */
export const metricsPortDefault = 9090;
/** The kernel knows at most 15 bytes (IFNAMSIZ - 1). */
const interfaceName = z.string().regex(/^[^\s/]{1,15}$/, 'must be an interface name of 1 to 15 characters without spaces or "/"');
/** The data path counts per interface in 64 slots. */
const interfacesMax = 64;
const absolutePath = z
  .string()
  .max(4096)
  .regex(/^\/[^\0]*$/, 'must be an absolute path');
const address = z.union([z.ipv4(), z.ipv6()], 'must be an IPv4 or IPv6 address');
const port = z.int('must be a whole number').min(0, 'must be 0 to 65535').max(65_535, 'must be 0 to 65535');
const hostName = z
  .string()
  .max(253)
  .regex(/^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$/, 'must be a host name: letters, digits, "-", "." and "_"');

const listenShape = {
  /** False: the agent enforces its last policy and nobody can manage it over the network. */
  enabled: z.boolean().default(true),
  /** All addresses: the console dials the agent, and mutual TLS guards the port. */
  address: address.default('0.0.0.0'),
  port: port.default(agentPortDefault),
};
const metricsShape = {
  /** Loopback: metrics are not encrypted, so leaving the host is a decision. */
  address: address.default('127.0.0.1'),
  port: port.default(metricsPortDefault),
};
const trafficShape = {
  /** auto: enforce where the kernel allows it, else observe and say why. */
  mode: z.enum(['auto', 'enforce', 'observe'], 'must be "auto", "enforce" or "observe"').default('auto'),
  /** auto: every interface that is up, without loopback. */
  interfaces: z
    .union([z.literal('auto'), z.array(interfaceName).min(1).max(interfacesMax)], 'must be "auto" or a list of 1 to 64 interface names')
    .refine((names) => names === 'auto' || new Set(names).size === names.length, 'names an interface twice')
    .default('auto'),
  /** Programs and tables pinned here survive the agent. */
  pinPath: absolutePath.default('/sys/fs/bpf/nest'),
  /** The data path program; absent: the one installed beside the agent. */
  objectPath: absolutePath.optional(),
};
const syslogShape = {
  address,
  /** RFC 5426 section 3.3. */
  port: port.default(514),
};
const logShape = {
  /** State changes are worth a line, steps are not. */
  level: z.enum(['warn', 'info', 'debug'], 'must be "warn", "info" or "debug"').default('info'),
  /** JSON: logs are read by machines first. */
  format: z.enum(['json', 'text'], 'must be "json" or "text"').default('json'),
  /** Absent: console only. */
  syslog: z.strictObject(syslogShape).optional(),
};
/** The path of a UNIX socket has at most 107 bytes, and agent.sock lies in this directory. */
const stateDirMax = 90;
const rootShape = {
  /** Absent: the host name of the system. */
  name: hostName.optional(),
  stateDir: absolutePath.max(stateDirMax, `must be at most ${stateDirMax} characters long`).default('/var/lib/nest-agent'),
  listen: z.strictObject(listenShape).prefault({}),
  /** False: the port tells nobody what it serves; an operator's tool then needs the proto files. */
  reflection: z.boolean('must be true or false').default(false),
  metrics: z.strictObject(metricsShape).prefault({}),
  traffic: z.strictObject(trafficShape).prefault({}),
  log: z.strictObject(logShape).prefault({}),
};

/** The config file, every key optional, unknown keys refused. */
export const configSchema = z.strictObject(rootShape).readonly();

type ParsedConfig = z.output<typeof configSchema>;

declare const checked: unique symbol;
/** Parsed, complete and frozen; only agent/config makes one. */
export type AgentConfig = Omit<ParsedConfig, 'name'> & { readonly name: string; readonly [checked]: true };

/** Keys by section ('' = top level), to name the nearest one. */
export const knownKeys: Readonly<Record<string, readonly string[]>> = {
  '': Object.keys(rootShape),
  listen: Object.keys(listenShape),
  metrics: Object.keys(metricsShape),
  traffic: Object.keys(trafficShape),
  log: Object.keys(logShape),
  'log.syslog': Object.keys(syslogShape),
};
