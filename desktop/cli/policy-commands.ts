/** nest policy show | validate | import | plan */
import type { Command } from 'commander';
import { writeFile } from 'node:fs/promises';
import type { PolicyCheck, PolicyImport } from '../bridge/model.ts';
import { chosenHosts, findHost, readText, ReportedError, withCore, withFleet } from './command-context.ts';
import type { GlobalOptions, Invocation } from './command-context.ts';
import { groupOption, whereOption } from './host-choice.ts';
import type { HostFilter } from './host-choice.ts';
import { mergeOptions, withMerge } from './merge-commands.ts';
import type { MergeOptions } from './merge-commands.ts';
import { clean, formatAge, formatTable } from './output.ts';
import { showPlan } from './plan-view.ts';
import { UsageError } from './usage-error.ts';

export interface HostChoice extends GlobalOptions, HostFilter {
  readonly host?: readonly string[];
  readonly all?: true;
}

export const addPolicyCommands = (program: Command, invocation: Invocation): void => {
  const policy = program.command('policy').description('what is allowed on the hosts');
  policy
    .command('show <host>')
    .description('the policy of a host as JSON')
    .option('--revision <number>', 'an older one instead of the current')
    .action((name: string, _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions & { readonly revision?: string }>();
      return withFleet(invocation, options, async (context) => {
        const { hostId } = await findHost(context, name);
        const revision = await context.handlers['policy.get'](
          { hostId, ...(options.revision === undefined ? {} : { revision: revisionOf(options.revision) }) },
          context.signal,
        );
        if (!revision.live) context.terminal.note(`The host does not answer; this is from ${formatAge(revision.at, context.clock.now())}.`);
        context.print(revision, ({ policy: text }) => prettyJson(text));
      });
    });
  policy
    .command('validate <file>')
    .description('check a policy file on this machine; "-" reads standard input')
    .action((path: string, _options: unknown, command: Command) =>
      withCore(invocation, command.optsWithGlobals<GlobalOptions>(), async (context) => {
        const check = await context.handlers['policy.validate']({ policy: await readText(context, path) }, context.signal);
        context.print(check, showCheck);
        if (!check.valid) throw new ReportedError();
      }),
    );
  policy
    .command('import <file>')
    .description('turn a MarchProxy file into a policy, or take a policy as it is; "-" reads standard input')
    .option('--output <file>', 'write the policy there instead of printing it')
    .action((path: string, _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions & { readonly output?: string }>();
      return withCore(invocation, options, async (context) => {
        const imported = await context.handlers['policy.import']({ text: await readText(context, path) }, context.signal);
        if (!context.isJson) for (const note of imported.notes) context.terminal.note(showNote(note));
        if (options.output === undefined) {
          context.print(imported, ({ policy: text }) => text);
          return;
        }
        await writeFile(options.output, `${imported.policy}\n`);
        context.print(imported, () => `${imported.format} written to ${options.output ?? ''}`);
      });
    });
  mergeOptions(
    policy.command('plan <file>').description('what a policy would change, before anything is touched; "-" reads standard input'),
  )
    .option('--host <name...>', 'hosts to plan for')
    .option('--all', 'all hosts')
    .option(...whereOption)
    .option(...groupOption)
    .action((path: string, _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<HostChoice & MergeOptions>();
      return withFleet(invocation, options, async (context) => {
        const text = await readText(context, path);
        const hostIds = [...(await chosenHosts(context, options))];
        const change = await withMerge(context, text, { hostIds, options });
        context.print(await context.handlers['policy.plan']({ ...change, hostIds }, context.signal), showPlan);
      });
    });
};

/** A revision number from the command line. */
export const revisionOf = (text: string): number => {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new UsageError('A revision is a number from 1 on; "nest revisions <host>" lists them.');
  return value;
};

const prettyJson = (text: string): string => JSON.stringify(JSON.parse(text), undefined, 2);

const showNote = ({ subject, message }: PolicyImport['notes'][number]): string =>
  `note: ${clean(subject === '' ? message : `${subject}: ${message}`)}`;

const showCheck = ({ valid, problems, tables }: PolicyCheck): string =>
  [
    ...(problems.length === 0
      ? []
      : [
          formatTable(problems, [
            { title: 'SEVERITY', value: ({ severity }) => severity },
            { title: 'WHERE', value: ({ path }) => path },
            { title: 'CODE', value: ({ code }) => code },
            { title: 'PROBLEM', value: ({ message }) => message },
          ]),
        ]),
    ...(valid && tables !== null
      ? [
          `The policy is good: ${String(tables.mappings)} mappings, ${String(tables.identities)} prefixes, ${String(tables.pairs)} pairs, ${String(tables.imageBytes)} bytes, compiled in ${tables.compileMs.toFixed(1)} ms.`,
        ]
      : []),
  ].join('\n');
