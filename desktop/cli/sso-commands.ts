/** nest sso status | configure | remove | login | logout */
import type { Command } from 'commander';
import { NestError } from '../../proto/model/error.ts';
import type { SsoLogin, SsoView } from '../bridge/model.ts';
import { unlock, withCore, withFleet } from './command-context.ts';
import type { CommandContext, GlobalOptions, Invocation } from './command-context.ts';
import { clean, formatTime } from './output.ts';
import { UsageError } from './usage-error.ts';

interface ConfigureOptions extends GlobalOptions {
  readonly issuer?: string;
  readonly clientId?: string;
  readonly domain?: readonly string[];
  readonly required?: true;
  readonly optional?: true;
}

export const addSsoCommands = (program: Command, invocation: Invocation): void => {
  const sso = program.command('sso').description('single sign-on in front of this console (OpenID Connect, device flow)');
  sso
    .command('status')
    .description('what is configured and who is signed in; needs no passphrase with --locked')
    .option('--locked', 'do not open the keys: only what is no secret')
    .action((_options: unknown, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions & { readonly locked?: true }>();
      const show = async (context: CommandContext): Promise<void> =>
        context.print(await context.handlers['sso.get']({}, context.signal), showSso);
      return options.locked === true ? withCore(invocation, options, show) : withFleet(invocation, options, show);
    });
  sso
    .command('configure')
    .description('name the provider, or change what is named; --required only after a sign-in')
    .option('--issuer <url>', 'address of the provider, as it names itself')
    .option('--client-id <id>', 'public client with the device flow')
    .option('--domain <names...>', 'let in only addresses of these domains, verified by the provider')
    .option('--required', 'open the console only after a sign-in within 12 hours, and bind it to who is signed in now')
    .option('--optional', 'do not ask for a sign-in')
    .action((_options: unknown, command: Command) => {
      const options = command.optsWithGlobals<ConfigureOptions>();
      return withFleet(invocation, options, (context) => configure(context, options));
    });
  sso
    .command('remove')
    .description('forget the provider: the passphrase or keychain alone opens the console again')
    .action((_options: unknown, command: Command) =>
      withFleet(invocation, command.optsWithGlobals<GlobalOptions>(), async (context) =>
        context.print(await context.handlers['sso.remove']({}, context.signal), showSso),
      ),
    );
  sso
    .command('login')
    .description('sign in: prints an address and a code for any browser, and waits')
    .action((_options: unknown, command: Command) => withCore(invocation, command.optsWithGlobals<GlobalOptions>(), login));
  sso
    .command('logout')
    .description('forget the sign-in')
    .action((_options: unknown, command: Command) =>
      withCore(invocation, command.optsWithGlobals<GlobalOptions>(), async (context) =>
        context.print(await context.handlers['sso.logout']({}, context.signal), showSso),
      ),
    );
};

const configure = async (context: CommandContext, options: ConfigureOptions): Promise<void> => {
  const { handlers, signal } = context;
  if (options.required === true && options.optional === true) throw new UsageError('Say --required or --optional, not both.');
  const { settings } = await handlers['sso.get']({}, signal);
  const issuer = options.issuer ?? settings?.issuer;
  const clientId = options.clientId ?? settings?.clientId;
  if (issuer === undefined || clientId === undefined) throw new UsageError('Name the provider with --issuer <url> and --client-id <id>.');
  const isRequired = options.required ?? (options.optional === true ? false : (settings?.required ?? false));
  const domains = (options.domain ?? settings?.domains ?? []).map((domain) => domain.toLowerCase());
  context.print(await handlers['sso.configure']({ issuer, clientId, required: isRequired, domains: [...domains] }, signal), showSso);
};

/** Works on a locked console; the keys are opened afterwards, so that the sign-in is kept under them. */
const login = async (context: CommandContext): Promise<void> => {
  const { handlers, signal, terminal } = context;
  const begun = await handlers['sso.login']({}, signal);
  if (begun.login !== null) terminal.note(invite(begun.login));
  const ended = await loginEnd(context);
  if (ended.login?.state !== 'done')
    throw new NestError('SIGN_IN_FAILED', ended.login?.problem?.message ?? 'The sign-in was given up. Begin again.');
  await unlock(context);
  context.print(await handlers['sso.get']({}, signal), showSso);
};

const loginEnd = async ({ handlers, signal }: CommandContext): Promise<SsoView> => {
  for await (const view of handlers['sso.watch']({}, signal)) if (view.login?.state !== 'waiting') return view;
  throw new NestError('CANCELLED', 'The sign-in was given up.');
};

const invite = ({ verificationUri, verificationUriComplete, userCode, expiresAt }: SsoLogin): string =>
  [
    `Open ${clean(verificationUri)} in any browser and type the code`,
    '',
    `  ${clean(userCode)}`,
    '',
    ...(verificationUriComplete === null ? [] : [`or open ${clean(verificationUriComplete)}`]),
    `It is good until ${formatTime(expiresAt)}. Type it only if you asked for it yourself.`,
  ].join('\n');

const showSso = ({ settings, signIn, withoutSignIn, events, isLicensed }: SsoView): string =>
  [
    `Provider     ${settings === null ? '-' : `${clean(settings.issuer)}, client ${clean(settings.clientId)}`}`,
    `Compulsory   ${settings?.required === true ? 'yes' : 'no'}`,
    `Domains      ${settings === null || settings.domains.length === 0 ? 'any' : settings.domains.join(', ')}`,
    `Signed in    ${signIn === null ? '-' : `${clean(signIn.email ?? signIn.subject)}, until ${formatTime(signIn.until)}`}`,
    `Licence      ${isLicensed === null ? 'not known while locked' : isLicensed ? 'covers setting it up' : 'does not cover setting it up'}`,
    ...(withoutSignIn === null
      ? []
      : [`Notice       opened without a sign-in at ${formatTime(withoutSignIn.at)}: ${clean(withoutSignIn.reason)}`]),
    ...events.slice(0, 5).map(({ at, kind, detail }) => `${formatTime(at)}  ${kind} ${clean(detail)}`),
  ].join('\n');
