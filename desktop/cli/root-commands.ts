/** nest fleet root export | remove | restore */
import type { Command } from 'commander';
import type { RootState } from '../bridge/model.ts';
import { spkiFingerprint } from '../core/api.ts';
import { readText, withFleet } from './command-context.ts';
import type { CommandContext, GlobalOptions, Invocation } from './command-context.ts';
import { writeNewFile } from './new-file.ts';
import { formatTime } from './output.ts';
import { readNewSecret, readSecret } from './secret.ts';
import type { SecretSource } from './secret.ts';

interface RootOptions extends GlobalOptions {
  readonly rootPassphraseFile?: string;
}

/** Below "nest fleet". */
export const addRootCommands = (fleet: Command, invocation: Invocation): void => {
  const root = fleet.command('root').description('the key of the fleet root: keep it in a safe, not on a desk');
  const withPassphrase = (command: Command): Command =>
    command.option('--root-passphrase-file <file>', 'file with the passphrase of the root file; not the one of the fleet');
  withPassphrase(root.command('export <file>'))
    .description('write the root to a file under a passphrase of its own')
    .action((path: string, _options: unknown, command: Command) =>
      run(command, invocation, async (context, options) => {
        const passphrase = await newRootPassphrase(context, options);
        const { file } = await context.handlers['certificate.root.export']({ passphrase }, context.signal);
        await writeNewFile(path, file);
        context.print({ file: path }, () => `The root is in ${path}. Copy it to a safe place, then "nest fleet root remove ${path}".`);
      }),
    );
  withPassphrase(root.command('remove <file>'))
    .description('take the key of the root from this console; the file must open')
    .action((path: string, _options: unknown, command: Command) =>
      run(command, invocation, async (context, options) => {
        const input = { file: await readText(context, path), passphrase: await rootPassphrase(context, options) };
        context.print(await context.handlers['certificate.root.remove'](input, context.signal), showRoot);
      }),
    );
  withPassphrase(root.command('restore <file>'))
    .description('bring the key of the root back, to make or renew an authority')
    .action((path: string, _options: unknown, command: Command) =>
      run(command, invocation, async (context, options) => {
        const input = { file: await readText(context, path), passphrase: await rootPassphrase(context, options) };
        context.print(await context.handlers['certificate.root.restore'](input, context.signal), showRoot);
      }),
    );
};

const run = (
  command: Command,
  invocation: Invocation,
  work: (context: CommandContext, options: RootOptions) => Promise<void>,
): Promise<void> => {
  const options = command.optsWithGlobals<RootOptions>();
  return withFleet(invocation, options, (context) => work(context, options));
};

const rootSecret = (options: RootOptions, question: string): SecretSource => ({
  path: options.rootPassphraseFile,
  missing: 'The root file has a passphrase: give --root-passphrase-file, or run this in a terminal.',
  question,
});

const rootPassphrase = (context: CommandContext, options: RootOptions): Promise<string> =>
  readSecret(context, rootSecret(options, 'Passphrase of the root file: '));

const newRootPassphrase = (context: CommandContext, options: RootOptions): Promise<string> =>
  readNewSecret(context, rootSecret(options, 'New passphrase for the root file (10 characters or more): '));

const showRoot = ({ isHere, fingerprint, endsAt }: RootState): string =>
  [
    `Root         ${spkiFingerprint(fingerprint)}`,
    `Key          ${isHere ? 'on this console' : 'not on this console'}`,
    `Ends         ${formatTime(endsAt)}`,
  ].join('\n');
