import { z } from 'zod';
import { agentPortDefault } from '../../proto/model/limits.ts';
import { syslogFacilities } from '../lib/syslog-message.ts';
import type { SyslogFacility } from '../lib/syslog-message.ts';

/** Exporters usually answer here; distinct from the gRPC port so that a firewall can tell them apart. */
export const metricsPortDefault = 9090;
/** The kernel knows at most 15 bytes (IFNAMSIZ - 1). */
const interfaceNameRule = 'must be an interface name of 1 to 15 characters without spaces or "/"';
const interfaceName = z.string(interfaceNameRule).regex(/^[^\s/]{1,15}$/, interfaceNameRule);
/** The data path counts per interface in 64 slots. */
const interfacesMax = 64;
const absolutePath = z
  .string('must be a path')
  .max(4096, 'must be at most 4096 characters long')
  .regex(/^\/[^\0]*$/, 'must be an absolute path');
const address = z.union([z.ipv4(), z.ipv6()], 'must be an IPv4 or IPv6 address');
const port = z.int('must be a whole number').min(0, 'must be 0 to 65535').max(65_535, 'must be 0 to 65535');
const hostName = z
  .string('must be a host name')
  .max(253, 'must be at most 253 characters long')
  .regex(/^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$/, 'must be a host name: letters, digits, "-", "." and "_"');

const listenShape = {
  /** False: the agent enforces its last policy and nobody can manage it over the network. */
  enabled: z.boolean('must be true or false').default(true),
  /** All addresses: the console dials the agent, and mutual TLS guards the port. */
  address: address.default('0.0.0.0'),
  port: port.default(agentPortDefault),
};
const metricsShape = {
  /** Loopback: metrics are not encrypted, so leaving the host is a decision. */
  address: address.default('127.0.0.1'),
  port: port.default(metricsPortDefault),
};
const engineNames = ['auto', 'xdp', 'af_xdp', 'dpdk', 'off'] as const;
const fallbackNames = ['xdp', 'pass'] as const;
/** Longer ones are cut in a message. */
const shownMax = 40;
const noneOf = (input: unknown, known: readonly string[]): string =>
  `${(JSON.stringify(input) ?? 'nothing').slice(0, shownMax)} is none of ${known.map((name) => `"${name}"`).join(', ')}`;
const interfaceShape = {
  name: interfaceName,
  /** auto: XDP, in the driver where it can; the others on demand. */
  engine: z.enum(engineNames, { error: ({ input }) => noneOf(input, engineNames) }).default('auto'),
  /** What happens to packets while nest-fastpathd (af_xdp, dpdk) does not serve the interface: judged by the kernel's verdict, or passed. */
  fallback: z.enum(fallbackNames, { error: ({ input }) => noneOf(input, fallbackNames) }).default('xdp'),
};
const nameOf = (entry: string | { readonly name: string }): string => (typeof entry === 'string' ? entry : entry.name);
const trafficShape = {
  /** auto: enforce where the kernel allows it, else observe and say why. */
  mode: z.enum(['auto', 'enforce', 'observe'], 'must be "auto", "enforce" or "observe"').default('auto'),
  /** auto: every interface that is up, without loopback. */
  interfaces: z
    .union(
      [
        z.literal('auto'),
        z
          .array(z.union([interfaceName, z.strictObject(interfaceShape)], 'must be an interface name, or { "name", "engine", "fallback" }'))
          .min(1, 'must name 1 to 64 interfaces')
          .max(interfacesMax, 'must name 1 to 64 interfaces'),
      ],
      'must be "auto" or a list of 1 to 64 interface names, or of { "name", "engine", "fallback" }',
    )
    .refine((entries) => entries === 'auto' || new Set(entries.map(nameOf)).size === entries.length, 'names an interface twice')
    .default('auto'),
  /** Programs and tables pinned here survive the agent. */
  pinPath: absolutePath.default('/sys/fs/bpf/nest'),
  /** Files that deny lists of a policy name lie here. */
  denyListDir: absolutePath.default('/etc/nest-agent/deny-lists'),
  /** auto: connections and packets of this host itself are judged too, where the kernel allows it. */
  local: z.enum(['auto', 'off'], 'must be "auto" or "off"').default('off'),
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
const collectorHost = z.union([z.ipv4(), z.ipv6(), hostName], 'must be an IP address or a host name');
const collectorPort = port.min(1, 'must be 1 to 65535');
const switchOf = z.boolean('must be true or false');
const facilityNames = Object.keys(syslogFacilities) as [SyslogFacility, ...SyslogFacility[]];
const exportSyslogShape = {
  host: collectorHost,
  /** RFC 5426 section 3.3. */
  port: collectorPort.default(514),
  /** Local use: what the agent exports is not the host's own log. */
  facility: z.enum(facilityNames, `must be one of ${facilityNames.join(', ')}`).default('local0'),
};
const exportIpfixShape = {
  host: collectorHost,
  /** RFC 7011 section 10.3.4. */
  port: collectorPort.default(4739),
  /** Tells hosts apart that a collector sees under one address. */
  observationDomain: z
    .int('must be a whole number')
    .min(0, 'must be 0 to 4294967295')
    .max(0xffff_ffff, 'must be 0 to 4294967295')
    .default(1),
  /** A collector that restarts understands nothing until the templates come again. */
  templateSeconds: z.int('must be a whole number').min(1, 'must be 1 to 86400').max(86_400, 'must be 1 to 86400').default(60),
};
const exportLogShape = {
  /** Accepted and refused connections, refused calls, enrolment. */
  authentication: switchOf.default(true),
  /** Flow records, by syslog and IPFIX. */
  netflow: switchOf.default(true),
  /** Lines about the data path, policy and health; many, so not by default. */
  debug: switchOf.default(false),
};
const exportShape = {
  /** The cluster this host belongs to; written into each syslog message. Absent: none. */
  cluster: z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/, 'must be a name of 1 to 63 letters, digits, ".", "_" and "-"')
    .optional(),
  /** Absent: nothing is sent that way. */
  syslog: z.strictObject(exportSyslogShape).optional(),
  ipfix: z.strictObject(exportIpfixShape).optional(),
  log: z.strictObject(exportLogShape).prefault({}),
  /** Between two records of a flow that lives; ten seconds at least, since idle flows are swept every five. */
  periodicSeconds: z.int('must be a whole number').min(10, 'must be 10 to 3600').max(3_600, 'must be 10 to 3600').default(60),
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
  export: z.strictObject(exportShape).prefault({}),
};

/** The config file, every key optional, unknown keys refused. */
export const configSchema = z.strictObject(rootShape).readonly();

type ParsedConfig = z.output<typeof configSchema>;

declare const checked: unique symbol;
/** Parsed, complete and frozen; only agent/config makes one. */
export type AgentConfig = Omit<ParsedConfig, 'name'> & { readonly name: string; readonly [checked]: true };

/** Keys by section ('' = top level, [] = an entry of a list), to name the nearest one. */
export const knownKeys: Readonly<Record<string, readonly string[]>> = {
  '': Object.keys(rootShape),
  listen: Object.keys(listenShape),
  metrics: Object.keys(metricsShape),
  traffic: Object.keys(trafficShape),
  'traffic.interfaces[]': Object.keys(interfaceShape),
  log: Object.keys(logShape),
  'log.syslog': Object.keys(syslogShape),
  export: Object.keys(exportShape),
  'export.syslog': Object.keys(exportSyslogShape),
  'export.ipfix': Object.keys(exportIpfixShape),
  'export.log': Object.keys(exportLogShape),
};
