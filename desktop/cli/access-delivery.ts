/** What every change of access ends with: the bundle goes to the hosts, and the person hears which have it. */
import type { Command } from 'commander';
import type { AccessChange, AccessHostState } from '../bridge/model.ts';
import { settledRows } from './command-context.ts';
import type { CommandContext } from './command-context.ts';
import { clean } from './output.ts';

/** Runs work in the unlocked fleet with the options of a command. */
export type RunInFleet = (command: Command, work: (context: CommandContext) => Promise<void>) => Promise<void>;

/** Connected hosts have so long to say which bundle they hold, milliseconds; who is late is heard in the background. */
const exchangeMs = 3_000;

/** Takes what hosts have and this console has not, before a command looks at the bundle or changes it. */
export const exchangeBundles = async (context: CommandContext): Promise<void> => {
  const { handlers, clock, signal } = context;
  await settledRows(context);
  const done = new AbortController();
  try {
    await Promise.race([handlers['access.push']({}, signal), clock.sleep(exchangeMs, AbortSignal.any([signal, done.signal]))]);
  } finally {
    done.abort();
  }
};

/** What a change did here, and at every host. */
export const applyChange = async (context: CommandContext, change: AccessChange, done: string): Promise<void> => {
  // A change on top of a bundle that another owner has changed meanwhile would be a fork.
  await exchangeBundles(context);
  const { view, clientKey } = await context.handlers['access.change']({ change }, context.signal);
  await deliver(context, { proposal: view.proposal, clientKey, done });
};

interface Delivery {
  readonly proposal: string | null;
  readonly clientKey?: string | null;
  readonly done: string;
}

/** Hands the bundle to every host that answers, and says which do not have it. */
export const deliver = async (context: CommandContext, { proposal, clientKey = null, done }: Delivery): Promise<void> => {
  await settledRows(context);
  const view = await context.handlers['access.push']({}, context.signal);
  const rest = [...(clientKey === null ? [] : [`Key (shown once)  ${clientKey}`]), showDelivery(view.hosts)];
  // A proposal stands alone on standard output: it is written to a file and given away as it is.
  if (proposal !== null && !context.isJson)
    context.terminal.note(
      ['Signed by you. Other owners must sign it too: give them this text for "nest access cosign".', ...rest].join('\n'),
    );
  context.print({ ...(clientKey === null ? {} : { clientKey }), proposal, view }, () => proposal ?? [done, ...rest].join('\n'));
};

const showDelivery = (hosts: readonly AccessHostState[]): string => {
  const behind = hosts.filter(({ state }) => state !== 'current');
  if (hosts.length === 0) return 'There are no hosts yet.';
  if (behind.length === 0) return hosts.length === 1 ? 'The host has it.' : `All ${String(hosts.length)} hosts have it.`;
  return `${String(hosts.length - behind.length)} of ${String(hosts.length)} hosts have it; not yet: ${behind.map(({ name, state }) => `${clean(name)} (${state})`).join(', ')}.`;
};
