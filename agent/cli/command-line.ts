import { Command, CommanderError } from 'commander';
import { toErrorShape } from '../../proto/model/error.ts';
import { loadConfig } from '../config/load.ts';
import type { AgentConfig } from '../config/schema.ts';
import { agentVersion } from '../config/version.ts';
import { exitCodeHelp, exitCodeOf, exitCodes } from './exit-code.ts';
import { runHealthcheck } from './healthcheck.ts';
import { runInit } from './init.ts';
import { runJoin } from './join.ts';
import { runAgent } from './run.ts';
import { runLeave } from './leave.ts';
import { runStatus } from './status.ts';
import type { Terminal } from './terminal.ts';

const configPathDefault = '/etc/nest-agent/config.json';

interface Flags {
  readonly config: string;
  readonly verbose: number;
}

/** Runs one command line and returns the exit code; says on standard error what went wrong and the next step. */
export const runCommandLine = async (terminal: Terminal): Promise<number> => {
  let exitCode: number = exitCodes.ok;
  const program = createCommands(terminal, (code) => (exitCode = code));
  try {
    await program.parseAsync([...terminal.argv], { from: 'user' });
    return exitCode;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
    const { code, message } = toErrorShape(error);
    terminal.stderr.write(`${code}: ${message}\n`);
    // A defect: the neutral message is for the operator, the stack is for us.
    if (code === 'INTERNAL' && error instanceof Error) terminal.stderr.write(`${error.stack ?? error.message}\n`);
    return exitCodeOf(code);
  }
};

/** Every command, option and argument of `nest-agent`; nothing has run yet. */
export const createCommands = (terminal: Terminal, exit: (code: number) => void): Command => {
  const program = new Command('nest-agent');
  const withCommonFlags = (command: Command): Command =>
    command
      .option('-c, --config <file>', 'configuration file', configPathDefault)
      .option('-v, --verbose', 'log warnings (-v), state changes (-vv), steps (-vvv)', (_value: string, count: number) => count + 1, 0);
  const command = (name: string, description: string): Command => withCommonFlags(program.command(name).description(description));
  const configOf = (flags: Flags): AgentConfig =>
    loadConfig({ file: flags.config, environment: terminal.environment, verbosity: flags.verbose });

  withCommonFlags(program)
    .description('Agent of a Nest fleet: enforces traffic policy on this host and answers the console.')
    .version(agentVersion)
    .option('--healthcheck', 'ask the running agent whether it is healthy')
    .addHelpText('after', `\n${exitCodeHelp}`)
    .exitOverride()
    .configureOutput({ writeOut: (text) => void terminal.stdout.write(text), writeErr: (text) => void terminal.stderr.write(text) })
    .action(async (flags: Flags & { readonly healthcheck?: boolean }) => {
      if (flags.healthcheck !== true) {
        program.outputHelp({ error: true });
        exit(exitCodes.usage);
        return;
      }
      exit(await runHealthcheck(configOf(flags), terminal));
    });
  const forced = (flags: object): boolean => 'force' in flags && flags.force === true;
  command('init', 'write a commented default configuration')
    .option('--force', 'write over an existing file')
    .action(async (_own: unknown, self: Command) => runInit(flagsOf(self).config, forced(flagsOf(self)), terminal));
  command('join', 'open the enrolment of this host with a token from the console')
    .argument('<token>', 'the token, as the console shows it')
    .action(async (token: string, _own: unknown, self: Command) => runJoin(configOf(flagsOf(self)), token, terminal));
  command('leave', 'take this host out of its fleet; its policy stays in force')
    .option('--yes', 'leave, without a question')
    .action(async (_own: unknown, self: Command) => {
      const flags = flagsOf(self);
      await runLeave(configOf(flags), 'yes' in flags && flags.yes === true, terminal);
    });
  command('run', 'run the agent').action(async (_own: unknown, self: Command) => runAgent(configOf(flagsOf(self)), terminal));
  command('status', 'show the state of the running agent')
    .option('--json', 'one line of JSON')
    .action(async (_own: unknown, self: Command) => {
      const flags = flagsOf(self);
      await runStatus(configOf(flags), 'json' in flags && flags.json === true, terminal);
    });
  return program;
};

/** Flags may stand before or after the command: what is given at the command wins. */
const flagsOf = (command: Command): Flags => {
  const own = command.opts<Flags>();
  const outer = command.parent?.opts<Flags>();
  if (outer === undefined) return own;
  const config = command.getOptionValueSource('config') === 'default' ? outer.config : own.config;
  return { ...own, config, verbose: own.verbose === 0 ? outer.verbose : own.verbose };
};
