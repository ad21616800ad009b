/** Policies, plans, rollouts, the draft and traces, as the bridge asks for them. */
import { refuseDuplicateKeys } from '../../../proto/model/duplicate-keys.ts';
import { NestError } from '../../../proto/model/error.ts';
import { confirmWithinSeconds as confirmBounds } from '../../../proto/model/limits.ts';
import type { BridgeHandlers } from '../../bridge/contract.ts';
import type { Draft, PolicyImport, PolicyRevision, Rollout } from '../../bridge/model.ts';
import { isCancelled, ulidOf } from '../../lib/api.ts';
import type { FleetCache } from '../cache/fleet-cache.ts';
import type { HandlerContext } from '../handler-context.ts';
import { isAbsence } from '../hosts/live-or-kept.ts';
import { revisionOf } from '../hosts/wire-model.ts';
import { importMarchProxy } from '../import/api.ts';
import { tracePacket } from '../trace/tracer.ts';
import { checkPolicy } from './policy-check.ts';
import { returnToRevision } from './return-to-revision.ts';

const draftValue = 'draft';

type Handled = Extract<
  Exclude<keyof BridgeHandlers, 'policy.merge'>,
  `policy.${string}` | `draft.${string}` | `rollout.${string}` | `trace.${string}`
>;

export const policyHandlers = (context: HandlerContext): Pick<BridgeHandlers, Handled> => ({
  ...documentHandlers(context),
  ...changeHandlers(context),
});

const documentHandlers = (
  context: HandlerContext,
): Pick<
  BridgeHandlers,
  'policy.get' | 'policy.revisions' | 'policy.validate' | 'policy.import' | 'draft.get' | 'draft.put' | 'draft.drop' | 'trace.run'
> => {
  const { roster, cache, clock } = context;
  return {
    'policy.get': ({ hostId, revision }, signal) => getPolicy(context, { hostId, revision: revision ?? 0 }, signal),
    'policy.revisions': async ({ hostId }, signal) => {
      const host = roster.get(hostId);
      try {
        const revisions = await (await host.client(signal)).listRevisions({ signal });
        return revisions.map((revision) => revisionOf(hostId, revision, clock.now()));
      } catch (error) {
        const kept = isCancelled(error) || !isAbsence(error) ? null : cache.document<readonly PolicyRevision[]>(hostId, 'revisions');
        if (kept === null) throw error;
        return kept.content.map((revision) => ({ ...revision, live: false }));
      }
    },
    'policy.validate': ({ policy }) => Promise.resolve(checkPolicy(policy, clock)),
    'policy.import': async ({ text }) => Promise.resolve(importPolicy(text)),
    'draft.get': async () => Promise.resolve(cache.value<Draft>(draftValue)),
    'draft.put': async ({ policy, hostIds, bases }) => {
      const draft: Draft = { policy, hostIds, ...(bases === undefined ? {} : { bases }), savedAt: clock.now() };
      cache.putValue(draftValue, draft);
      return Promise.resolve(draft);
    },
    'draft.drop': async () => {
      cache.dropValue(draftValue);
      return Promise.resolve(null);
    },
    'trace.run': async ({ hostId, ...request }, signal) =>
      tracePacket(
        {
          host: roster.get(hostId),
          now: () => clock.now(),
          kept: () => cache.document<PolicyRevision>(hostId, 'policy')?.content ?? null,
          program: context.verdictProgram,
        },
        request,
        signal,
      ),
  };
};

const changeHandlers = ({
  cache,
  keeper,
  planner,
  roster,
  clock,
  random,
}: HandlerContext): Pick<
  BridgeHandlers,
  'policy.plan' | 'policy.apply' | 'policy.confirm' | 'policy.undo' | 'policy.rollback' | 'rollout.current' | 'rollout.watch'
> => ({
  'policy.plan': async ({ policy, hostIds, bases }, signal) => {
    await keeper.session();
    return planner.planFrom({ policy, hostIds, bases: bases ?? {} }, signal);
  },
  'policy.apply': async ({ planId, confirmWithinSeconds, comment }, signal) => {
    const { rollouts, mfa } = await keeper.session();
    if (confirmWithinSeconds < confirmBounds.min || confirmWithinSeconds > confirmBounds.max)
      throw new NestError('INPUT_INVALID', `The time to confirm is ${String(confirmBounds.min)} to ${String(confirmBounds.max)} seconds.`);
    const kept = planner.get(planId);
    mfa.requireFresh(kept.plan.hosts.map(({ hostId }) => hostId));
    return rollouts.apply(kept, { confirmWithinSeconds, comment: comment ?? '' }, signal);
  },
  'policy.confirm': async ({ rolloutId }, signal) => {
    const rollout = await (await keeper.session()).rollouts.confirm(rolloutId, signal);
    rebaseDraft(cache, rollout);
    return rollout;
  },
  'policy.undo': async ({ rolloutId }, signal) => (await keeper.session()).rollouts.undo(rolloutId, signal),
  'rollout.current': async () => (await keeper.session()).rollouts.current(),
  'rollout.watch': async function* ({ rolloutId }, signal) {
    yield* (await keeper.session()).rollouts.watch(rolloutId, signal);
  },
  'policy.rollback': async ({ hostId, toRevision }, signal) => {
    const client = await roster.get(hostId).client(signal);
    const revision = await returnToRevision(client, { toRevision, transactionId: ulidOf(clock.now(), random), signal });
    return revisionOf(hostId, revision, clock.now());
  },
});

/** The draft goes on from what was just kept: the next change of it starts there. */
const rebaseDraft = (cache: FleetCache, { hosts }: Rollout): void => {
  const draft = cache.value<Draft>(draftValue);
  if (draft?.bases === undefined) return;
  const kept = hosts.flatMap(({ hostId, state, revision }) =>
    state === 'confirmed' && revision !== null && draft.bases?.[hostId] !== undefined ? [[hostId, revision] as const] : [],
  );
  if (kept.length > 0) cache.putValue(draftValue, { ...draft, bases: { ...draft.bases, ...Object.fromEntries(kept) } });
};

const getPolicy = async (
  { roster, cache, clock }: HandlerContext,
  wanted: { readonly hostId: string; readonly revision: number },
  signal: AbortSignal,
): Promise<PolicyRevision> => {
  const host = roster.get(wanted.hostId);
  try {
    return revisionOf(wanted.hostId, await (await host.client(signal)).getConfig(wanted.revision, { signal }), clock.now());
  } catch (error) {
    const kept = isCancelled(error) || !isAbsence(error) ? null : cache.document<PolicyRevision>(wanted.hostId, 'policy');
    if (kept === null || (wanted.revision !== 0 && kept.content.revision !== wanted.revision)) throw error;
    return { ...kept.content, live: false };
  }
};

/** A MarchProxy file, translated; a policy of Nest is taken as it is and checked when it is used. */
const importPolicy = (text: string): PolicyImport => {
  const own = ownDocument(text);
  // What is written anew would keep the last of two keys and say nothing.
  if (own !== null) refuseDuplicateKeys(text);
  if (own !== null) return { format: 'Nest policy', policy: JSON.stringify(own, undefined, 2), notes: [] };
  const { policy, notes, shapes } = importMarchProxy(text);
  return {
    format: `MarchProxy (${shapes.join(', ')})`,
    policy: JSON.stringify(policy, undefined, 2),
    notes: notes.map(({ name, code, message }) => ({ subject: name, code, message })),
  };
};

const ownDocument = (text: string): object | null => {
  try {
    const document: unknown = JSON.parse(text.replace(/^\uFEFF/, ''));
    return typeof document === 'object' && document !== null && 'apiVersion' in document ? document : null;
  } catch {
    // The reader of MarchProxy files says where the text breaks off.
    return null;
  }
};
