/** nest trace | flows | counters | revisions */
import type { Command } from 'commander';
import type { FlowList, HostCounters, PolicyRevision, Trace } from '../bridge/model.ts';
import type { InputOf } from '../bridge/contract.ts';
import { findHost, readText, UsageError, withFleet } from './command-context.ts';
import type { CommandContext, GlobalOptions, Invocation } from './command-context.ts';
import { clean, formatAge, formatTable, formatTime, shortHash } from './output.ts';

interface TraceOptions extends GlobalOptions {
  readonly interface: string;
  readonly hex?: string;
  readonly protocol: string;
  readonly source?: string;
  readonly destination?: string;
  readonly sourcePort?: string;
  readonly port?: string;
  readonly flags?: string;
  readonly vlan?: string;
  readonly draft?: string;
}

interface FlowOptions extends GlobalOptions {
  readonly address?: string;
  readonly port?: string;
  readonly mapping?: string;
  readonly verdict?: string;
  readonly window?: string;
  readonly limit?: string;
}

export const addObserveCommands = (program: Command, invocation: Invocation): void => {
  program
    .command('trace <host>')
    .description('what would happen to a packet on the host now, and why')
    .requiredOption('--interface <name>', 'where the packet comes in')
    .option('--hex <bytes>', 'the packet itself, from the Ethernet header on')
    .option('--protocol <name>', 'tcp, udp or icmp', 'tcp')
    .option('--source <address>')
    .option('--destination <address>')
    .option('--source-port <number>')
    .option('--port <number>', 'destination port')
    .option('--flags <name>', 'syn, syn-ack, ack, fin or rst')
    .option('--vlan <number>')
    .option('--draft <file>', 'judge it under this policy too')
    .action((name: string, _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<TraceOptions>();
      return withFleet(invocation, options, async (context) => {
        const { hostId } = await findHost(context, name);
        const draft = options.draft === undefined ? {} : { draft: await readText(context, options.draft) };
        const trace = await context.handlers['trace.run'](
          { hostId, interface: options.interface, packet: packetOf(options), ...draft },
          context.signal,
        );
        context.print(trace, showTrace);
      });
    });
  program
    .command('flows <host>')
    .description('flows the host has seen, the last seen first')
    .option('--address <address>', 'address or CIDR of either side')
    .option('--port <number>', 'of either side')
    .option('--mapping <name>')
    .option('--verdict <word>', 'allowed or denied')
    .option('--window <seconds>', 'seen in the last so many seconds')
    .option('--limit <number>', '1 to 1000', '50')
    .action((name: string, _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<FlowOptions>();
      return withFleet(invocation, options, async (context) => {
        const { hostId } = await findHost(context, name);
        context.print(await context.handlers['host.flows']({ hostId, ...flowQueryOf(options) }, context.signal), (list) =>
          showFlows(list, context.clock.now()),
        );
      });
    });
  for (const { name, description, run } of simpleCommands) {
    program
      .command(`${name} <host>`)
      .description(description)
      .action((host: string, _options: unknown, command: Command) =>
        withFleet(invocation, command.optsWithGlobals<GlobalOptions>(), async (context) =>
          run(context, (await findHost(context, host)).hostId),
        ),
      );
  }
};

const simpleCommands: readonly {
  readonly name: string;
  readonly description: string;
  readonly run: (context: CommandContext, hostId: string) => Promise<void>;
}[] = [
  {
    name: 'counters',
    description: 'packets and bytes by mapping, reason and interface',
    run: async (context, hostId) => {
      context.print(await context.handlers['host.counters']({ hostId }, context.signal), (counters) =>
        showCounters(counters, context.clock.now()),
      );
    },
  },
  {
    name: 'revisions',
    description: 'the policies the host has had, the newest first',
    run: async (context, hostId) => {
      context.print(await context.handlers['policy.revisions']({ hostId }, context.signal), showRevisions);
    },
  },
];

const oneOf = <Word extends string>(option: string, text: string, words: readonly Word[]): Word => {
  const found = words.find((word) => word === text);
  if (found === undefined) throw new UsageError(`${option} is one of ${words.join(', ')}.`);
  return found;
};

const numberOf = (option: string, text: string, range: { readonly min: number; readonly max: number }): number => {
  const value = Number(text);
  if (!Number.isInteger(value) || value < range.min || value > range.max)
    throw new UsageError(`${option} is a number from ${String(range.min)} to ${String(range.max)}.`);
  return value;
};

const packetOf = (options: TraceOptions): InputOf<'trace.run'>['packet'] => {
  const tcpFlags =
    options.flags === undefined ? undefined : oneOf('--flags', options.flags, ['syn', 'syn-ack', 'ack', 'fin', 'rst'] as const);
  if (options.hex !== undefined) return { hex: options.hex };
  if (options.source === undefined || options.destination === undefined)
    throw new UsageError('Describe the packet with --source and --destination, or give its bytes with --hex.');
  const port = { min: 0, max: 65_535 };
  return {
    protocol: oneOf('--protocol', options.protocol, ['tcp', 'udp', 'icmp']),
    source: options.source,
    destination: options.destination,
    ...(options.sourcePort === undefined ? {} : { sourcePort: numberOf('--source-port', options.sourcePort, port) }),
    ...(options.port === undefined ? {} : { destinationPort: numberOf('--port', options.port, port) }),
    ...(tcpFlags === undefined ? {} : { tcpFlags }),
    ...(options.vlan === undefined ? {} : { vlan: numberOf('--vlan', options.vlan, { min: 1, max: 4_094 }) }),
  };
};

const flowQueryOf = (options: FlowOptions): Omit<InputOf<'host.flows'>, 'hostId'> => {
  const verdict = options.verdict === undefined ? undefined : oneOf('--verdict', options.verdict, ['allowed', 'denied'] as const);
  return {
    ...(options.address === undefined ? {} : { address: options.address }),
    ...(options.port === undefined ? {} : { port: numberOf('--port', options.port, { min: 1, max: 65_535 }) }),
    ...(options.mapping === undefined ? {} : { mapping: options.mapping }),
    ...(verdict === undefined ? {} : { verdict }),
    ...(options.window === undefined ? {} : { windowSeconds: numberOf('--window', options.window, { min: 1, max: 3_600 }) }),
    limit: numberOf('--limit', options.limit ?? '50', { min: 1, max: 1_000 }),
  };
};

const showTrace = (trace: Trace): string =>
  [
    `${trace.allowed ? 'ALLOWED' : 'DENIED'}  ${trace.reason}  ${trace.sentence}${trace.mapping === null ? '' : ` (${clean(trace.mapping)})`}`,
    ...trace.steps.map(({ title, detail }) => `  ${clean(title)}: ${clean(detail)}`),
    `Revision ${String(trace.revision)}, ${trace.interface}, ${String(trace.durationNs)} ns in the kernel`,
    ...(trace.draft === null
      ? []
      : [
          `Under the draft: ${trace.draft.allowed ? 'ALLOWED' : 'DENIED'}  ${trace.draft.reason}${trace.draft.mapping === null ? '' : ` (${clean(trace.draft.mapping)})`}`,
        ]),
  ].join('\n');

const staleNote = (live: boolean, at: number, now: number): readonly string[] =>
  live ? [] : [`The host does not answer; this is from ${formatAge(at, now)}.`];

const showFlows = (list: FlowList, now: number): string =>
  [
    formatTable(list.flows, [
      { title: 'SOURCE', value: (flow) => endpoint(flow.source, flow.sourcePort) },
      { title: 'DESTINATION', value: (flow) => endpoint(flow.destination, flow.destinationPort) },
      { title: 'PROTO', value: (flow) => flow.protocol },
      { title: 'STATE', value: (flow) => flow.state },
      { title: 'VERDICT', value: (flow) => (flow.allowed ? 'allowed' : 'denied') },
      { title: 'MAPPING', value: (flow) => flow.mapping ?? '(default)' },
      { title: 'PACKETS', value: (flow) => flow.packets },
      { title: 'BYTES', value: (flow) => flow.bytes },
      { title: 'SEEN', value: (flow) => formatAge(flow.lastSeen, now) },
    ]),
    `${String(list.flows.length)} of ${String(list.matched)} flows${list.recordsLost === 0 ? '' : `, ${String(list.recordsLost)} records lost`}`,
    ...staleNote(list.live, list.at, now),
  ].join('\n');

const endpoint = (address: string, port: number): string =>
  port === 0 ? address : address.includes(':') ? `[${address}]:${String(port)}` : `${address}:${String(port)}`;

const showCounters = (counters: HostCounters, now: number): string =>
  [
    formatTable(counters.mappings, [
      { title: 'MAPPING', value: ({ mapping }) => (mapping === '' ? '(default)' : mapping) },
      { title: 'ACTION', value: ({ action }) => action },
      { title: 'PACKETS', value: ({ packets }) => packets },
      { title: 'BYTES', value: ({ bytes }) => bytes },
    ]),
    '',
    formatTable(
      counters.reasons.filter(({ packets }) => packets > 0),
      [
        { title: 'REASON', value: ({ reason }) => reason },
        { title: 'DROPPED', value: ({ dropped }) => (dropped ? 'yes' : 'no') },
        { title: 'PACKETS', value: ({ packets }) => packets },
        { title: 'BYTES', value: ({ bytes }) => bytes },
        { title: 'MEANING', value: ({ sentence }) => sentence },
      ],
    ),
    `Revision ${String(counters.revision)}, records lost ${String(counters.recordsLost)}, suppressed ${String(counters.recordsSuppressed)}, flows not inserted ${String(counters.flowsNotInserted)}`,
    ...staleNote(counters.live, counters.at, now),
  ].join('\n');

const showRevisions = (revisions: readonly PolicyRevision[]): string =>
  formatTable(revisions, [
    { title: 'REV', value: ({ revision }) => revision },
    { title: 'STATE', value: ({ state }) => state },
    { title: 'CREATED', value: ({ createdAt }) => formatTime(createdAt === 0 ? null : createdAt) },
    { title: 'MAPPINGS', value: ({ mappingCount }) => mappingCount },
    { title: 'GENERATION', value: ({ generation }) => shortHash(generation) },
    { title: 'AUTHOR', value: ({ author }) => author },
    { title: 'COMMENT', value: ({ comment }) => comment },
    { title: 'WHY', value: ({ settledReason }) => settledReason },
  ]);
