/** nest license status | set | remove | check | import */
import type { Command } from 'commander';
import type { LicenseCheck, LicenseCount, LicenseView } from '../bridge/model.ts';
import { ReportedError, readText, withFleet } from './command-context.ts';
import type { CommandContext, GlobalOptions, Invocation } from './command-context.ts';
import { clean, formatAge, formatTime } from './output.ts';
import { readSecret } from './secret.ts';

interface SetOptions extends GlobalOptions {
  readonly keyFile?: string;
}

interface CheckOptions extends GlobalOptions {
  readonly feature?: string;
}

export const addLicenseCommands = (program: Command, invocation: Invocation): void => {
  const license = program.command('license').description('the licence of this console: what it covers, its key, entitlement files');
  const within =
    <Options extends GlobalOptions>(work: (context: CommandContext, options: Options) => Promise<void>) =>
    (command: Command): Promise<void> => {
      const options = command.optsWithGlobals<Options>();
      return withFleet(invocation, options, (context) => work(context, options));
    };
  license
    .command('status')
    .description('what is covered now, as it was learnt last; asks nobody')
    .action((_options: unknown, command: Command) =>
      within(async (context) => context.print(await context.handlers['license.get']({}, context.signal), showLicense))(command),
    );
  license
    .command('set')
    .description('keep a licence key in the vault, unless the licence server refuses it')
    .option('--key-file <file>', 'file with the key; asked for without it')
    .action((_options: unknown, command: Command) => within(setKey)(command));
  license
    .command('remove')
    .description('take the licence key out of the vault; what runs goes on')
    .action((_options: unknown, command: Command) =>
      within(async (context) => context.print(await context.handlers['license.remove']({}, context.signal), showLicense))(command),
    );
  license
    .command('check')
    .description('ask the licence server now; exit code 1 when it refuses or does not answer')
    .option('--feature <name>', 'ask about one feature, too; exit code 1 when it is not entitled')
    .action((_options: unknown, command: Command) => within<CheckOptions>(check)(command));
  license
    .command('import <file>')
    .description('take an entitlement file, for networks without a way to the licence server; "-" reads standard input')
    .action((path: string, _options: unknown, command: Command) =>
      within(async (context) => {
        const file = await readText(context, path);
        context.print(await context.handlers['license.import']({ file }, context.signal), showLicense);
      })(command),
    );
};

const setKey = async (context: CommandContext, options: SetOptions): Promise<void> => {
  const key = await readSecret(context, {
    path: options.keyFile,
    missing: 'Give --key-file with the licence key, or run this in a terminal.',
    question: 'Licence key: ',
    noun: 'licence key',
  });
  const view = await context.handlers['license.set']({ key }, context.signal);
  if (view.checkedAt === null)
    context.terminal.note(
      'The licence server did not answer: the key is kept and will be checked by a console that stays open, or by "nest license check".',
    );
  context.print(view, showLicense);
};

const check = async (context: CommandContext, { feature }: CheckOptions): Promise<void> => {
  const answer = await context.handlers['license.check'](feature === undefined ? {} : { feature }, context.signal);
  context.print(answer, showCheck);
  if (answer.feature?.isEntitled === false) throw new ReportedError('the feature is not entitled');
};

const showCheck = ({ license, feature }: LicenseCheck): string =>
  [
    showLicense(license),
    ...(feature === null ? [] : [`Asked        ${clean(feature.name)}: ${feature.isEntitled ? 'entitled' : 'not entitled'}`]),
  ].join('\n');

const states: Readonly<Record<LicenseView['state'], string>> = {
  development: 'development: nothing is gated (RELEASE_MODE is not set)',
  community: 'Community: no licence',
  unchecked: 'not checked yet: as Community',
  valid: 'valid',
  grace: 'valid; the licence server is away',
  limited: 'what is set up goes on; new things as Community',
  lapsed: 'not checked for two weeks: as Community',
  expired: 'ended: as Community',
  invalid: 'refused by the licence server: as Community',
};

const showLicense = (view: LicenseView): string =>
  [
    `State        ${states[view.state]}`,
    `Licence      ${view.tier ?? '-'}${view.customer === null ? '' : ` for ${clean(view.customer)}`}, ends ${formatTime(view.endsAt)}`,
    `Key          ${view.key === null ? '-' : `ends in ${view.key.ending} (${view.key.origin})`}`,
    `File         ${view.file === null ? '-' : `${clean(view.file.customer)}, ends ${formatTime(view.file.endsAt)}`}`,
    `Hosts        ${countText(view.hosts)}`,
    `Clusters     ${countText(view.clusters)}`,
    `Features     ${view.features.map(({ name, isOn }) => `${name} ${isOn ? 'on' : 'off'}`).join(', ')}`,
    `Checked      ${formatAge(view.checkedAt, view.at)}${view.until === null ? '' : `, good until ${formatTime(view.until)}`}`,
    ...(view.problem === null ? [] : [`Last call    ${clean(view.problem.message)}`]),
    ...(view.notice === null ? [] : [`Notice       ${clean(view.notice.message)}`]),
  ].join('\n');

const countText = ({ used, max }: LicenseCount): string => `${String(used)} of ${max === null ? 'any number' : String(max)}`;
