/** Staged rollouts: what the signed payloads "nest.rollout-plan.v1" and "nest.rollout-state.v1" hold. */
import { z } from 'zod';
import { NestError } from './error.ts';
import { policyBytesMax } from './limits.ts';
import { statementsSchema } from './step-up-shape.ts';

export const rolloutPlanType = 'nest.rollout-plan.v1';
export const rolloutStateType = 'nest.rollout-state.v1';
export const rolloutHostsMax = 5_000;
export const rolloutWavesMax = 16;
/** A rollout that is not settled after so long blocks nobody any more, milliseconds. */
export const rolloutLifeMs = 7 * 86_400_000;
/** Records an agent keeps. */
export const rolloutRecordsKept = 16;
/** Bounds, seconds. A host soaks while its change is pending, so that soak and margin fit into the longest dead-man timer. */
export const soakSeconds = { min: 0, max: 3_300, default: 60 } as const;
export const baselineSeconds = { min: 0, max: 300, default: 15 } as const;

/** Letter of each host state in a signed state. */
export const hostStateLetters = {
  waiting: 'w',
  applying: 'a',
  soaking: 's',
  keeping: 'k',
  kept: 'K',
  undoing: 'u',
  'taken-back': 'T',
  reverting: 'r',
  reverted: 'R',
  failed: 'F',
  unreachable: 'U',
  deferred: 'D',
  skipped: 'S',
} as const;
export type RolloutHostState = keyof typeof hostStateLetters;

const rolloutPhases = ['running', 'paused', 'stopping', 'aborting', 'finished', 'stopped', 'aborted'] as const;
export type RolloutPhase = (typeof rolloutPhases)[number];
/** Nothing happens any more in these. */
export const settledPhases: ReadonlySet<RolloutPhase> = new Set<RolloutPhase>(['finished', 'stopped', 'aborted']);

const id = z.string().regex(/^[0-9A-HJKMNP-TV-Z]{26}$/);
const moment = z.int().positive();
const problem = z.nullable(z.object({ code: z.string().max(64), message: z.string().max(2_000) }));
const counter = z.int().nonnegative();
const ratio = z.number().nonnegative().max(1e9);

/** Thresholds: a rate may be baseline x factor + floor. */
const gatesSchema = z.object({
  /** Drops by each reason, packets per second. */
  dropFactor: ratio,
  dropFloorPps: ratio,
  /** Packets of allowed flows that could not go on (no backend, no port, no route ...), per second. */
  flowFailureFactor: ratio,
  flowFailureFloorPps: ratio,
  /** New critical warnings, or a host that stops answering. */
  health: z.boolean(),
  /** The kernel runs another policy than the agent wants. */
  drift: z.boolean(),
});
export type RolloutGates = Readonly<z.infer<typeof gatesSchema>>;

const planSchema = z.object({
  rolloutId: id,
  fleetId: z.string().max(64),
  name: z.string().max(100),
  policy: z.string().max(policyBytesMax),
  createdAtMs: moment,
  notAfterMs: moment,
  waves: z.array(z.array(id).min(1)).min(1).max(rolloutWavesMax),
  maxUnavailable: z.int().min(1).max(rolloutHostsMax),
  /** More hosts that refuse, fail or fall silent stop the rollout. */
  failuresMax: counter,
  soakSeconds: z.int().min(soakSeconds.min).max(soakSeconds.max),
  baselineSeconds: z.int().min(baselineSeconds.min).max(baselineSeconds.max),
  gates: gatesSchema,
  /** What a stop takes back besides the hosts that still wait for their confirmation. */
  rollback: z.enum(['wave', 'all']),
  /** What happens with hosts that are away when the rollout starts. */
  offline: z.enum(['skip', 'intent']),
  /** What witnesses of its author's second factor have signed about it, and about nothing else. */
  stepUp: z.optional(statementsSchema),
});
export type RolloutPlan = Readonly<z.infer<typeof planSchema>>;

const hostSchema = z.object({
  hostId: id,
  state: z.enum(Object.keys(hostStateLetters) as [RolloutHostState, ...RolloutHostState[]]),
  /** Counts the applies, 1..; each has a transaction of its own. */
  attempt: counter,
  baseRevision: z.nullable(counter),
  revision: z.nullable(counter),
  generation: z.string().max(128),
  /** Drops per second by reason, and critical warnings, before the change. */
  baseline: z.nullable(z.object({ drops: z.record(z.string().max(64), z.number()), warnings: z.array(z.string().max(64)).max(64) })),
  problem,
});
/** What a record says about the host that keeps it. */
export type RolloutHostRecord = Readonly<z.infer<typeof hostSchema>>;

const stateSchema = z.object({
  rolloutId: id,
  /** Counts the consoles in charge; a higher one has taken over. */
  term: z.int().positive(),
  /** Counts the states of a term. */
  sequence: counter,
  /** The console in charge: one process of it. */
  conductor: id,
  phase: z.enum(rolloutPhases),
  /** 0-based. */
  wave: counter,
  reason: problem,
  atMs: moment,
  /** A letter a host, in the order of the waves. */
  states: z.string().max(rolloutHostsMax),
  host: hostSchema,
});
export type RolloutState = Readonly<z.infer<typeof stateSchema>>;

/** The bytes to sign. */
export const encodeRollout = (document: RolloutPlan | RolloutState): Uint8Array => new TextEncoder().encode(JSON.stringify(document));

/** Raises INPUT_INVALID. */
export const parseRolloutPlan = (payload: Uint8Array): RolloutPlan => {
  const plan = parsedWith(planSchema, payload);
  const hosts = plan.waves.flat();
  if (hosts.length > rolloutHostsMax || new Set(hosts).size !== hosts.length)
    throw new NestError('INPUT_INVALID', `A rollout names each host once and at most ${String(rolloutHostsMax)} of them.`);
  if (plan.notAfterMs - plan.createdAtMs > rolloutLifeMs) throw new NestError('INPUT_INVALID', 'A rollout may last seven days at most.');
  return plan;
};

/** Raises INPUT_INVALID. */
export const parseRolloutState = (payload: Uint8Array): RolloutState => parsedWith(stateSchema, payload);

/** The transaction of a host's apply; the same on every console, so that a repetition changes nothing more. */
export const rolloutTransaction = (rolloutId: string, attempt: number): string =>
  `${rolloutTransactionPrefix}${rolloutId}-${String(attempt)}`;
/** Changes with it are conducted: they wait for gates, not for a person. */
export const rolloutTransactionPrefix = 'rollout-';

const parsedWith = <Document>(schema: z.ZodType<Document>, payload: Uint8Array): Document => {
  let document: unknown;
  try {
    document = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(payload)) as unknown;
  } catch {
    document = undefined;
  }
  const parsed = schema.safeParse(document);
  if (parsed.success) return parsed.data;
  throw new NestError('INPUT_INVALID', 'The signed document is not of a rollout this version understands. Upgrade console and agents.', {
    cause: parsed.error,
  });
};
