/** nest completion <shell>, and what its scripts ask while somebody types */
import { Argument } from 'commander';
import type { Command } from 'commander';
import { bashCompletion, zshCompletion } from './bash-completion.ts';
import { commandTable } from './command-table.ts';
import type { TablePlace } from './command-table.ts';
import { withCore } from './command-context.ts';
import type { GlobalOptions, Invocation } from './command-context.ts';
import { fishCompletion } from './fish-completion.ts';
import { powershellCompletion } from './powershell-completion.ts';

const shells: Readonly<Record<string, (table: readonly TablePlace[]) => string>> = {
  bash: bashCompletion,
  zsh: zshCompletion,
  fish: fishCompletion,
  powershell: powershellCompletion,
};

/** Added last: the scripts tell of every command that is there before. */
export const addCompletionCommands = (program: Command, invocation: Invocation): void => {
  program
    .command('completion')
    .description('print a script that completes commands, options, hosts and groups in your shell')
    .addArgument(new Argument('<shell>', 'your shell').choices(Object.keys(shells)))
    .addHelpText('after', `\n${advice}`)
    .action((shell: string) => {
      invocation.terminal.out(shells[shell]?.(commandTable(program)) ?? '');
    });
  program
    .command('complete', { hidden: true })
    .addArgument(new Argument('<what>').choices(['hosts', 'groups']))
    .action((what: string, _options: unknown, command: Command) =>
      // Names are no secret of the vault: nobody is asked for a passphrase while typing.
      withCore(invocation, command.optsWithGlobals<GlobalOptions>(), async ({ handlers, terminal, signal }) => {
        const named = what === 'hosts' ? await handlers['hosts.list']({}, signal) : await handlers['groups.list']({}, signal);
        for (const { name } of named) if (!/\p{Cc}/u.test(name)) terminal.out(name);
      }),
    );
};

const advice = [
  'bash        nest completion bash > ~/.local/share/bash-completion/completions/nest',
  'zsh         nest completion zsh > a file _nest in a folder of $fpath',
  'fish        nest completion fish > ~/.config/fish/completions/nest.fish',
  'powershell  nest completion powershell | Out-String | Invoke-Expression   (in $PROFILE)',
].join('\n');
