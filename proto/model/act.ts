/** What an operator does to many hosts at once, as the text that witnesses of the second factor sign the hash of. */
import { z } from 'zod';
import { NestError } from './error.ts';
import { rolloutHostsMax } from './rollout.ts';
import type { RolloutPlan } from './rollout.ts';
import { actionHash, hostSetHash, sha256 } from './step-up.ts';

export interface Act {
  /** The exact words. */
  readonly text: string;
  readonly hostIds: readonly string[];
  /** SHA-256 of the policy, hex. */
  readonly policy: string;
  /** When it was made, milliseconds; null when the text does not say. */
  readonly atMs: number | null;
}

const hostIds = z.array(z.string().max(64)).max(rolloutHostsMax);
const actSchema = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('rollout'),
    fleetId: z.string(),
    policy: z.string(),
    createdAtMs: z.number(),
    waves: z.array(hostIds),
    offline: z.enum(['skip', 'intent']),
  }),
  z.object({ kind: z.literal('intents'), fleetId: z.string(), policy: z.string(), hostIds }),
]);

/** A staged rollout: everything its plan says, with the policy by its hash. */
export const rolloutAct = ({ stepUp: _stepUp, ...plan }: RolloutPlan): Act => {
  const policy = sha256(plan.policy);
  const text = JSON.stringify(inOrder({ kind: 'rollout', ...plan, policy }));
  return { text, hostIds: plan.waves.flat(), policy, atMs: plan.createdAtMs };
};

/** The same change left for hosts that are away. */
export const intentsAct = (request: { readonly fleetId: string; readonly policy: string; readonly hostIds: readonly string[] }): Act => {
  const policy = sha256(request.policy);
  const ids = [...new Set(request.hostIds)].sort();
  return {
    text: JSON.stringify(inOrder({ kind: 'intents', fleetId: request.fleetId, policy, hostIds: ids })),
    hostIds: ids,
    policy,
    atMs: null,
  };
};

/** The act of an intent. Raises INPUT_INVALID when hosts that are away were not meant. */
export const readAct = (text: string, fleetId: string): Act => {
  const act = actSchema.safeParse(jsonOf(text));
  if (!act.success || act.data.fleetId !== fleetId || (act.data.kind === 'rollout' && act.data.offline !== 'intent'))
    throw new NestError('INPUT_INVALID', 'What was approved is not a change for hosts that are away. Sign the intent anew.', {
      cause: act.error,
    });
  const { data } = act;
  return data.kind === 'rollout'
    ? { text, hostIds: data.waves.flat(), policy: data.policy, atMs: data.createdAtMs }
    : { text, hostIds: data.hostIds, policy: data.policy, atMs: null };
};

/** What witnesses are asked to sign. */
export const hashesOf = ({ text, hostIds: ids }: Act): { readonly actionHash: string; readonly hostSetHash: string } => ({
  actionHash: actionHash(text),
  hostSetHash: hostSetHash(ids),
});

/** Keys by name at every depth, so that the text does not depend on who wrote it down. */
const inOrder = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(inOrder);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, part]) => [key, inOrder(part)]),
  );
};

const jsonOf = (text: string): unknown => {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
};
