/** Groups, as the bridge asks for them. They work locked, too: only a dry run asks hosts. */
import { NestError } from '../../../proto/model/error.ts';
import type { BridgeHandlers } from '../../bridge/contract.ts';
import type { HandlerContext } from '../handler-context.ts';
import { GroupBook } from './group-book.ts';
import { groupPlanOf } from './group-plan.ts';

type Handled = Extract<keyof BridgeHandlers, `groups.${string}`>;

export const groupHandlers = ({ cache, roster, clock, keeper, planner }: HandlerContext): Pick<BridgeHandlers, Handled> => {
  const book = new GroupBook({ cache, roster, clock });
  return {
    'groups.list': async () => Promise.resolve(book.list()),
    'groups.put': async (input) => Promise.resolve(book.put(input)),
    'groups.remove': async ({ name }) => {
      book.remove(name);
      return Promise.resolve(null);
    },
    'groups.plan': async ({ name, policy }, signal) => {
      const { hostIds } = book.get(name);
      if (hostIds.length === 0) throw new NestError('HOST_UNKNOWN', `The group ${name} has no hosts now. Look at its rule.`);
      await keeper.session();
      return groupPlanOf(name, await planner.plan(policy, hostIds, signal));
    },
  };
};
