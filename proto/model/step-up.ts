/**
 * A second factor without a server: witnesses (agents that keep the secret of an authenticator) check a code and sign that they did.
 * Statements of a majority of them make every other agent believe it. What they sign is bound to operator, device and five minutes,
 * and, for one act over many hosts, to that act and those hosts.
 */
import { createHash, X509Certificate } from 'node:crypto';
import { z } from 'zod';
import type { EnvelopeSignature, SignedEnvelope } from '../gen/nest/v1/envelope.ts';
import { envelopeOf, envelopeText } from './access/storage.ts';
import { checkCertificatePath } from './certificate-path.ts';
import { sealEnvelope, verifyEnvelope } from './envelope.ts';
import type { EnvelopeSigner } from './envelope.ts';
import { NestError } from './error.ts';
import { witnessesMax } from './step-up-shape.ts';

export const stepUpType = 'nest.step-up.v1';
/** How long a checked code counts as fresh, milliseconds. */
export const stepUpLifeMs = 5 * 60_000;
/** How long a session token lives; what is dangerous needs a fresher code than that, milliseconds. */
export const sessionLifeMs = 15 * 60_000;
/** Clocks of console, witness and host may differ by so much; beyond it nothing that depends on time is believed, milliseconds. */
export const clockSkewMsMax = 5 * 60_000;
/** Metadata key of the session token. */
export const sessionMetadata = 'nest-session';
/** An act over many hosts must be signed so close to when its code was checked, milliseconds. */
const actionAgeMsMax = 15 * 60_000;

/** So many of the witnesses must have checked the code: any two majorities share one, so that no code works twice. */
export const majorityOf = (witnesses: number): number => Math.floor(witnesses / 2) + 1;

const hash = z.string().regex(/^([0-9a-f]{64})?$/);
const statementSchema = z.object({
  fleetId: z.string().max(64),
  /** "operator/ada" */
  subject: z.string().max(160),
  /** SHA-256 of the device's public key, hex. */
  device: z.string().regex(/^[0-9a-f]{64}$/),
  factorId: z.string().max(64),
  /** Agent id. */
  witness: z.string().max(64),
  notBeforeMs: z.int().positive(),
  expiresAtMs: z.int().positive(),
  /** Hex; empty when the code opens a session instead. */
  actionHash: hash,
  hostSetHash: hash,
});
export type StepUpStatement = Readonly<z.infer<typeof statementSchema>>;

/** The envelope of a statement. */
export const sealStepUp = (statement: StepUpStatement, signer: EnvelopeSigner): SignedEnvelope =>
  sealEnvelope(stepUpType, new TextEncoder().encode(JSON.stringify(statement)), [signer]);

export interface Factor {
  readonly id: string;
  /** Agent ids. */
  readonly witnesses: readonly string[];
}

/** What statements must be about. */
export interface StepUpExpectation {
  /** PEM, one or more. */
  readonly fleetRoot: string;
  readonly fleetId: string;
  readonly nowMs: number;
  readonly subject: string;
  readonly device: string;
  readonly factor: Factor;
  readonly action: { readonly actionHash: string; readonly hostSetHash: string; readonly atMs: number } | null;
  /** Whether the certificate of a witness is on a list. */
  readonly isRevoked: (certificate: { readonly issuer: string; readonly serial: string }) => boolean;
}

/**
 * When the code was checked, milliseconds, by the clock of the witness that saw it first. Raises CLOCK_SKEWED, MFA_REQUIRED when the statements
 * are too old, too few, or about something else, CERTIFICATE_INVALID when one was not signed by its witness.
 */
export const checkStepUp = (envelopes: readonly SignedEnvelope[], expected: StepUpExpectation): number => {
  const { factor } = expected;
  if (envelopes.length > witnessesMax) throw required('there are more statements than witnesses');
  const times = new Map<string, number>();
  for (const envelope of envelopes) {
    const statement = openStatement(envelope, expected);
    checkStatement(statement, expected);
    times.set(statement.witness, statement.notBeforeMs);
  }
  if (times.size < majorityOf(factor.witnesses.length))
    throw required(`${String(times.size)} of ${String(factor.witnesses.length)} witnesses have checked the code, a majority must`);
  return Math.min(...times.values());
};

/** Reads without believing, for the console that collects them. Raises INPUT_INVALID. */
export const readStepUp = (envelope: SignedEnvelope): StepUpStatement => {
  try {
    return statementSchema.parse(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(envelope.payload)));
  } catch (error) {
    throw new NestError('INPUT_INVALID', 'This is no statement of a witness. Upgrade the agent of the host.', { cause: error });
  }
};

const openStatement = (envelope: SignedEnvelope, expected: StepUpExpectation): StepUpStatement => {
  const names: string[] = [];
  const holding = verifyEnvelope(envelope, stepUpType, (signature) => {
    const { name, key } = witnessOf(signature, expected);
    names.push(name);
    return key;
  });
  const statement = readStepUp(envelope);
  if (holding.size !== 1 || names.length !== 1 || names[0] !== statement.witness || !expected.factor.witnesses.includes(statement.witness))
    throw new NestError('CERTIFICATE_INVALID', 'A statement is not signed by the witness it names, or that host is no witness of yours.');
  return statement;
};

const witnessOf = (
  { certificateChain }: EnvelopeSignature,
  { fleetRoot, fleetId, nowMs, isRevoked }: StepUpExpectation,
): { readonly name: string; readonly key: X509Certificate['publicKey'] } => {
  const roots = (fleetRoot.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []).map(
    (pem) => new X509Certificate(pem),
  );
  const { leaf, path, identity } = checkCertificatePath(certificateChain, { roots, fleetId, nowMs });
  if (identity.kind !== 'agent') throw new NestError('CERTIFICATE_INVALID', 'A statement is not signed by an agent. Enter a code again.');
  if (path.some(({ issuer, serialNumber }) => isRevoked({ issuer, serial: serialNumber })))
    throw new NestError('REVOKED', 'The certificate of a witness is revoked. Enrol your second factor again.');
  return { name: identity.name, key: leaf.publicKey };
};

const checkStatement = (statement: StepUpStatement, { fleetId, subject, device, factor, action, nowMs }: StepUpExpectation): void => {
  const { notBeforeMs, expiresAtMs, actionHash, hostSetHash } = statement;
  if (statement.fleetId !== fleetId || statement.subject !== subject || statement.factorId !== factor.id)
    throw required('it is about another operator, fleet or factor');
  if (statement.device !== device) throw required('it is about another device');
  if (expiresAtMs <= notBeforeMs || expiresAtMs - notBeforeMs > stepUpLifeMs) throw required('it would count for longer than it may');
  if (actionHash !== (action?.actionHash ?? '') || hostSetHash !== (action?.hostSetHash ?? '')) throw required('it is about another act');
  if (action !== null) {
    if (Math.abs(action.atMs - notBeforeMs) > actionAgeMsMax) throw required('the code was not checked when this was signed');
    return;
  }
  if (nowMs < notBeforeMs - clockSkewMsMax) throw skewed(notBeforeMs - nowMs);
  if (nowMs >= expiresAtMs) throw required('it has expired');
};

const required = (reason: string): NestError =>
  new NestError('MFA_REQUIRED', `Your second factor is not proven: ${reason}. Enter a code of your authenticator.`);

/** Raises CLOCK_SKEWED when a clock is too far from this one. Milliseconds. */
export const checkClock = (theirsMs: number, nowMs: number): void => {
  if (Math.abs(theirsMs - nowMs) > clockSkewMsMax) throw skewed(theirsMs - nowMs);
};

const skewed = (byMs: number): NestError =>
  new NestError(
    'CLOCK_SKEWED',
    `The clocks differ by ${String(Math.round(Math.abs(byMs) / 1000))} s: codes and sessions need less than 5 minutes. Set up time synchronisation.`,
    { details: { skewMs: Math.round(byMs) } },
  );

/** Hex of SHA-256 over host ids, in any order. */
export const hostSetHash = (hostIds: readonly string[]): string => sha256([...new Set(hostIds)].sort().join('\n'));

/** Hex of SHA-256 over the text that says what is to be done. */
export const actionHash = (action: string): string => sha256(`nest.action.v1 ${action}`);

/** Hex. */
export const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

/** Raises INPUT_INVALID. */
export const statementsOf = (texts: readonly string[]): readonly SignedEnvelope[] => texts.map(envelopeOf);

export const statementTexts = (envelopes: readonly SignedEnvelope[]): string[] => envelopes.map(envelopeText);
