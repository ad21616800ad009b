/** What a console keeps of a change of the fleet's root, and what it means for whom is believed. */
import { z } from 'zod';
import { readRootChange, rootChangeOf, rootsAfter } from '../../../proto/model/root-change.ts';
import type { RootPhase, RootStep, SignedEnvelope } from '../../../proto/model/root-change.ts';

const authoritySchema = z.strictObject({ certificate: z.string(), privateKey: z.nullable(z.string()) });
const setSchema = z.strictObject({
  root: authoritySchema,
  authorities: z.strictObject({ agents: authoritySchema, operators: authoritySchema }),
});

export const rootChangeSchema = z.strictObject({
  /** The last step, signed: base64 of its envelope. */
  statement: z.base64(),
  startedAt: z.number(),
  /** Both sets while this console conducts the change; null on others, and when it has ended. */
  sets: z.nullable(z.strictObject({ from: setSchema, to: setSchema })),
  /** Whether operators' devices get certificates of the new set; hosts get theirs from the phase on. */
  areOperatorsMoved: z.boolean(),
});
/** A change of the root under way, or the last one that ended. */
export type RootChangeRecord = z.output<typeof rootChangeSchema>;

interface Holder {
  readonly rootChange?: RootChangeRecord | undefined;
}

/** Where each phase leads, forward and back. */
const phases: Readonly<Record<RootPhase, Readonly<Record<'forward' | 'back', RootPhase | null>>>> = {
  announced: { forward: 'dual-trust', back: 'cancelled' },
  'dual-trust': { forward: 're-issue', back: 'announced' },
  're-issue': { forward: 'dropped', back: 'dual-trust' },
  dropped: { forward: null, back: null },
  cancelled: { forward: null, back: null },
};

/** The last step of a change of the root; null when there never was one. */
export const rootStepOf = ({ rootChange }: Holder): RootStep | null => {
  if (rootChange === undefined) return null;
  const step = steps.get(rootChange) ?? readRootChange(statementOf(rootChange));
  steps.set(rootChange, step);
  return step;
};

/** Records are values, and asked about for every host: each is read once. */
const steps = new WeakMap<RootChangeRecord, RootStep>();

/** The last step as it was signed. */
export const statementOf = ({ statement }: Pick<RootChangeRecord, 'statement'>): SignedEnvelope =>
  rootChangeOf(Buffer.from(statement, 'base64'));

/** The phase one step further or back; null when there is none. */
export const phaseAfter = (phase: RootPhase, direction: 'forward' | 'back'): RootPhase | null => phases[phase][direction];

/** True while the root changes. */
export const isRootChanging = (keys: Holder): boolean => {
  const phase = rootStepOf(keys)?.phase;
  return phase !== undefined && phases[phase].forward !== null;
};

/** Trusted roots, PEM: two while both are believed. */
export const trustedRoots = (keys: Holder & { readonly root: { readonly certificate: string } }): string => {
  const step = rootStepOf(keys);
  return step === null ? keys.root.certificate : rootsAfter(step).map(String).join('');
};

/** Both sets of keys where this console conducts the change; null on others. */
export const conductedSets = ({ rootChange }: Holder): RootChangeRecord['sets'] => rootChange?.sets ?? null;

/** True while hosts get certificates of the new set and operators do not yet: somewhere a host believes the old root alone. */
export const areOperatorsBehind = (keys: Holder): boolean =>
  conductedSets(keys) !== null && keys.rootChange?.areOperatorsMoved === false && rootStepOf(keys)?.phase === 're-issue';
