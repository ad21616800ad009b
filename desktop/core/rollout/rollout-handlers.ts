/** Staged rollouts and intents, as the bridge asks for them. */
import { intentsAct } from '../../../proto/model/act.ts';
import { statementTexts } from '../../../proto/model/step-up.ts';
import type { BridgeHandlers } from '../../bridge/contract.ts';
import type { HandlerContext } from '../handler-context.ts';

type Handled = Extract<keyof BridgeHandlers, `rollouts.${string}` | `intents.${string}`>;

export const stagedHandlers = ({ keeper, planner }: HandlerContext): Pick<BridgeHandlers, Handled> => ({
  'rollouts.plan': async (request, signal) => (await keeper.session()).staged.plan(request, planner, signal),
  'rollouts.start': async ({ planId }) => (await keeper.session()).staged.begin(planId),
  'rollouts.list': async (_input, signal) => (await keeper.session()).staged.list(signal),
  'rollouts.watch': async function* ({ rolloutId }, signal) {
    yield* (await keeper.session()).staged.watch(rolloutId, signal);
  },
  'rollouts.pause': async ({ rolloutId }, signal) => (await keeper.session()).staged.command(rolloutId, 'pause', signal),
  'rollouts.resume': async ({ rolloutId }, signal) => (await keeper.session()).staged.command(rolloutId, 'resume', signal),
  'rollouts.abort': async ({ rolloutId }, signal) => (await keeper.session()).staged.command(rolloutId, 'abort', signal),
  'rollouts.takeOver': async ({ rolloutId }, signal) => {
    const { staged } = await keeper.session();
    return staged.shownOf(await staged.takeOver(rolloutId, signal));
  },
  'intents.list': async () => (await keeper.session()).intents.list(),
  'intents.leave': async ({ hostIds, policy, comment, lifeSeconds }) => {
    const { intents, mfa, keys } = await keeper.session();
    const act = intentsAct({ fleetId: keys.fleetId, policy, hostIds });
    const approval = mfa.approvalOf(act);
    const proven = approval === null ? {} : { stepUp: { act: act.text, statements: statementTexts(approval) } };
    const life = lifeSeconds === undefined ? {} : { lifeMs: lifeSeconds * 1000 };
    return hostIds.map((hostId) => intents.leave({ hostId, policy, comment: comment ?? '', ...life, ...proven }));
  },
  'intents.cancel': async ({ intentId }) => (await keeper.session()).intents.cancel(intentId),
});
