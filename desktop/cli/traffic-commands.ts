/** nest balancers | deny list, add, remove, delete | engines */
import type { Command } from 'commander';
import { readNetwork, writeNetwork } from '../bridge/address-text.ts';
import type { BackendRow, BalancerList, DenyListChange, DenyListTable, HostDetail, InterfaceRow } from '../bridge/model.ts';
import { askYes, findHost, readText, settledRows, withFleet } from './command-context.ts';
import type { CommandContext, GlobalOptions, Invocation } from './command-context.ts';
import { clean, endpoint, formatAge, formatTable, formatTime, oneOf, staleNote } from './output.ts';
import { UsageError } from './usage-error.ts';

export const addTrafficCommands = (program: Command, invocation: Invocation): void => {
  program
    .command('balancers <host>')
    .description('balancing mappings with their backends: state, health, weight, what each one got')
    .action((name: string, _options: unknown, command: Command) =>
      withFleet(invocation, command.optsWithGlobals<GlobalOptions>(), async (context) => {
        const { hostId } = await findHost(context, name);
        context.print(await context.handlers['host.balancers']({ hostId }, context.signal), (list) =>
          showBalancers(list, context.clock.now()),
        );
      }),
    );
  addDenyCommands(program, invocation);
  addEngineCommands(program, invocation);
};

interface DenyOptions extends GlobalOptions {
  readonly file?: string;
  readonly expires?: string;
  readonly yes?: true;
}

/** A call carries so many; more are sent in several. */
const prefixesPerCall = 10_000;

const addDenyCommands = (program: Command, invocation: Invocation): void => {
  const deny = program.command('deny').description('deny lists of a host: of its policy, and those it keeps beside it');
  deny
    .command('list <host>')
    .description('all lists with their hits')
    .action((name: string, _options: unknown, command: Command) =>
      withFleet(invocation, command.optsWithGlobals<GlobalOptions>(), async (context) => {
        const { hostId } = await findHost(context, name);
        context.print(await context.handlers['host.denyLists']({ hostId }, context.signal), (table) =>
          showDenyLists(table, context.clock.now()),
        );
      }),
    );
  deny
    .command('add <host> <list> [prefixes...]')
    .description('deny addresses and CIDRs on this host from now on; makes the list when it is new')
    .option('--file <file>', 'one prefix a line, "#" begins a comment; "-" is standard input')
    .option('--expires <time>', 'when they go by themselves: 90m, 12h, 7d or a time such as 2030-01-31T18:00:00Z')
    .action((...[name, list, prefixes, , command]: [string, string, readonly string[], unknown, Command]) => {
      const options = command.optsWithGlobals<DenyOptions>();
      return withFleet(invocation, options, async (context) => {
        const add = await prefixesOf(context, prefixes, options.file);
        const expiresAt = options.expires === undefined ? {} : { expiresAt: expiryOf(options.expires, context.clock.now()) };
        await updateDenyList(context, { name, list, add, remove: [] }, expiresAt);
      });
    });
  deny
    .command('remove <host> <list> [prefixes...]')
    .description('take prefixes off a list that the host keeps')
    .option('--file <file>', 'one prefix a line; "-" is standard input')
    .action((...[name, list, prefixes, , command]: [string, string, readonly string[], unknown, Command]) => {
      const options = command.optsWithGlobals<DenyOptions>();
      return withFleet(invocation, options, async (context) => {
        await updateDenyList(context, { name, list, add: [], remove: await prefixesOf(context, prefixes, options.file) }, {});
      });
    });
  deny
    .command('delete <host> <list>')
    .description('delete a list that the host keeps, with all its prefixes')
    .option('--yes', 'do not ask')
    .action((...[name, list, , command]: [string, string, unknown, Command]) => {
      const options = command.optsWithGlobals<DenyOptions>();
      return withFleet(invocation, options, async (context) => {
        if (options.yes !== true && !(await askYes(context, `Delete ${list} of ${name} with all its prefixes?`, '--yes'))) return;
        await updateDenyList(context, { name, list, add: [], remove: [] }, { delete: true });
      });
    });
};

interface DenyUpdate {
  readonly name: string;
  readonly list: string;
  readonly add: readonly string[];
  readonly remove: readonly string[];
}

const updateDenyList = async (
  context: CommandContext,
  { name, list, add, remove }: DenyUpdate,
  rest: { readonly expiresAt?: number; readonly delete?: boolean },
): Promise<void> => {
  const { hostId } = await findHost(context, name);
  const calls = Math.max(1, Math.ceil(Math.max(add.length, remove.length) / prefixesPerCall));
  let change: DenyListChange = { added: 0, removed: 0, prefixes: 0 };
  for (let call = 0; call < calls; call += 1) {
    const part = (prefixes: readonly string[]): string[] => prefixes.slice(call * prefixesPerCall, (call + 1) * prefixesPerCall);
    const answer = await context.handlers['host.denyList.update'](
      { hostId, name: list, add: part(add), remove: part(remove), ...rest },
      context.signal,
    );
    change = { added: change.added + answer.added, removed: change.removed + answer.removed, prefixes: answer.prefixes };
  }
  context.print(change, ({ added, removed, prefixes }) =>
    rest.delete === true
      ? `${clean(list)} is deleted: ${String(removed)} prefixes gone.`
      : `${clean(list)}: ${String(added)} added, ${String(removed)} removed, ${String(prefixes)} prefixes now.`,
  );
};

/** Prefixes of the arguments and the file. Raises UsageError naming the first that is none, by line when it is in the file. */
const prefixesOf = async (context: CommandContext, given: readonly string[], file: string | undefined): Promise<readonly string[]> => {
  const lines = file === undefined ? [] : (await readText(context, file)).split('\n');
  const inFile = lines
    .map((line, index) => ({ line: line.replace(/^\uFEFF/, '').trim(), at: `line ${String(index + 1)}: ` }))
    .map(({ line, at }) => ({ text: /^"?([^#;,\s"]*)/.exec(line)?.[1] ?? '', isHeading: /^"?[^#;,.:/]+[,;]/.test(line), at }))
    .filter(({ text }) => text !== '')
    // As on the hosts: the first line may name its columns.
    .filter(({ isHeading }, index) => index > 0 || !isHeading);
  const entries = [...given.map((text) => ({ text, at: '' })), ...inFile];
  if (entries.length === 0) throw new UsageError('Name addresses or CIDRs, or a file of them with --file.');
  const prefixes = entries.map(({ text, at }) => {
    const network = readNetwork(text);
    if (typeof network === 'string') throw new UsageError(`${at}${network}`);
    return writeNetwork(network);
  });
  return [...new Set(prefixes)];
};

const unitMs: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Milliseconds since the epoch of "12h" or an RFC 3339 time. Raises UsageError. */
const expiryOf = (text: string, now: number): number => {
  const [, count = '', unit = ''] = /^(\d{1,6})([mhd])$/.exec(text) ?? [];
  const at = unit === '' ? (/^\d{4}-\d{2}-\d{2}T/.test(text) ? Date.parse(text) : Number.NaN) : now + Number(count) * (unitMs[unit] ?? 0);
  if (Number.isNaN(at) || at <= now) throw new UsageError('--expires is a time to come: 90m, 12h, 7d or 2030-01-31T18:00:00Z.');
  return at;
};

const engineWords = ['auto', 'xdp', 'af_xdp', 'dpdk', 'off'] as const;

const addEngineCommands = (program: Command, invocation: Invocation): void => {
  const engines = program
    .command('engines')
    .description('which engine serves each interface of a host, which could and why not; set chooses another')
    .argument('<host>')
    .argument('[action]', '"set"')
    .argument('[interface]')
    .argument('[engine]', engineWords.join(', '))
    .option('--yes', 'do not ask before an interface is taken off');
  engines.action(async (...[name, action, interfaceName, engine, , command]: [string, string?, string?, string?, unknown?, Command?]) => {
    const options = (command ?? engines).optsWithGlobals<GlobalOptions & { readonly yes?: true }>();
    if (action === undefined)
      return withFleet(invocation, options, async (context) => {
        await settledRows(context);
        const { hostId } = await findHost(context, name);
        context.print(await context.handlers['host.get']({ hostId }, context.signal), (detail) => showEngines(detail, context.clock.now()));
      });
    if (action !== 'set' || interfaceName === undefined || engine === undefined)
      throw new UsageError('Write nest engines <host>, or nest engines <host> set <interface> <engine>.');
    const wanted = oneOf('The engine', engine, engineWords);
    return withFleet(invocation, options, async (context) => {
      const { hostId } = await findHost(context, name);
      const question = `Every packet on ${interfaceName} passes unjudged from then on. Take the engine off?`;
      if (wanted === 'off' && options.yes !== true && !(await askYes(context, question, '--yes'))) return;
      const choice = await context.handlers['host.interface.engine']({ hostId, interface: interfaceName, engine: wanted }, context.signal);
      context.print(choice, ({ engine: served, reason, warning }) => {
        const line = `${interfaceName} is served by ${served ?? 'no engine'} now: ${clean(reason)}`;
        return warning === '' ? line : `${line}\nWarning: ${clean(warning)}`;
      });
    });
  });
};

const showEngines = ({ row, sample }: HostDetail, now: number): string => {
  if (sample === null) return `${row.name} has not been measured yet.`;
  return [
    formatTable(sample.interfaces, [
      { title: 'INTERFACE', value: ({ name }) => name },
      { title: 'CHOSEN', value: ({ engineChoice }) => engineChoice },
      { title: 'ENGINE', value: ({ engine }) => engine },
      { title: 'QUEUES', value: ({ receiveQueues }) => receiveQueues },
      { title: 'NUMA', value: ({ numaNode }) => numaNode },
      { title: 'MBIT/S', value: ({ speedMbps }) => speedMbps },
      { title: 'WHY', value: ({ engineReason }) => engineReason },
    ]),
    ...sample.interfaces.flatMap(probeLines),
    ...staleNote(sample, now),
  ].join('\n');
};

const probeLines = ({ name, engines }: InterfaceRow): readonly string[] =>
  engines.map(
    ({ engine, available, reason }) =>
      `${name} ${engine}: ${available ? 'available' : 'not available'}${reason === '' ? '' : `, ${clean(reason)}`}`,
  );

const healthText = ({ health, healthDetail, healthSince }: BackendRow, now: number): string =>
  health === 'unknown'
    ? '-'
    : `${health}${healthSince === null ? '' : ` since ${formatAge(healthSince, now)}`}${healthDetail === '' ? '' : `: ${healthDetail}`}`;

const showBalancers = (list: BalancerList, now: number): string =>
  [
    ...(list.balancers.length === 0 ? ['No mapping balances.'] : []),
    ...list.balancers.flatMap((balancer, index) => [
      `${index === 0 ? '' : '\n'}${clean(balancer.mapping)}  ${balancer.destinations.join(' ')} ${balancer.protocols.join(',')} ${balancer.ports.join(',')}  ${balancer.nat}, affinity ${balancer.affinity}`,
      formatTable(balancer.backends, [
        { title: 'BACKEND', value: ({ name }) => name },
        { title: 'ADDRESS', value: ({ address, port }) => endpoint(address, port ?? 0) },
        { title: 'WEIGHT', value: ({ weight }) => weight },
        { title: 'WANTED', value: ({ wanted }) => wanted },
        { title: 'NOW', value: ({ effective }) => effective },
        { title: 'FLOWS', value: ({ flows }) => flows },
        { title: 'LIVE', value: ({ liveFlows }) => liveFlows },
        { title: 'PACKETS', value: ({ packets }) => packets },
        { title: 'BYTES', value: ({ bytes }) => bytes },
        { title: 'HEALTH', value: (backend) => healthText(backend, now) },
      ]),
    ]),
    ...staleNote(list, now),
  ].join('\n');

const showDenyLists = (table: DenyListTable, now: number): string =>
  [
    table.lists.length === 0
      ? 'No deny list.'
      : formatTable(table.lists, [
          { title: 'LIST', value: ({ name }) => name },
          { title: 'KEPT BY', value: ({ origin }) => origin },
          { title: 'FILE', value: ({ file }) => file },
          { title: 'PREFIXES', value: ({ prefixes }) => prefixes },
          { title: 'HITS', value: ({ hitPackets }) => hitPackets },
          { title: 'BYTES', value: ({ hitBytes }) => hitBytes },
          { title: 'ENDS', value: ({ expired, expiresAt }) => (expired ? 'ended' : expiresAt === null ? 'never' : formatTime(expiresAt)) },
        ]),
    ...table.lists.flatMap(({ name, problem }) => (problem === null ? [] : [`${clean(name)}: ${clean(problem)}`])),
    ...staleNote(table, now),
  ].join('\n');
