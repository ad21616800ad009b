/**
 * A change of the fleet's root in steps: announced, believed beside the old one, issuing, alone. Each step is signed by both roots, so
 * that whoever believes one of them can follow, and hosts carry the last one to consoles that were away.
 */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { RootChange, RootChangePhase } from '../gen/nest/v1/certificate.ts';
import { SignedEnvelope } from '../gen/nest/v1/envelope.ts';
import type { RootTrust } from './access/chain.ts';
import { authorityName, certificatesIn } from './certificate-path.ts';
import { keyIdOf, sealEnvelope, verifyEnvelope } from './envelope.ts';
import { NestError } from './error.ts';

export type { SignedEnvelope } from '../gen/nest/v1/envelope.ts';

export const rootChangeType = 'nest.root-change.v1';

export type RootPhase = 'announced' | 'dual-trust' | 're-issue' | 'dropped' | 'cancelled';

const wirePhases: Readonly<Record<RootPhase, RootChangePhase>> = {
  announced: RootChangePhase.ANNOUNCED,
  'dual-trust': RootChangePhase.DUAL_TRUST,
  're-issue': RootChangePhase.REISSUE,
  dropped: RootChangePhase.DROPPED,
  cancelled: RootChangePhase.CANCELLED,
};

export interface RootStep {
  readonly fleetId: string;
  /** Grows with every step. */
  readonly sequence: number;
  readonly phase: RootPhase;
  readonly from: X509Certificate;
  readonly to: X509Certificate;
  /** Milliseconds since the Unix epoch. */
  readonly issuedAtMs: number;
  /** SHA-256 (hex) of the update that the access bundle in force begins with; empty without a bundle. */
  readonly accessBeginning: string;
  /** Below the new root. */
  readonly authorities: readonly X509Certificate[];
}

/** PEM each. */
export interface RootKeyPair {
  readonly certificate: string;
  readonly privateKey: string;
}

/** The step, signed by both roots. */
export const sealRootChange = (
  step: Omit<RootStep, 'from' | 'to' | 'authorities'> & { readonly authorities: readonly string[] },
  { from, to }: { readonly from: RootKeyPair; readonly to: RootKeyPair },
): SignedEnvelope => {
  const payload = RootChange.encode({
    fleetId: step.fleetId,
    sequence: BigInt(step.sequence),
    phase: wirePhases[step.phase],
    fromRoot: new X509Certificate(from.certificate).raw,
    toRoot: new X509Certificate(to.certificate).raw,
    issuedAtMs: BigInt(Math.round(step.issuedAtMs)),
    accessBeginning: Buffer.from(step.accessBeginning, 'hex'),
    toAuthorities: step.authorities.map((pem) => new X509Certificate(pem).raw),
  }).finish();
  const signers = [from, to].map(({ certificate, privateKey }) => ({
    privateKey: createPrivateKey(privateKey),
    publicKey: new X509Certificate(certificate).publicKey,
    certificateChain: [],
  }));
  return sealEnvelope(rootChangeType, payload, signers);
};

export interface RootChangeCheck {
  readonly fleetId: string;
  /** Roots that are believed now. */
  readonly roots: readonly X509Certificate[];
  /** Milliseconds since the Unix epoch. */
  readonly nowMs: number;
}

/** The step when both its roots signed it and one of them is believed. Raises CERTIFICATE_INVALID, FLEET_MISMATCH, INPUT_INVALID. */
export const openRootChange = (envelope: SignedEnvelope, { fleetId, roots, nowMs }: RootChangeCheck): RootStep => {
  const step = readRootChange(envelope);
  if (step.fleetId !== fleetId)
    throw new NestError('FLEET_MISMATCH', 'The change of the root is of another fleet. Deliver it with the console of this one.');
  const ends = new Map([step.from, step.to].map(({ publicKey }) => [keyIdOf(publicKey).toString('hex'), publicKey]));
  const signed = verifyEnvelope(envelope, rootChangeType, ({ keyId }) => ends.get(Buffer.from(keyId).toString('hex')) ?? null);
  if (ends.size !== 2 || signed.size !== 2) throw refuse('both roots must have signed it');
  if (!roots.some(({ publicKey }) => ends.has(keyIdOf(publicKey).toString('hex')))) throw refuse('neither of its roots is believed here');
  checkRoot(step.to, nowMs);
  checkAuthorities(step);
  return step;
};

/** Reads without believing. Raises CERTIFICATE_INVALID. */
export const readRootChange = ({ payload }: SignedEnvelope): RootStep => {
  try {
    const change = RootChange.decode(payload);
    const phase = (Object.keys(wirePhases) as RootPhase[]).find((name) => wirePhases[name] === change.phase);
    if (phase === undefined || change.sequence <= 0n || change.sequence > BigInt(Number.MAX_SAFE_INTEGER)) throw new Error('no such step');
    return {
      fleetId: change.fleetId,
      sequence: Number(change.sequence),
      phase,
      from: new X509Certificate(change.fromRoot),
      to: new X509Certificate(change.toRoot),
      issuedAtMs: Number(change.issuedAtMs),
      accessBeginning: change.accessBeginning.toString('hex'),
      authorities: change.toAuthorities.map((der) => new X509Certificate(der)),
    };
  } catch (error) {
    throw refuse('it cannot be read', error);
  }
};

/** Whom to believe after the step. */
export const rootsAfter = ({ phase, from, to }: Pick<RootStep, 'phase' | 'from' | 'to'>): readonly X509Certificate[] => {
  if (phase === 'announced' || phase === 'cancelled') return [from];
  return phase === 'dropped' ? [to] : [from, to];
};

/** True when both certificates hold the same key. */
export const isSameKey = (a: X509Certificate, b: X509Certificate): boolean => keyIdOf(a.publicKey).equals(keyIdOf(b.publicKey));

/** True when a chain (leaf first, without the root) leads to this root. */
export const isChainUnder = (chain: readonly X509Certificate[], root: X509Certificate): boolean => {
  const last = chain.at(-1);
  // A chain may hold one authority between.
  const [leaf, authority] = chain;
  if (authority !== undefined && leaf !== undefined && !(leaf.checkIssued(authority) && leaf.verify(authority.publicKey))) return false;
  return last !== undefined && last.checkIssued(root) && last.verify(root.publicKey);
};

/** Who may begin epochs of the access bundle: the roots of a PEM text, and the beginning a step answers for. */
export const rootTrustOf = (roots: string, step: Pick<RootStep, 'accessBeginning'> | null): RootTrust => ({
  keys: certificatesIn(roots).map(({ publicKey }) => publicKey),
  vouched: step?.accessBeginning ?? '',
});

/** The bytes of the envelope, to be kept. */
export const rootChangeBytes = (envelope: SignedEnvelope): Uint8Array => SignedEnvelope.encode(envelope).finish();

/** The envelope of kept bytes. Raises CERTIFICATE_INVALID. */
export const rootChangeOf = (bytes: Uint8Array): SignedEnvelope => {
  try {
    return SignedEnvelope.decode(bytes);
  } catch (error) {
    throw refuse('it cannot be read', error);
  }
};

const checkRoot = (root: X509Certificate, nowMs: number): void => {
  if (!root.ca || !root.checkIssued(root) || !root.verify(root.publicKey)) throw refuse('the new root is not signed by itself');
  if (root.publicKey.asymmetricKeyDetails?.namedCurve !== 'prime256v1') throw refuse('the key of the new root is not on the curve P-256');
  if (nowMs < root.validFromDate.getTime() || nowMs >= root.validToDate.getTime())
    throw refuse('the new root is not in date; compare the clocks');
};

const checkAuthorities = ({ authorities, to, fleetId }: RootStep): void => {
  const names = [authorityName(fleetId, 'agents'), authorityName(fleetId, 'operators')];
  if (authorities.length !== names.length || authorities.some(({ subject }, index) => subject !== names[index]))
    throw refuse('it does not name the two authorities below the new root');
  if (authorities.some((authority) => !authority.ca || !isChainUnder([authority], to)))
    throw refuse('an authority is not signed by the new root');
};

const refuse = (reason: string, cause?: unknown): NestError =>
  new NestError('CERTIFICATE_INVALID', `The change of the root is refused: ${reason}. Look at "nest fleet rotate-root status".`, { cause });
