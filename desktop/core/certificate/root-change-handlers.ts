/** The change of the fleet's root, as the bridge asks for it. */
import { NestError } from '../../../proto/model/error.ts';
import type { BridgeHandlers } from '../../bridge/contract.ts';
import type { RootChangeView } from '../../bridge/root-change-model.ts';
import { refreshFleetKeys } from '../authority/fleet-authority.ts';
import { beginRootChange, stepRootChange } from '../authority/root-change.ts';
import type { RootStepContext } from '../authority/root-change.ts';
import type { FleetSession } from '../fleet/fleet-session.ts';
import type { HandlerContext } from '../handler-context.ts';
import { rootChangeViewOf } from './root-change-view.ts';
import type { SignedOrder } from './root-change-view.ts';

type Handled = Extract<keyof BridgeHandlers, `root-change.${string}`>;

export const rootChangeHandlers = (context: HandlerContext): Pick<BridgeHandlers, Handled> => {
  const { keeper } = context;
  const view = async (): Promise<RootChangeView> => viewOf(context, await keeper.session());
  return {
    'root-change.get': async (_input, signal) => {
      await (await keeper.session()).certificates.learn(signal);
      return view();
    },
    'root-change.start': async (_input, signal) => {
      const stepping = contextOf(context, await keeper.session());
      await keeper.update((keys) => beginRootChange(keys, stepping), signal);
      await (await keeper.session()).certificates.settle(signal);
      return view();
    },
    'root-change.advance': async ({ leaveBehind }, signal) => {
      await step(context, 'forward', { leaveBehind: leaveBehind ?? false, signal });
      return view();
    },
    'root-change.rollback': async ({ leaveBehind }, signal) => {
      await step(context, 'back', { leaveBehind: leaveBehind ?? false, signal });
      return view();
    },
  };
};

const viewOf = ({ roster, clock }: HandlerContext, session: FleetSession): RootChangeView =>
  rootChangeViewOf({ keys: session.keys, hosts: roster.all, orders: ordersOf(session), now: clock.now() });

const ordersOf = ({ intents, staged }: FleetSession): readonly SignedOrder[] => [
  ...intents.waiting().map(({ row: { hostId, hostName }, envelope }) => ({
    kind: 'intent' as const,
    name: `for ${hostName}`,
    hostId,
    envelope,
  })),
  ...staged.open().map(({ plan, envelope }) => ({ kind: 'rollout' as const, name: plan.name, hostId: null, envelope })),
];

const contextOf = ({ clock, random }: HandlerContext, { access }: FleetSession): RootStepContext => ({
  now: clock.now(),
  random,
  accessBeginning: access.book.chain.updates[0]?.hash ?? '',
});

const step = async (
  context: HandlerContext,
  direction: 'forward' | 'back',
  { leaveBehind, signal }: { readonly leaveBehind: boolean; readonly signal: AbortSignal },
): Promise<void> => {
  const { keeper } = context;
  const session = await keeper.session();
  if (!leaveBehind) refuseWhileHeld(viewOf(context, session), direction);
  const stepping = contextOf(context, session);
  await keeper.update(async (keys) => refreshFleetKeys(await stepRootChange(keys, direction, stepping), stepping), signal);
  await (await keeper.session()).certificates.settle(signal);
};

/** The steps after which a root is not believed any more wait for what hangs on it. */
const refuseWhileHeld = (view: RootChangeView, direction: 'forward' | 'back'): void => {
  const [target, holds] = direction === 'forward' ? [view.next, view.holds] : [view.back, view.backHolds];
  const isLast = target === 'dropped' || (direction === 'back' && target === 'announced');
  if (!isLast || holds.length === 0) return;
  const names = holds.slice(0, namesMax).map(({ kind, name }) => (kind === 'host' || kind === 'device' ? name : `${kind} ${name}`));
  const more = holds.length > names.length ? ` and ${String(holds.length - names.length)} more` : '';
  throw new NestError(
    'ROOT_CHANGE_HELD',
    `${String(holds.length)} still hang on the root that would go: ${names.join(', ')}${more}. Look at "nest fleet rotate-root status", or leave them behind.`,
    { details: { holds } },
  );
};

const namesMax = 5;
