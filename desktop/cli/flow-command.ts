/** nest flows */
import type { Command } from 'commander';
import { flowKeys, parseFlowQuery } from '../bridge/flow-grammar.ts';
import type { FlowQuery } from '../bridge/flow-grammar.ts';
import type { FlowList, FlowRow, FlowSums } from '../bridge/model.ts';
import { findHost, withFleet } from './command-context.ts';
import type { GlobalOptions, Invocation } from './command-context.ts';
import { clean, endpoint, formatAge, formatTable, numberOf, oneOf, staleNote } from './output.ts';
import { UsageError } from './usage-error.ts';

interface FlowOptions extends GlobalOptions {
  readonly top?: string;
  readonly limit?: string;
}

const sumsBy = ['source', 'destination', 'mapping', 'port', 'reason'] as const;
const flowsUsual = '50';
const sumsUsual = '10';

const grammarHelp = (): string =>
  [
    '',
    'Filter terms, all of which must hold; a bare address or CIDR is either side, a bare number a port:',
    ...Object.entries(flowKeys).map(([key, { about, example }]) => `  ${`${key}:`.padEnd(9)} ${about.padEnd(30)} ${example}`),
  ].join('\n');

export const addFlowCommand = (program: Command, invocation: Invocation): void => {
  program
    .command('flows <host> [filter...]')
    .description('flows the host has seen, the last seen first; with --top who sends most')
    .option('--top <property>', `sums instead of flows, by ${sumsBy.join(', ')}`)
    .option('--limit <number>', `rows: 1 to 1000 flows (${flowsUsual}), 1 to 100 sums (${sumsUsual})`)
    .addHelpText('after', grammarHelp())
    .action((...[name, terms, , command]: [string, readonly string[], unknown, Command]) => {
      const options = command.optsWithGlobals<FlowOptions>();
      const query = queryOf(terms.join(' '));
      const by = options.top === undefined ? undefined : oneOf('--top', options.top, sumsBy);
      const limit = numberOf('--limit', options.limit ?? (by === undefined ? flowsUsual : sumsUsual), {
        min: 1,
        max: by === undefined ? 1_000 : 100,
      });
      return withFleet(invocation, options, async (context) => {
        const { handlers, signal, clock } = context;
        const { hostId } = await findHost(context, name);
        if (by === undefined)
          context.print(await handlers['host.flows']({ hostId, ...query, limit }, signal), (list) => showFlows(list, clock.now()));
        else
          context.print(await handlers['host.flowSums']({ hostId, ...query, by, limit }, signal), (sums) =>
            showSums(sums, by, clock.now()),
          );
      });
    });
};

/** The query of a filter. Raises UsageError with every problem. */
const queryOf = (filter: string): FlowQuery => {
  const { query, problems } = parseFlowQuery(filter);
  if (problems.length === 0) return query;
  throw new UsageError(problems.map(({ message, start, end }) => `${filter.slice(start, end)}: ${message}`).join('\n       '));
};

const showFlows = (list: FlowList, now: number): string =>
  [
    formatTable(list.flows, [
      { title: 'SOURCE', value: (flow) => endpoint(flow.source, flow.sourcePort, flow.protocol) },
      { title: 'DESTINATION', value: (flow) => endpoint(flow.destination, flow.destinationPort, flow.protocol) },
      { title: 'SENT TO', value: sentTo },
      { title: 'PROTO', value: (flow) => flow.protocol },
      { title: 'STATE', value: (flow) => flow.state },
      { title: 'VERDICT', value: (flow) => (flow.allowed ? 'allowed' : 'denied') },
      { title: 'MAPPING', value: (flow) => flow.mapping ?? '(default)' },
      { title: 'PACKETS', value: (flow) => flow.packets },
      { title: 'BYTES', value: (flow) => flow.bytes },
      { title: 'SEEN', value: (flow) => formatAge(flow.lastSeen, now) },
    ]),
    `${String(list.flows.length)} of ${String(list.matched)} flows${lostText(list.recordsLost)}`,
    ...staleNote(list, now),
  ].join('\n');

const sentTo = ({ translation, protocol }: FlowRow): string | null => {
  if (translation === null) return null;
  const to = endpoint(translation.destination, translation.destinationPort, protocol);
  return translation.backend === null ? to : `${translation.backend} ${to}`;
};

const lostText = (records: number): string => (records === 0 ? '' : `, ${String(records)} records lost`);

const showSums = (summed: FlowSums, by: string, now: number): string =>
  [
    formatTable(summed.sums, [
      { title: by.toUpperCase(), value: ({ key }) => (key === '' ? '(default)' : clean(key)) },
      { title: 'FLOWS', value: ({ flows }) => flows },
      { title: 'DENIED', value: ({ deniedFlows }) => deniedFlows },
      { title: 'PACKETS', value: ({ packets }) => packets },
      { title: 'BYTES', value: ({ bytes }) => bytes },
    ]),
    `${String(summed.sums.length)} of ${String(summed.keys)}, of ${String(summed.flows)} flows and ${String(summed.bytes)} bytes in all${lostText(summed.recordsLost)}`,
    ...staleNote(summed, now),
  ].join('\n');
