/** nest groups ls | set | rm | plan */
import type { Command } from 'commander';
import type { GroupPlan, GroupPlanHost, HostGroup } from '../bridge/group-model.ts';
import { askYes, findHost, readText, ReportedError, settledRows, withCore, withFleet } from './command-context.ts';
import type { CommandContext, GlobalOptions, Invocation } from './command-context.ts';
import { hostGrammarHelp } from './host-choice.ts';
import { clean, formatTable, formatTime } from './output.ts';
import { changedLines, impactText } from './plan-view.ts';
import { UsageError } from './usage-error.ts';

interface SetOptions extends GlobalOptions {
  readonly rule?: string;
  readonly host?: readonly string[];
  readonly about?: string;
}

export const addGroupCommands = (program: Command, invocation: Invocation): void => {
  const groups = program.command('groups').description('hosts under one name, by a list or by a rule');
  groups
    .command('ls')
    .description('all groups with how many hosts are in them now')
    .action((_options: unknown, command: Command) =>
      withFleet(invocation, command.optsWithGlobals<GlobalOptions>(), async (context) => {
        // A rule may ask how hosts are.
        await settledRows(context);
        context.print(await context.handlers['groups.list']({}, context.signal), showGroups);
      }),
    );
  groups
    .command('set <group>')
    .description('make a group, or change it: by a rule that hosts fit, or a list of hosts')
    .option('--rule <query>', 'what its hosts have in common, for instance "site:ams1 role:edge kernel>=6.1"')
    .option('--host <name...>', 'the hosts of a list')
    .option('--about <text>', 'what it is for')
    .addHelpText('after', hostGrammarHelp)
    .action((name: string, _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<SetOptions>();
      return withFleet(invocation, options, (context) => setGroup(context, name, options));
    });
  groups
    .command('rm <group>')
    .description('forget a group; its hosts stay')
    .option('--yes', 'do not ask')
    .action((name: string, _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions & { readonly yes?: true }>();
      return withCore(invocation, options, async (context) => {
        if (options.yes !== true && !(await askYes(context, `Forget the group ${name}? Its hosts stay.`, '--yes'))) return;
        await context.handlers['groups.remove']({ name }, context.signal);
        context.print({ removed: name }, () => `${name} is forgotten.`);
      });
    });
  addPlanCommand(groups, invocation);
};

const addPlanCommand = (groups: Command, invocation: Invocation): void => {
  groups
    .command('plan <group> <file>')
    .description('dry run of a policy on every host of a group, as one summary; exit code 1 when a host could not take it')
    .action((...[name, path, , command]: [string, string, unknown, Command]) =>
      withFleet(invocation, command.optsWithGlobals<GlobalOptions>(), async (context) => {
        const policy = await readText(context, path);
        await settledRows(context);
        const plan = await context.handlers['groups.plan']({ name, policy }, context.signal);
        context.print(plan, showGroupPlan);
        if (plan.outcomes.refused + plan.outcomes.away > 0) throw new ReportedError();
      }),
    );
};

const setGroup = async (context: CommandContext, name: string, options: SetOptions): Promise<void> => {
  const names = (options.host ?? []).flatMap((text) => text.split(',')).filter((part) => part !== '');
  if ((options.rule === undefined) === (names.length === 0))
    throw new UsageError('Give a rule with --rule <query>, or the hosts with --host <name...>.');
  await settledRows(context);
  const hostIds = await Promise.all(names.map(async (host) => (await findHost(context, host)).hostId));
  const about = options.about === undefined ? {} : { about: options.about };
  const members = options.rule === undefined ? { hostIds } : { rule: options.rule };
  const group = await context.handlers['groups.put']({ name, ...about, members }, context.signal);
  context.print(group, (shown) => showGroups([shown]));
};

const showGroups = (groups: readonly HostGroup[]): string =>
  groups.length === 0
    ? 'No groups yet. Make one with "nest groups set <group> --rule <query>".'
    : [
        formatTable(groups, [
          { title: 'GROUP', value: ({ name }) => name },
          { title: 'HOSTS', value: ({ hostIds }) => hostIds.length },
          { title: 'RULE', value: ({ rule }) => rule ?? 'a list' },
          { title: 'ABOUT', value: ({ about }) => about },
          { title: 'CHANGED', value: ({ changedAt }) => formatTime(changedAt) },
        ]),
        ...groups.flatMap(({ name, missing }) =>
          missing === 0 ? [] : [`${name}: ${String(missing)} of its hosts are not in the fleet any more.`],
        ),
        ...groups.flatMap(({ name, problem }) => (problem === null ? [] : [`${name}: ${clean(problem)}`])),
      ].join('\n');

const outcomeWords: Readonly<Record<GroupPlanHost['outcome'], string>> = {
  changes: 'can take it, changes',
  same: 'have it already',
  refused: 'refuse it',
  away: 'do not answer',
};

/** Names told in a line; of the others only the number. */
const namesShown = 8;

const namesText = (names: readonly string[]): string => {
  const rest = names.length - namesShown;
  return `${names.slice(0, namesShown).map(clean).join(', ')}${rest > 0 ? ` and ${String(rest)} more` : ''}`;
};

const showGroupPlan = (plan: GroupPlan): string => {
  const { group, hosts, outcomes, differences, rest, problems, cutOff } = plan;
  const lines = [`Group ${group}: ${String(hosts.length)} ${hosts.length === 1 ? 'host' : 'hosts'}`];
  for (const outcome of Object.keys(outcomeWords) as GroupPlanHost['outcome'][])
    if (outcomes[outcome] > 0) lines.push(`  ${String(outcomes[outcome]).padStart(5)} ${outcomeWords[outcome]}`);
  for (const { hostNames, diff } of differences)
    lines.push('', `Difference on ${String(hostNames.length)} (${namesText(hostNames)}):`, ...changedLines(diff));
  if (rest > 0) lines.push('', `And ${String(rest)} more differences; --json has the plan of the largest only.`);
  if (problems.length > 0) lines.push('');
  for (const { severity, path, message, hostNames } of problems)
    lines.push(`${severity}: ${clean(path === '' ? message : `${path}: ${message}`)} (${namesText(hostNames)})`);
  for (const { hostName, outcome, code, reason } of hosts)
    if (outcome === 'refused' || outcome === 'away')
      lines.push(`${clean(hostName)}: ${clean(reason ?? 'cannot take it')} (${code ?? '-'})`);
  if (cutOff.length > 0)
    lines.push(`WARNING: this policy cuts this console off from ${namesText(cutOff)}; they would take it back by themselves`);
  const isPlanned = outcomes.same + differences.length > 0;
  lines.push('', `All hosts: ${isPlanned ? impactText(plan, plan.measured) : 'nothing was planned.'}`);
  return lines.join('\n');
};
