/** nest policy merge, and what --base and --merge mean for plan and apply. */
import type { Command } from 'commander';
import { writeFile } from 'node:fs/promises';
import { NestError } from '../../proto/model/error.ts';
import type { MergeConflict, MergeSide, MergeTaken, PolicyMerge } from '../bridge/model.ts';
import { findHost, readText, ReportedError, withFleet } from './command-context.ts';
import type { CommandContext, GlobalOptions, Invocation } from './command-context.ts';
import { clean, formatTime, numberOf, oneOf } from './output.ts';
import { UsageError } from './usage-error.ts';

export interface MergeOptions {
  readonly base?: string;
  readonly merge?: true;
  readonly prefer?: string;
}

interface MergeCommandOptions extends GlobalOptions, MergeOptions {
  readonly host: string;
  readonly output?: string;
}

const sides = ['ours', 'theirs'] as const;

export const addMergeCommands = (program: Command, invocation: Invocation): void => {
  const policy = program.commands.find((command) => command.name() === 'policy') ?? program.command('policy');
  policy
    .command('merge <file>')
    .description(
      'put a policy file that was made from an older revision together with what a host has now; changes nothing; "-" reads standard input',
    )
    .requiredOption('--host <name>', 'the host')
    .requiredOption('--base <revision>', 'the revision the file was made from; 0 = before the first')
    .option('--prefer <side>', 'what counts where both have changed the same field: ours or theirs')
    .option('--output <file>', 'write the policy there instead of printing it')
    .action((path: string, _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<MergeCommandOptions>();
      return withFleet(invocation, options, async (context) => {
        const { hostId } = await findHost(context, options.host);
        const merge = await mergeInto(context, { hostId, policy: await readText(context, path), options });
        if (options.output !== undefined && merge.unresolved === 0) await writeFile(options.output, `${merge.policy}\n`);
        if (!context.isJson) context.terminal.note(showMerge(merge));
        context.print(merge, ({ policy: text }) => (options.output === undefined ? text : `Written to ${options.output}`));
        if (merge.unresolved > 0) throw new ReportedError();
      });
    });
};

/** --base, --merge and --prefer. */
export const mergeOptions = (command: Command): Command =>
  command
    .option('--base <revision>', 'the revision the file was made from: refuses a host that has moved on; 0 = before the first')
    .option('--merge', 'merge with what the host has now when it has moved on; one host')
    .option('--prefer <side>', 'with --merge, what counts where both have changed the same field: ours or theirs');

/** Revisions by host. Raises UsageError. */
const basesOf = ({ base }: MergeOptions, hostIds: readonly string[]): { readonly bases?: Readonly<Record<string, number>> } =>
  base === undefined ? {} : { bases: Object.fromEntries(hostIds.map((hostId) => [hostId, baseNumber(base)])) };

/**
 * The policy to plan: as it is, or merged with what the one host has now, with the base it then stands on. Raises UsageError, and
 * REVISION_CONFLICT while the same field is changed by both and nobody chose.
 */
export const withMerge = async (
  context: CommandContext,
  policy: string,
  { hostIds, options }: { readonly hostIds: readonly string[]; readonly options: MergeOptions },
): Promise<{ readonly policy: string; readonly bases?: Readonly<Record<string, number>> }> => {
  const plain = { policy, ...basesOf(options, hostIds) };
  if (options.merge !== true) {
    if (options.prefer !== undefined) throw new UsageError('--prefer goes with --merge.');
    return plain;
  }
  const [hostId] = hostIds;
  if (options.base === undefined) throw new UsageError('--merge needs --base <revision>: the revision the file was made from.');
  if (hostId === undefined || hostIds.length > 1)
    throw new UsageError('--merge is for one host at a time: each may have moved on differently.');
  const merge = await mergeInto(context, { hostId, policy, options });
  if (merge.theirs.revision === baseNumber(options.base)) return plain;
  if (!context.isJson) context.terminal.note(showMerge(merge));
  if (merge.unresolved > 0)
    throw new NestError(
      'REVISION_CONFLICT',
      `${String(merge.unresolved)} of the fields are changed by both sides. Choose with --prefer ours or --prefer theirs, or run this in a terminal to choose one by one.`,
      { details: { conflicts: merge.conflicts } },
    );
  return { policy: merge.policy, bases: { [hostId]: merge.theirs.revision } };
};

const mergeInto = async (
  context: CommandContext,
  { hostId, policy, options }: { readonly hostId: string; readonly policy: string; readonly options: MergeOptions },
): Promise<PolicyMerge> => {
  const request = { hostId, baseRevision: baseNumber(options.base ?? ''), policy };
  const prefer = options.prefer === undefined ? null : oneOf('--prefer', options.prefer, sides);
  const first = await context.handlers['policy.merge'](request, context.signal);
  if (first.unresolved === 0) return first;
  const isAsked = prefer === null && context.terminal.isInteractive && !context.isJson;
  if (prefer === null && !isAsked) return first;
  const choices: Record<string, MergeSide> = {};
  for (const conflict of first.conflicts) choices[conflict.key] = prefer ?? (await askSide(context, conflict));
  return context.handlers['policy.merge']({ ...request, choices }, context.signal);
};

const askSide = async ({ terminal, signal }: CommandContext, conflict: MergeConflict): Promise<MergeSide> => {
  const answer = await terminal.ask(`${conflictLine(conflict)}\nTake [o]urs or [t]heirs? `, signal);
  return oneOf('The answer', sides.find((side) => answer.trim() !== '' && side.startsWith(answer.trim().toLowerCase())) ?? answer, sides);
};

const baseNumber = (text: string): number => numberOf('--base', text, { min: 0, max: Number.MAX_SAFE_INTEGER });

/** What came in and what is open, for people. */
const showMerge = ({ hostName, theirs, taken, conflicts, problems }: PolicyMerge): string =>
  [
    `${hostName} has revision ${String(theirs.revision)}${theirs.author === '' ? '' : ` by ${clean(theirs.author)}`} of ${formatTime(theirs.createdAt)}${theirs.comment === '' ? '' : `: ${clean(theirs.comment)}`}`,
    ...taken.map((change) => `  taken from it: ${takenLine(change)}`),
    ...conflicts.map(
      (conflict) => `  changed by both: ${conflictLine(conflict)}${conflict.choice === null ? '' : ` -> ${conflict.choice}`}`,
    ),
    ...problems.map(({ severity, path, message }) => `  ${severity}: ${clean(path === '' ? message : `${path}: ${message}`)}`),
  ].join('\n');

const takenLine = ({ list, name, change, fields }: MergeTaken): string =>
  `${list === 'document' ? 'the document' : `${list} ${clean(name)}`} ${change}${fields.length === 0 ? '' : ` (${fields.join(', ')})`}`;

const conflictLine = ({ list, name, field, base, ours, theirs }: MergeConflict): string => {
  const place = `${list === 'document' ? 'the document' : `${list} ${clean(name)}`}${field === null ? '' : ` ${field}`}`;
  const said = (value: string | null): string => (value === null ? (field === null ? 'removed' : 'absent') : clean(value));
  return `${place}: was ${base === null ? 'absent' : clean(base)}, ours ${said(ours)}, theirs ${said(theirs)}`;
};
