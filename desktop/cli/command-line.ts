/** The whole command line: options, commands, exit codes. 0 = done, 1 = refused with a code, 2 = wrong use, 130 = interrupted. Global options may stand anywhere. */
import { Command, CommanderError, Option } from 'commander';
import { toErrorShape } from '../../proto/model/error.ts';
import { defaultDataDirectory } from '../core/api.ts';
import { addApprovalCommands } from './approval-commands.ts';
import { addAuditCommands } from './audit-commands.ts';
import { addAccessCommands } from './access-commands.ts';
import { ReportedError } from './command-context.ts';
import type { Invocation } from './command-context.ts';
import { addBreakGlassCommands } from './break-glass-commands.ts';
import { addMfaCommands } from './mfa-commands.ts';
import { addCompletionCommands } from './completion-commands.ts';
import { addDriftCommands } from './drift-commands.ts';
import { addFleetCommands } from './fleet-commands.ts';
import { addFlowCommand } from './flow-command.ts';
import { addGroupCommands } from './group-commands.ts';
import { addHostCommands } from './host-commands.ts';
import { addLicenseCommands } from './license-commands.ts';
import { addMergeCommands } from './merge-commands.ts';
import { addObserveCommands } from './observe-commands.ts';
import { addPolicyCommands } from './policy-commands.ts';
import { addRolloutCommands } from './rollout-commands.ts';
import { addSsoCommands } from './sso-commands.ts';
import { addSnapshotCommands } from './snapshot-commands.ts';
import { addStagedCommands } from './staged-commands.ts';
import { addTrafficCommands } from './traffic-commands.ts';
import { clean } from './output.ts';
import { UsageError } from './usage-error.ts';

export interface CommandLine extends Invocation {
  readonly args: readonly string[];
  readonly platform: NodeJS.Platform;
}

/** Every command, option and argument of `nest`; nothing has run yet. */
export const createCommands = (invocation: Omit<CommandLine, 'args'>): Command => {
  const { terminal } = invocation;
  const program = new Command('nest')
    .description('Nest: a fleet of network hosts from the command line')
    .version(invocation.version)
    .addOption(
      new Option('--data <folder>', 'where the fleet is kept (NEST_CONSOLE_DIR)').default(
        defaultDataDirectory(invocation.environment, invocation.platform),
        'the place of this system',
      ),
    )
    .option('--json', 'print JSON instead of text')
    .option('--passphrase-file <file>', 'file with the passphrase of the fleet (NEST_PASSPHRASE_FILE)')
    .option('--without-sign-in <reason>', 'open the console though its provider of single sign-on is away; the reason is kept')
    .option('--code-file <file>', 'file with a code of your authenticator, for what needs one (NEST_CODE_FILE)')
    .showHelpAfterError('(see nest --help)')
    .exitOverride()
    .configureOutput({ writeOut: (text) => terminal.out(text.trimEnd()), writeErr: (text) => terminal.note(text.trimEnd()) });
  for (const add of [
    addFleetCommands,
    addHostCommands,
    addGroupCommands,
    addPolicyCommands,
    addMergeCommands,
    addApprovalCommands,
    addDriftCommands,
    addRolloutCommands,
    addStagedCommands,
    addObserveCommands,
    addFlowCommand,
    addTrafficCommands,
    addAuditCommands,
    addAccessCommands,
    addLicenseCommands,
    addSsoCommands,
    addSnapshotCommands,
    addMfaCommands,
    addBreakGlassCommands,
    addCompletionCommands,
  ])
    add(program, invocation);
  return program;
};

/** Runs one command and returns the exit code. Never raises. */
export const runCommandLine = async (invocation: CommandLine): Promise<number> => {
  const { terminal, args, signal } = invocation;
  const program = createCommands(invocation);
  try {
    await program.parseAsync([...args], { from: 'user' });
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    if (error instanceof UsageError) {
      terminal.note(`error: ${error.message}`);
      return 2;
    }
    if (error instanceof ReportedError) return 1;
    const shape = toErrorShape(error);
    if (shape.code === 'CANCELLED' && signal.aborted) return 130;
    if (args.includes('--json')) terminal.out(JSON.stringify({ error: shape }));
    else terminal.note(`error ${shape.code}: ${clean(shape.message)}${placeText(shape.details)}${problemLines(shape.details)}`);
    return 1;
  }
};

/** Where in a query the mistake is, counted from 1. */
const placeText = ({ start, end }: Readonly<Record<string, unknown>>): string =>
  typeof start === 'number' && typeof end === 'number'
    ? ` (character ${String(start + 1)}${end > start + 1 ? ` to ${String(end)}` : ''})`
    : '';

/** A refused policy says everything that is wrong with it, not only the first. */
const problemLines = (details: Readonly<Record<string, unknown>>): string => {
  const { problems } = details;
  if (!Array.isArray(problems)) return '';
  return problems
    .map((problem: { readonly path?: unknown; readonly message?: unknown }) => [textOf(problem.path), textOf(problem.message)])
    .map((parts) => `\n  ${parts.filter((part) => part !== '').join(': ')}`)
    .join('');
};

const textOf = (value: unknown): string => (typeof value === 'string' ? clean(value) : '');
