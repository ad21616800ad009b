/** nest break-glass seal | grant | cosign | use | ls */
import type { Command } from 'commander';
import type { GrantText, GrantUse } from '../bridge/model.ts';
import { readText, ReportedError, settledRows, withCore, withFleet } from './command-context.ts';
import type { CommandContext, GlobalOptions, Invocation } from './command-context.ts';
import { writeNewFile } from './new-file.ts';
import { clean, formatTable, formatTime } from './output.ts';
import { readNewSecret, readSecret } from './secret.ts';
import type { SecretSource } from './secret.ts';
import { UsageError } from './usage-error.ts';

interface SealOptions extends GlobalOptions {
  readonly sealPassphraseFile?: string;
}

interface GrantOptions extends SealOptions {
  readonly host?: string;
  readonly cluster?: string;
  readonly for?: string;
  readonly device?: string;
  readonly hours: string;
  readonly reason: string;
  readonly out?: string;
}

export const addBreakGlassCommands = (program: Command, invocation: Invocation): void => {
  const group = program
    .command('break-glass')
    .description('for the day nothing else works: an owner key from the safe lets one person do everything on one host for an hour');
  const withPassphrase = (command: Command): Command =>
    command.option('--seal-passphrase-file <file>', 'file with the passphrase of the sealed key; not the one of the fleet');
  withPassphrase(group.command('seal <file>'))
    .description("write this console's owner key to a file under a passphrase of its own, for a safe")
    .action((path: string, _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<SealOptions>();
      return withFleet(invocation, options, async (context) => {
        const passphrase = await newSealPassphrase(context, options);
        // Other owners may have made clusters since: the file should know them.
        await settledRows(context);
        await context.handlers['access.push']({}, context.signal);
        const { file } = await context.handlers['breakGlass.seal']({ passphrase }, context.signal);
        await writeNewFile(path, file);
        context.print({ file: path }, () => `The sealed key is in ${path}. Keep it in a safe, and its passphrase elsewhere.`);
      });
    });
  withPassphrase(group.command('grant <sealed>'))
    .description('make a grant from a sealed key; needs neither fleet nor network')
    .option('--host <host>', 'name or id of the host it is for')
    .option('--cluster <id>', 'or the cluster')
    .option('--for <operator>', 'who may use it: "operator/<name>" or its name')
    .option('--device <hash>', 'or which device: SHA-256 of its key in hex')
    .option('--hours <number>', 'how long it holds, at most 1', '1')
    .requiredOption('--reason <text>', 'shown on every console while it is in use')
    .option('--out <file>', 'write it there instead of printing it')
    .action((sealed: string, _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<GrantOptions>();
      return withCore(invocation, options, (context) => grant(context, sealed, options));
    });
  withPassphrase(group.command('cosign <sealed> <grant>'))
    .description('add the signature of another sealed key, when several owners must sign')
    .option('--out <file>', 'write it there instead of printing it')
    .action((sealed: string, text: string, ...[, command]: [unknown, Command]) => {
      const options = command.optsWithGlobals<GrantOptions>();
      return withCore(invocation, options, async (context) => {
        const file = await readText(context, sealed);
        const input = { file, passphrase: await sealPassphrase(context, options), grant: (await readText(context, text)).trim() };
        await give(context, await context.handlers['breakGlass.cosign'](input, context.signal), options.out);
      });
    });
  addUse(group, invocation);
};

const addUse = (group: Command, invocation: Invocation): void => {
  group
    .command('use <grant>')
    .description('show a grant to the hosts it is for; from then on you may do everything there until it ends. "-" is standard input')
    .action((path: string, _options: unknown, command: Command) =>
      withFleet(invocation, command.optsWithGlobals<GlobalOptions>(), async (context) => {
        const uses = await context.handlers['breakGlass.use']({ grant: (await readText(context, path)).trim() }, context.signal);
        context.print(uses, showUses);
        if (uses.every(({ problem }) => problem !== null)) throw new ReportedError();
      }),
    );
  group
    .command('ls')
    .description('grants in use, as the hosts say')
    .action((_options: unknown, command: Command) =>
      withFleet(invocation, command.optsWithGlobals<GlobalOptions>(), async (context) => {
        await settledRows(context);
        context.print(await context.handlers['breakGlass.list']({}, context.signal), (rows) =>
          rows.length === 0
            ? 'Nobody works under a grant.'
            : formatTable(rows, [
                { title: 'HOST', value: ({ hostName }) => hostName },
                { title: 'OPERATOR', value: ({ operator }) => operator },
                { title: 'SINCE', value: ({ since }) => formatTime(since) },
                { title: 'UNTIL', value: ({ until }) => formatTime(until) },
                { title: 'REASON', value: ({ reason }) => reason },
              ]),
        );
      }),
    );
};

const grant = async (context: CommandContext, sealed: string, options: GrantOptions): Promise<void> => {
  const hours = Number(options.hours);
  if (!(hours > 0 && hours <= 1)) throw new UsageError('--hours is more than 0 and at most 1, for instance 0.5.');
  if ((options.for === undefined) === (options.device === undefined))
    throw new UsageError('Say who may use it with --for <operator>, or which device with --device <hash>.');
  if ((options.host === undefined) === (options.cluster === undefined))
    throw new UsageError('Say where it holds with --host <host> or --cluster <id>.');
  const named = options.for ?? '';
  const holder = options.device === undefined ? `operator/${named.replace(/^operator\//, '')}` : `device/${options.device}`;
  const input = {
    file: await readText(context, sealed),
    passphrase: await sealPassphrase(context, options),
    holder,
    host: options.host,
    cluster: options.cluster,
    minutes: Math.max(1, Math.round(hours * 60)),
    reason: options.reason,
  };
  await give(context, await context.handlers['breakGlass.grant'](input, context.signal), options.out);
};

const give = async (context: CommandContext, made: GrantText, out: string | undefined): Promise<void> => {
  if (out !== undefined) await writeNewFile(out, `${made.grant}\n`);
  const { holder, level, until } = made;
  context.terminal.note(`For ${clean(holder)} at ${clean(level)}, until ${formatTime(until)}. Use it with "nest break-glass use <file>".`);
  context.print(made, ({ grant: text }) => (out === undefined ? text : `The grant is in ${out}.`));
};

const showUses = (uses: readonly GrantUse[]): string =>
  formatTable(uses, [
    { title: 'HOST', value: ({ hostName }) => hostName },
    { title: 'UNTIL', value: ({ until }) => formatTime(until) },
    { title: 'PROBLEM', value: ({ problem }) => (problem === null ? null : `${problem.code}: ${problem.message}`) },
  ]);

const sealSecret = (options: SealOptions, question: string): SecretSource => ({
  path: options.sealPassphraseFile,
  missing: 'The sealed key has a passphrase: give --seal-passphrase-file, or run this in a terminal.',
  question,
});

const sealPassphrase = (context: CommandContext, options: SealOptions): Promise<string> =>
  readSecret(context, sealSecret(options, 'Passphrase of the sealed key: '));

const newSealPassphrase = (context: CommandContext, options: SealOptions): Promise<string> =>
  readNewSecret(context, sealSecret(options, 'New passphrase for the sealed key (10 characters or more): '));
