/** nest fleet init | unlock-check | show | certificates ... | request-access | admit | join | root ... | rotate-root ... */
import type { Command } from 'commander';
import { userInfo } from 'node:os';
import type { ConsoleState } from '../bridge/model.ts';
import { addCertificateCommands } from './certificate-commands.ts';
import { newPassphrase, withCore, withFleet } from './command-context.ts';
import type { GlobalOptions, Invocation } from './command-context.ts';
import { addDeviceCommands } from './device-commands.ts';
import { formatTime } from './output.ts';
import { addRootChangeCommands } from './root-change-commands.ts';
import { addRootCommands } from './root-commands.ts';

export const addFleetCommands = (program: Command, invocation: Invocation): void => {
  const fleet = program.command('fleet').description('the fleet and its keys');
  fleet
    .command('init <name>')
    .description('create a fleet: its root key and this operator')
    .option('--operator <name>', 'name in the operator certificate', userInfo().username)
    .option('--keychain', 'keep the keys in the keychain of this system instead of under a passphrase')
    .action((fleetName: string, _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions & { readonly operator: string; readonly keychain?: true }>();
      return withCore(invocation, options, async (context) => {
        const { handlers, signal } = context;
        const passphrase = options.keychain === true ? undefined : await newPassphrase(context);
        const storage = options.keychain === true ? 'keychain' : 'passphrase';
        const state = await handlers['fleet.create'](
          { fleetName, operatorName: options.operator, storage, ...(passphrase === undefined ? {} : { passphrase }) },
          signal,
        );
        context.print(state, showState);
      });
    });
  fleet
    .command('unlock-check')
    .description('check that the keys can be opened, and renew the operator certificate when due')
    .action((_options: unknown, command: Command) =>
      withFleet(invocation, command.optsWithGlobals<GlobalOptions>(), async (context) => {
        context.print(await context.handlers['console.state']({}, context.signal), showState);
      }),
    );
  fleet
    .command('show')
    .description('what is known without opening the keys')
    .action((_options: unknown, command: Command) =>
      withCore(invocation, command.optsWithGlobals<GlobalOptions>(), async (context) => {
        context.print(await context.handlers['console.state']({}, context.signal), showState);
      }),
    );
  addCertificateCommands(fleet, invocation);
  addDeviceCommands(fleet, invocation);
  addRootCommands(fleet, invocation);
  addRootChangeCommands(fleet, invocation);
};

const showState = (state: ConsoleState): string =>
  [
    `Fleet        ${state.fleetName ?? 'none yet; create one with "nest fleet init"'}`,
    `Id           ${state.fleetId ?? '-'}`,
    `Operator     ${state.operatorName ?? '-'}, certificate until ${formatTime(state.operatorCertificateEndsAt)}`,
    `Keys         ${state.storage ?? '-'}, ${state.phase}`,
    `Keychain     ${state.keychain.reason}`,
    `Hosts        ${String(state.hostCount)}`,
  ].join('\n');
