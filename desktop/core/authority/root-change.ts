/**
 * The fleet's keys while its root changes: the old and the new set of root and authorities, and which of them issues. Every step makes
 * new keys of old ones and says itself to hosts and other consoles in a statement that both roots sign.
 */
import { X509Certificate } from 'node:crypto';
import { certificatesIn } from '../../../proto/model/certificate-path.ts';
import { NestError } from '../../../proto/model/error.ts';
import { isSameKey, openRootChange, rootChangeBytes, sealRootChange } from '../../../proto/model/root-change.ts';
import type { RootPhase, RootStep, SignedEnvelope } from '../../../proto/model/root-change.ts';
import type { Authority, AuthorityContext, KeyPair } from './certificate-maker.ts';
import type { FleetKeys } from './fleet-keys.ts';
import { createAuthorities, createFleetRoot } from './issuing-authority.ts';
import { emptyRevocation, refreshRevocation } from './revocation-list.ts';
import { areOperatorsBehind, conductedSets, isRootChanging, phaseAfter, rootStepOf, trustedRoots } from './root-change-record.ts';
import type { RootChangeRecord } from './root-change-record.ts';

export type RootStepContext = AuthorityContext & {
  /** SHA-256 (hex) of the update that the access bundle begins with; empty without one. */
  readonly accessBeginning: string;
};

/** A new root and authorities, announced. Raises SCOPE_MISSING without the key of the present root, INPUT_INVALID while it changes already. */
export const beginRootChange = async (keys: FleetKeys, context: RootStepContext): Promise<FleetKeys> => {
  const { root, authorities, fleetId, fleetName } = keys;
  if (isRootChanging(keys)) throw new NestError('INPUT_INVALID', 'The root changes already. Look at "nest fleet rotate-root status".');
  if (authorities === undefined)
    throw new NestError('INPUT_INVALID', 'This fleet has no issuing authorities yet. Lock and unlock it once, then try again.');
  if (root.privateKey === null) throw missingKey();
  const next = await createFleetRoot({ fleetId, fleetName, generation: generationOf(root.certificate) + 1 }, context);
  const to = { root: next, authorities: await createAuthorities(fleetId, next, context) };
  const sets = { from: { root, authorities }, to };
  const statement = signed(sets, 'announced', { ...context, fleetId, last: rootStepOf(keys) });
  return { ...keys, rootChange: { statement, startedAt: context.now, sets, areOperatorsMoved: false } };
};

/** The step to the next or the former phase. Raises INPUT_INVALID when there is none, SCOPE_MISSING where this console does not conduct it. */
export const stepRootChange = async (keys: FleetKeys, direction: 'forward' | 'back', context: RootStepContext): Promise<FleetKeys> => {
  const last = rootStepOf(keys);
  const phase = last === null ? null : phaseAfter(last.phase, direction);
  const { rootChange, fleetId } = keys;
  if (phase === null || rootChange === undefined)
    throw new NestError('INPUT_INVALID', 'No change of the root is under way. Begin one with "nest fleet rotate-root start".');
  const { sets } = rootChange;
  if (sets === null) throw missingKey();
  const statement = signed(sets, phase, { ...context, fleetId, last });
  const isOver = phase === 'dropped' || phase === 'cancelled';
  const areOperatorsMoved = phase === 'dropped';
  const next = await issuing({ ...keys, rootChange: { ...rootChange, statement, areOperatorsMoved } }, context);
  return isOver ? { ...next, rootChange: { statement, startedAt: rootChange.startedAt, sets: null, areOperatorsMoved } } : next;
};

/** From now on operators' devices get certificates of the new set, too: every host believes it. */
export const moveOperators = async (keys: FleetKeys, context: AuthorityContext): Promise<FleetKeys> =>
  keys.rootChange === undefined || !areOperatorsBehind(keys)
    ? keys
    : issuing({ ...keys, rootChange: { ...keys.rootChange, areOperatorsMoved: true } }, context);

/** The keys by which newcomers are taken in: their root is believed by everybody they have to speak with. */
export const admittingKeys = (keys: FleetKeys): FleetKeys => {
  const sets = conductedSets(keys);
  return sets !== null && areOperatorsBehind(keys) ? { ...keys, ...sets.from } : keys;
};

/**
 * What a console that does not conduct the change makes of a step it found on a host or in a grant; the same keys when it knows it.
 * Raises CERTIFICATE_INVALID, FLEET_MISMATCH for a statement that is not to be believed.
 */
export const adoptRootStep = (keys: FleetKeys, envelope: SignedEnvelope, now: number): FleetKeys => {
  const last = rootStepOf(keys);
  const step = openRootChange(envelope, { fleetId: keys.fleetId, roots: certificatesIn(trustedRoots(keys)), nowMs: now });
  if (last !== null && step.sequence <= last.sequence) return keys;
  const startedAt = last !== null && isSameKey(last.to, step.to) ? (keys.rootChange?.startedAt ?? step.issuedAtMs) : step.issuedAtMs;
  const statement = Buffer.from(rootChangeBytes(envelope)).toString('base64');
  const adopted = { ...keys, rootChange: { statement, startedAt, sets: null, areOperatorsMoved: step.phase === 'dropped' } };
  if (step.phase !== 'dropped' || isSameKey(new X509Certificate(keys.root.certificate), step.to)) return adopted;
  const known = (certificate: X509Certificate | undefined): Authority => ({ certificate: certificate?.toString() ?? '', privateKey: null });
  const [agents, operators] = step.authorities;
  return { ...adopted, root: known(step.to), authorities: { agents: known(agents), operators: known(operators) } };
};

/** The keys with the set that issues in this phase, and lists of revoked certificates by its authorities. */
const issuing = async (keys: FleetKeys, context: AuthorityContext): Promise<FleetKeys> => {
  const { sets, areOperatorsMoved } = keys.rootChange ?? { sets: null, areOperatorsMoved: false };
  const phase = rootStepOf(keys)?.phase;
  if (sets === null) return keys;
  const forAgents = phase === 're-issue' || phase === 'dropped' ? sets.to : sets.from;
  const forOperators = areOperatorsMoved ? sets.to : sets.from;
  const authorities = { agents: forAgents.authorities.agents, operators: forOperators.authorities.operators };
  const isSame =
    forAgents.root.certificate === keys.root.certificate &&
    keys.authorities?.agents.certificate === authorities.agents.certificate &&
    keys.authorities.operators.certificate === authorities.operators.certificate;
  if (isSame) return keys;
  const next = { ...keys, root: forAgents.root, authorities };
  const revocation = await refreshRevocation(next, next.revocation ?? emptyRevocation, { ...context, isChanged: () => true });
  return { ...next, revocation };
};

/** Base64 of the signed step. Numbers follow the clock, so that a console restored from a backup does not repeat one. */
const signed = (
  { from, to }: NonNullable<RootChangeRecord['sets']>,
  phase: RootPhase,
  { now, accessBeginning, fleetId, last }: RootStepContext & { readonly fleetId: string; readonly last: RootStep | null },
): string => {
  const step = {
    fleetId,
    sequence: Math.max((last?.sequence ?? 0) + 1, Math.round(now)),
    phase,
    issuedAtMs: now,
    accessBeginning,
    authorities: [to.authorities.agents.certificate, to.authorities.operators.certificate],
  };
  return Buffer.from(rootChangeBytes(sealRootChange(step, { from: pairOf(from.root), to: pairOf(to.root) }))).toString('base64');
};

const pairOf = ({ certificate, privateKey }: Authority): KeyPair => {
  if (privateKey === null) throw missingKey();
  return { certificate, privateKey };
};

/** 1 for a fleet's first root. */
const generationOf = (certificate: string): number => Number(/OU=root (\d+)/.exec(new X509Certificate(certificate).subject)?.[1] ?? 1);

const missingKey = (): NestError =>
  new NestError(
    'SCOPE_MISSING',
    'Both roots must sign this, and a key is not on this console. Restore it ("nest fleet root restore"), or go on where the change began.',
  );
