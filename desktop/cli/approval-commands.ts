/** nest approvals ls | approve */
import type { Command } from 'commander';
import { toErrorShape } from '../../proto/model/error.ts';
import type { ApprovalList, ApprovalRow, PolicyRevision } from '../bridge/model.ts';
import { askYes, chosenHosts, ReportedError, settledRows, withFleet } from './command-context.ts';
import type { CommandContext, GlobalOptions, Invocation } from './command-context.ts';
import { clean, formatTable, formatTime } from './output.ts';
import type { HostChoice } from './policy-commands.ts';

interface ApproveOptions extends HostChoice {
  readonly yes?: true;
  readonly comment?: string;
}

/** What became of one host. */
interface Approved {
  readonly hostId: string;
  readonly hostName: string;
  readonly revision: PolicyRevision | null;
  readonly problem: { readonly code: string; readonly message: string } | null;
}

export const addApprovalCommands = (program: Command, invocation: Invocation): void => {
  const approvals = program
    .command('approvals')
    .description('mappings that another operator must agree to, and until when they are in force');
  approvals
    .command('ls')
    .description('what waits, what is in force and until when, what has ended')
    .option('--host <name...>', 'of these hosts alone')
    .option('--waiting', 'only what waits for an approval')
    .action((_options: unknown, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions & { readonly host?: readonly string[]; readonly waiting?: true }>();
      return withFleet(invocation, options, async (context) => {
        await settledRows(context);
        const list = await listOf(context, options);
        const rows = options.waiting === true ? list.rows.filter(({ state }) => state === 'waiting') : list.rows;
        context.print({ ...list, rows }, showApprovals);
      });
    });
  approvals
    .command('approve <mapping>')
    .description('approve a mapping in your name on the named hosts; a new revision there, kept at once when the host still answers')
    .option('--host <name...>', 'hosts to approve it on')
    .option('--all', 'all hosts where it waits')
    .option('--comment <text>', 'why, for the history')
    .option('--yes', 'do not ask')
    .action((mapping: string, _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<ApproveOptions>();
      return withFleet(invocation, options, (context) => approve(context, mapping, options));
    });
};

const listOf = async (context: CommandContext, options: { readonly host?: readonly string[] }): Promise<ApprovalList> => {
  const hostIds = options.host === undefined ? undefined : [...(await chosenHosts(context, { host: options.host }))];
  return context.handlers['approval.list'](hostIds === undefined ? {} : { hostIds }, context.signal);
};

const approve = async (context: CommandContext, mapping: string, options: ApproveOptions): Promise<void> => {
  await settledRows(context);
  const hostIds = [...(await chosenHosts(context, options))];
  const { rows, self } = await context.handlers['approval.list']({ hostIds }, context.signal);
  const asked = rows.filter((row) => row.mapping === mapping && row.state === 'waiting');
  if (asked.length === 0) {
    context.terminal.note(
      `error: ${clean(mapping)} does not wait for an approval on any of these hosts. "nest approvals ls" shows what does.`,
    );
    throw new ReportedError();
  }
  if (!context.isJson) context.terminal.note(showRows(asked));
  const question = `Approve ${mapping} on ${String(asked.length)} host${asked.length === 1 ? '' : 's'} as ${self}?`;
  if (options.yes !== true && !(await askYes(context, question, '--yes'))) {
    context.terminal.note('Nothing was approved.');
    return;
  }
  const done: Approved[] = [];
  for (const row of asked) done.push(await approveOn(context, row, options.comment));
  context.print(done, (all) => all.map(lineOf).join('\n'));
  if (done.some(({ problem }) => problem !== null)) throw new ReportedError();
};

const approveOn = async (
  { handlers, signal }: CommandContext,
  { hostId, hostName, mapping, revision }: ApprovalRow,
  comment: string | undefined,
): Promise<Approved> => {
  try {
    const request = { hostId, mapping, revision, ...(comment === undefined ? {} : { comment }) };
    return { hostId, hostName, revision: await handlers['approval.approve'](request, signal), problem: null };
  } catch (error) {
    const { code, message } = toErrorShape(error);
    if (code === 'CANCELLED') throw error;
    return { hostId, hostName, revision: null, problem: { code, message } };
  }
};

const lineOf = ({ hostName, revision, problem }: Approved): string =>
  problem === null
    ? `${hostName}: approved, revision ${String(revision?.revision ?? '')} (${revision?.state ?? ''})`
    : `${hostName}: not approved. ${clean(problem.message)} (${problem.code})`;

const showApprovals = ({ rows, unknown }: ApprovalList): string =>
  [
    rows.length === 0 ? 'No mapping asks for an approval.' : showRows(rows),
    ...(unknown.length === 0 ? [] : [`Not known: the policy of ${unknown.join(', ')}.`]),
  ].join('\n');

const showRows = (rows: readonly ApprovalRow[]): string =>
  formatTable(rows, [
    { title: 'MAPPING', value: ({ mapping }) => mapping },
    { title: 'HOST', value: ({ hostName, live }) => (live ? hostName : `${hostName} (away)`) },
    { title: 'STATE', value: ({ state }) => state },
    { title: 'ENDS', value: ({ expiresAt }) => formatTime(expiresAt) },
    { title: 'ASKED BY', value: ({ requestedBy }) => requestedBy },
    { title: 'APPROVED BY', value: ({ approvedBy }) => approvedBy },
    { title: 'TICKET', value: ({ ticket }) => ticket },
    { title: 'WHY', value: ({ justification }) => justification },
  ]);
