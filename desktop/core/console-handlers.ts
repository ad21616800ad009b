/** The console itself, its settings and its fleet, as the bridge asks for them. */
import type { BridgeHandlers } from '../bridge/contract.ts';
import type { ConsoleState, Settings } from '../bridge/model.ts';
import type { HandlerContext } from './handler-context.ts';

type Handled = Extract<keyof BridgeHandlers, `console.${string}` | `settings.${string}` | `fleet.${string}`>;

export const consoleHandlers = ({ keeper, roster, settings }: HandlerContext): Pick<BridgeHandlers, Handled> => ({
  'console.state': () => keeper.state(),
  'console.watch': async function* (_input, signal) {
    let last = '';
    const stop = new AbortController();
    const ended = AbortSignal.any([signal, stop.signal]);
    const changes = [keeper.changes.follow(ended), roster.size.follow(ended)].map((source) => source[Symbol.asyncIterator]());
    try {
      const waits = changes.map((source) => source.next());
      while (!signal.aborted) {
        const state: ConsoleState = await keeper.state();
        const text = JSON.stringify(state);
        if (text !== last) yield state;
        last = text;
        const { index, done } = await Promise.race(waits.map(async (wait, at) => ({ index: at, done: (await wait).done })));
        const source = changes[index];
        if (done === true || source === undefined) return;
        waits[index] = source.next();
      }
    } finally {
      stop.abort();
    }
  },
  'settings.get': () => Promise.resolve(settings.get()),
  'settings.put': (input) => {
    const changes = Object.fromEntries(Object.entries(input).filter(([, value]) => value !== undefined)) as Partial<Settings>;
    return Promise.resolve(settings.put(changes));
  },
  'fleet.create': (input, signal) => keeper.create({ ...input, passphrase: input.passphrase }, signal),
  'fleet.unlock': ({ passphrase }, signal) => keeper.unlock(passphrase, signal),
  'fleet.lock': (_input, signal) => keeper.lock(signal),
});
