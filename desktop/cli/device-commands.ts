/** nest fleet request-access | admit | join */
import type { Command } from 'commander';
import { userInfo } from 'node:os';
import { NestError } from '../../proto/model/error.ts';
import type { ConsoleState, DeviceFileContent } from '../bridge/model.ts';
import { spkiFingerprint } from '../core/api.ts';
import { askYes, newPassphrase, readPassphrase, readText, unlock, withCore, withFleet } from './command-context.ts';
import type { CommandContext, GlobalOptions, Invocation } from './command-context.ts';
import { clean } from './output.ts';
import { UsageError } from './usage-error.ts';

interface AdmitOptions extends GlobalOptions {
  readonly fingerprint?: string;
  readonly rootSha256?: string;
  readonly yes?: true;
  readonly share: string;
}

interface JoinOptions extends GlobalOptions {
  readonly root?: string;
  readonly rootSha256?: string;
  readonly keychain?: true;
}

/** Below "nest fleet". */
export const addDeviceCommands = (fleet: Command, invocation: Invocation): void => {
  fleet
    .command('request-access')
    .description('write a request by which this device may join a fleet, or renew its certificate in one')
    .option('--operator <name>', 'whose device this is', userInfo().username)
    .action((_options: unknown, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions & { readonly operator: string }>();
      return withCore(invocation, options, (context) => requestAccess(context, options.operator));
    });
  fleet
    .command('admit <request>')
    .description('make a grant for a request, once its fingerprint is compared; "-" reads standard input')
    .option('--fingerprint <hex>', 'admit only this key, as the other device printed it')
    .option('--root-sha256 <hex>', 'only when the root of the fleet in this data folder is this one')
    .option('--yes', 'admit the key in the request without comparing: only for a request that came by a way you trust')
    .option(
      '--share <keys>',
      'which authorities the device may use: none, agents (add and renew hosts), all (admit operators, too)',
      'none',
    )
    .action((path: string, _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<AdmitOptions>();
      return withFleet(invocation, options, (context) => admit(context, path, options));
    });
  fleet
    .command('join <grant>')
    .description('take a grant on the device that asked for it')
    .option('--root-sha256 <hex>', 'join only the fleet with this root, as the admitting console printed it')
    .option('--root <hex>', 'the same, as it was called before')
    .option('--keychain', 'keep the keys in the keychain of this system')
    .action((path: string, _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<JoinOptions>();
      return withCore(invocation, options, (context) => join(context, path, options));
    });
};

const requestAccess = async (context: CommandContext, operatorName: string): Promise<void> => {
  const { handlers, signal, terminal } = context;
  const { phase } = await handlers['console.state']({}, signal);
  if (phase !== 'empty') await unlock(context);
  const passphrase = phase === 'empty' ? await newPassphrase(context) : undefined;
  const made = await handlers['device.request']({ operatorName, ...(passphrase === undefined ? {} : { passphrase }) }, signal);
  terminal.note(
    `Key of this device:\n\n  ${spkiFingerprint(made.fingerprint)}\n\nGive the file to an owner of the fleet, and say this by another way.`,
  );
  context.print(made, ({ file }) => file.trimEnd());
};

const admit = async (context: CommandContext, path: string, options: AdmitOptions): Promise<void> => {
  const { handlers, signal, terminal } = context;
  const { share } = options;
  if (share !== 'none' && share !== 'agents' && share !== 'all') throw new UsageError('--share is none, agents or all.');
  const file = await readText(context, path);
  const content = await inspected(context, file, 'request');
  const { root } = await handlers['certificate.list']({}, signal);
  if (options.rootSha256 !== undefined && hexOf(options.rootSha256, '--root-sha256') !== root.fingerprint)
    throw new NestError('FLEET_MISMATCH', 'The fleet in this data folder has another root: nobody was admitted. Check --data.');
  terminal.note(`${clean(content.operatorName)} asks with the key\n\n  ${spkiFingerprint(content.fingerprint)}\n`);
  const given = options.fingerprint ?? (options.yes === true ? content.fingerprint : undefined);
  const fingerprint = await approved(context, given, {
    shown: content.fingerprint,
    question: 'Does the other device print the same?',
    option: '--fingerprint',
  });
  const grant = await handlers['device.admit']({ file, fingerprint, share }, signal);
  terminal.note(`Root of this fleet, to be compared on the other device:\n\n  ${spkiFingerprint(root.fingerprint)}\n`);
  context.print(grant, (made) => made.file.trimEnd());
};

const join = async (context: CommandContext, path: string, options: JoinOptions): Promise<void> => {
  const { handlers, signal, terminal } = context;
  const file = await readText(context, path);
  const content = await inspected(context, file, 'grant');
  terminal.note(grantText(content));
  const rootFingerprint = await approved(context, options.rootSha256 ?? options.root, {
    shown: content.fleet?.rootFingerprint ?? '',
    question: 'Does the console that admitted you print the same root?',
    option: '--root-sha256',
  });
  const { phase } = await handlers['console.state']({}, signal);
  if (phase === 'locked') await unlock(context);
  const passphrase = await readPassphrase(context, 'Passphrase of the request: ');
  const storage = options.keychain === true ? 'keychain' : 'passphrase';
  const state = await handlers['device.join']({ file, rootFingerprint, storage, passphrase }, signal);
  context.print(state, joined);
};

/** What is in the file, when it is of that kind. */
const inspected = async (
  { handlers, signal }: CommandContext,
  file: string,
  kind: DeviceFileContent['kind'],
): Promise<DeviceFileContent> => {
  const content = await handlers['device.inspect']({ file }, signal);
  if (content.kind === kind) return content;
  throw new NestError(
    'INPUT_INVALID',
    kind === 'grant'
      ? 'This is a request, not a grant. An owner makes the grant from it: nest fleet admit.'
      : 'This is a grant, not a request. The device that asked for it takes it: nest fleet join.',
  );
};

const grantText = ({ fleet, operatorName }: DeviceFileContent): string =>
  fleet === null
    ? ''
    : `A grant for ${clean(operatorName)} in ${clean(fleet.fleetName)} with ${String(fleet.hosts)} hosts. Root of the fleet:\n\n  ${spkiFingerprint(fleet.rootFingerprint)}\n`;

const joined = ({ fleetName, operatorName, hostCount }: ConsoleState): string =>
  `${operatorName ?? ''} is in ${fleetName ?? ''} with ${String(hostCount)} hosts. "nest hosts ls" shows them.`;

/** What was approved: given as an option, or by a yes to what is shown. */
const approved = async (
  context: CommandContext,
  given: string | undefined,
  { shown, question, option }: { readonly shown: string; readonly question: string; readonly option: string },
): Promise<string> => {
  if (given === undefined) {
    if (await askYes(context, question, `${option} <hex>`)) return shown;
    throw new UsageError('Not approved: nothing was done.');
  }
  return hexOf(given, option);
};

/** Raises UsageError. */
const hexOf = (text: string, option: string): string => {
  const hex = text.replaceAll(/[\s:]/g, '').toLowerCase();
  if (!/^[0-9a-f]{64}$/.test(hex)) throw new UsageError(`${option} is 64 hex digits.`);
  return hex;
};
