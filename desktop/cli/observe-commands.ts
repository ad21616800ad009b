/** nest trace | counters | revisions */
import type { Command } from 'commander';
import type { HostCounters, PolicyRevision, Trace } from '../bridge/model.ts';
import type { InputOf } from '../bridge/contract.ts';
import { findHost, readText, withFleet } from './command-context.ts';
import type { CommandContext, GlobalOptions, Invocation } from './command-context.ts';
import { clean, formatTable, formatTime, numberOf, oneOf, shortHash, staleNote } from './output.ts';
import { UsageError } from './usage-error.ts';

export interface TraceOptions extends GlobalOptions {
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

/** The packet that the options of a trace describe. Raises UsageError. */
export const packetOf = (options: TraceOptions): InputOf<'trace.run'>['packet'] => {
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

/** A trace as text. */
export const showTrace = (trace: Trace): string =>
  [
    `${trace.allowed ? 'ALLOWED' : 'DENIED'}  ${trace.reason}  ${trace.sentence}${trace.mapping === null ? '' : ` (${clean(trace.mapping)})`}`,
    ...trace.steps.map(({ title, detail }) => `  ${clean(title)}: ${clean(detail)}`),
    `Revision ${String(trace.revision)}, ${trace.interface}, ${trace.outcome}, ${judgedBy(trace)}`,
    ...(trace.outputHex === null || trace.outputHex === trace.hex
      ? []
      : [`As it comes   ${trace.hex}`, `As it leaves  ${trace.outputHex}`]),
    ...(trace.draft === null
      ? []
      : [
          `Under the draft: ${trace.draft.allowed ? 'ALLOWED' : 'DENIED'}  ${trace.draft.reason}${trace.draft.mapping === null ? '' : ` (${clean(trace.draft.mapping)})`}`,
        ]),
  ].join('\n');

const showCounters = (counters: HostCounters, now: number): string =>
  [
    formatTable(counters.mappings, [
      { title: 'MAPPING', value: ({ mapping }) => (mapping === '' ? '(default)' : mapping) },
      { title: 'ACTION', value: ({ action }) => action },
      { title: 'PACKETS', value: ({ packets }) => packets },
      { title: 'BYTES', value: ({ bytes }) => bytes },
      { title: 'OVER LIMIT', value: ({ limit }) => limit?.limitedPackets ?? null },
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
    ...(counters.path.floodMode ? ['Flood mode: deny lists are asked before the flow table.'] : []),
    `Revision ${String(counters.revision)}, records lost ${String(counters.recordsLost)}, suppressed ${String(counters.recordsSuppressed)}, flows not inserted ${String(counters.flowsNotInserted)}`,
    ...staleNote(counters, now),
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

const judgedBy = ({ live, at, durationNs }: Trace): string =>
  live
    ? `${String(durationNs)} ns in the kernel`
    : `the host does not answer: judged here by the policy it had on ${new Date(at).toISOString()}, without its flows, routes and own deny lists`;
