/** The console itself, its settings and its fleet, as the bridge asks for them. */
import type { BridgeHandlers } from '../bridge/contract.ts';
import type { ConsoleState, Settings } from '../bridge/model.ts';
import { followAny } from '../lib/api.ts';
import type { HandlerContext } from './handler-context.ts';

type Handled = Extract<keyof BridgeHandlers, `console.${string}` | `settings.${string}` | `fleet.${string}`>;

export const consoleHandlers = ({ keeper, roster, settings }: HandlerContext): Pick<BridgeHandlers, Handled> => ({
  'console.state': () => keeper.state(),
  'console.watch': async function* (_input, signal) {
    let last = '';
    for await (const _change of followAny([keeper.changes, roster.size], signal)) {
      const state: ConsoleState = await keeper.state();
      const text = JSON.stringify(state);
      if (text !== last) yield state;
      last = text;
    }
  },
  'settings.get': () => Promise.resolve(settings.get()),
  'settings.put': (input) => {
    const changes = Object.fromEntries(Object.entries(input).filter(([, value]) => value !== undefined)) as Partial<Settings>;
    return Promise.resolve(settings.put(changes));
  },
  'fleet.create': (input, signal) => keeper.create({ ...input, passphrase: input.passphrase }, signal),
  'fleet.unlock': ({ passphrase, withoutSignIn }, signal) => keeper.unlock(passphrase, signal, withoutSignIn),
  'fleet.lock': (_input, signal) => keeper.lock(signal),
});
