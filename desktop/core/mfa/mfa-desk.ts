/** The operator's second factor: enrolled at witnesses, proven with a code, shown to hosts that ask for it. */
import { z } from 'zod';
import type { SignedEnvelope } from '../../../proto/gen/nest/v1/envelope.ts';
import type { AccessFactor } from '../../../proto/model/access/body.ts';
import { hashesOf } from '../../../proto/model/act.ts';
import type { Act } from '../../../proto/model/act.ts';
import { NestError } from '../../../proto/model/error.ts';
import { witnessesMax } from '../../../proto/model/step-up-shape.ts';
import { majorityOf, stepUpLifeMs } from '../../../proto/model/step-up.ts';
import { base32, makeRecoverySet, otpauthUri, totpSecretBytes } from '../../../proto/model/totp.ts';
import type { FactorConfirmed, FactorOffer, FactorRow, MfaAct, MfaState, Witness } from '../../bridge/mfa-model.ts';
import type { OperatorIdentity } from '../../grpc/api.ts';
import { ulidOf } from '../../lib/api.ts';
import type { Clock, RandomBytes } from '../../lib/api.ts';
import type { AccessBook } from '../access/access-book.ts';
import type { FleetCache } from '../cache/fleet-cache.ts';
import type { HostRoster } from '../hosts/host-roster.ts';
import type { ManagedHost } from '../hosts/managed-host.ts';
import { createEvidenceStore } from './step-up-evidence.ts';
import type { EvidenceStore } from './step-up-evidence.ts';
import { askWitnesses } from './witness-round.ts';

/** Taken off what witnesses promise: a call must reach its host in time. */
const marginMs = 5_000;
/** Approvals of acts kept until they are used. */
const approvalsMax = 16;
/** Enrolments that wait for their first code. */
const offersMax = 4;
const offersValue = 'mfa.offers';
const claimPrefix = 'nestfactor1.';
const enrolDeadlineMs = 8_000;

export interface MfaDeskOptions {
  readonly roster: HostRoster;
  readonly book: AccessBook;
  readonly operator: OperatorIdentity;
  readonly cache: FleetCache;
  readonly clock: Clock;
  readonly random: RandomBytes;
  readonly fleetName: string;
  /** Whether a break-glass grant of this device lives on a host. */
  readonly isGranted: (hostId: string) => boolean;
}

/** Without its secret: that was shown, and is with the witnesses. */
interface Offered {
  readonly factorId: string;
  readonly witnesses: readonly string[];
}

export class MfaDesk {
  readonly #options: MfaDeskOptions;
  readonly #evidence: EvidenceStore;
  readonly #approvals = new Map<string, readonly SignedEnvelope[]>();
  #recoveryCodesLeft: number | null = null;

  constructor(options: MfaDeskOptions) {
    this.#options = options;
    this.#evidence = createEvidenceStore(options.cache);
    this.#show();
  }

  state(): MfaState {
    const { book } = this.#options;
    const { body } = book.chain;
    const factors = (body?.operators ?? []).flatMap(({ subject, factor }) => (factor === undefined ? [] : [this.#rowOf(subject, factor)]));
    return {
      subject: book.subject,
      isRequired: body?.stepUpRequired ?? false,
      factor: factors.find(({ subject }) => subject === book.subject) ?? null,
      freshUntil: this.#show()?.expiresAt ?? null,
      recoveryCodesLeft: this.#recoveryCodesLeft,
      factors,
    };
  }

  /** Makes a secret and brings it to witnesses; it counts from `confirm` on. Raises HOST_UNREACHABLE, LIMIT_REACHED, HOST_UNKNOWN. */
  async enrol(hostIds: readonly string[] | undefined, signal: AbortSignal): Promise<FactorOffer> {
    const { roster, clock, random, fleetName, book } = this.#options;
    const hosts =
      hostIds === undefined ? roster.all.filter((host) => host.isLive).slice(0, witnessesMax) : hostIds.map((id) => roster.get(id));
    if (hosts.length === 0)
      throw new NestError(
        'HOST_UNREACHABLE',
        'A second factor needs a host as its witness, and none answers. Add a host, or wait for one.',
      );
    const secret = random(totpSecretBytes);
    const recovery = makeRecoverySet(random);
    const factorId = ulidOf(clock.now(), random);
    const request = {
      factorId,
      secret: Buffer.from(secret),
      recoverySalt: recovery.salt,
      recoveryHashes: [...recovery.hashes],
    };
    for (const host of hosts) await (await host.client(signal)).enrollFactor(request, { signal, deadlineMs: enrolDeadlineMs });
    const offered: Offered = { factorId, witnesses: hosts.map(({ record }) => record.hostId) };
    this.#options.cache.putValue(offersValue, [offered, ...this.#offers()].slice(0, offersMax));
    return {
      factorId,
      secret: base32(secret),
      uri: otpauthUri(secret, { issuer: `Nest ${fleetName}`, account: book.subject.replace(/^operator\//, '') }),
      recoveryCodes: recovery.codes,
      witnesses: hosts.map((host) => witnessOf(host)),
    };
  }

  /** Proves that authenticator and witnesses agree, and makes the factor count. Raises NOT_FOUND, MFA_WRONG, LIMIT_REACHED, HOST_UNREACHABLE, CLOCK_SKEWED. */
  async confirm(factorId: string, code: string, signal: AbortSignal): Promise<FactorConfirmed> {
    const offered = this.#offers().find((one) => one.factorId === factorId);
    if (offered === undefined) throw new NestError('NOT_FOUND', 'This enrolment is not known any more. Begin it again.');
    const { witnesses } = offered;
    // All of them: who cannot check a code now would not later.
    const round = await this.#ask({ factorId, witnesses, code, needed: witnesses.length, act: null }, signal);
    this.#options.cache.putValue(
      offersValue,
      this.#offers().filter((one) => one.factorId !== factorId),
    );
    const { book } = this.#options;
    const { publicKey, chain } = book;
    if (!(chain.body?.owners.some(({ keyId }) => keyId === publicKey?.keyId) ?? false)) {
      const claim = claimPrefix + Buffer.from(JSON.stringify({ subject: book.subject, factorId, witnesses })).toString('base64url');
      this.#keep(factorId, round.statements);
      return { state: this.state(), claim };
    }
    book.change({ kind: 'factor.put', subject: book.subject, factorId, witnesses: [...witnesses] });
    this.#keep(factorId, round.statements);
    return { state: this.state(), claim: null };
  }

  /** Takes up the factor of another operator, as an owner. Raises INPUT_INVALID and what a change of access raises. */
  admit(text: string): MfaState {
    const claim = claimSchema.safeParse(jsonOf(text.trim().startsWith(claimPrefix) ? text.trim().slice(claimPrefix.length) : ''));
    if (!claim.success)
      throw new NestError('INPUT_INVALID', 'This is not what "nest mfa confirm" prints. Copy it again, whole.', { cause: claim.error });
    this.#options.book.change({ kind: 'factor.put', ...claim.data });
    return this.state();
  }

  /** Takes away the factor of an operator, by default one's own. Raises NOT_FOUND and what a change of access raises. */
  remove(subject: string | undefined): MfaState {
    const { book } = this.#options;
    book.change({ kind: 'factor.remove', subject: subject ?? book.subject });
    if (subject === undefined || subject === book.subject) this.#evidence.drop();
    return this.state();
  }

  /**
   * Lets the witnesses check a code: for a session of five minutes, or for one act. Raises NOT_FOUND without a factor, MFA_WRONG,
   * LIMIT_REACHED, CLOCK_SKEWED, HOST_UNREACHABLE when too few witnesses answer.
   */
  async stepUp(code: string, act: MfaAct | undefined, signal: AbortSignal): Promise<MfaState> {
    const factor = this.#factor();
    if (factor === null) throw new NestError('NOT_FOUND', 'You have no second factor. Enrol one with "nest mfa enrol".');
    const needed = majorityOf(factor.witnesses.length);
    const { statements } = await this.#ask({ factorId: factor.id, witnesses: factor.witnesses, code, needed, act: act ?? null }, signal);
    if (act === undefined) this.#keep(factor.id, statements);
    else {
      this.#approvals.set(keyOf(act), statements);
      for (const oldest of this.#approvals.keys()) {
        if (this.#approvals.size <= approvalsMax) break;
        this.#approvals.delete(oldest);
      }
    }
    return this.state();
  }

  /** Before a change of several hosts: one question instead of a refusal by each. Raises MFA_REQUIRED. */
  requireFresh(hostIds: readonly string[]): void {
    if (!this.#isNeeded() || hostIds.every((hostId) => this.#options.isGranted(hostId)) || this.#show() !== null) return;
    throw this.#required('This change needs your second factor, checked within the last five minutes.', {});
  }

  /**
   * What witnesses have signed about an act over many hosts; null when nobody asks for it. Raises MFA_REQUIRED whose details say what the
   * code is for.
   */
  approvalOf(act: Act): readonly SignedEnvelope[] | null {
    if (!this.#isNeeded() || act.hostIds.every((hostId) => this.#options.isGranted(hostId))) return null;
    const hashes = hashesOf(act);
    const statements = this.#approvals.get(keyOf(hashes));
    if (statements !== undefined) return statements;
    throw this.#required('This is for many hosts and needs a code of its own.', hashes);
  }

  /** Also of another process of this console. */
  #offers(): readonly Offered[] {
    return this.#options.cache.value<readonly Offered[]>(offersValue) ?? [];
  }

  #factor(): AccessFactor | null {
    const { book } = this.#options;
    return book.chain.body?.operators.find(({ subject }) => subject === book.subject)?.factor ?? null;
  }

  #isNeeded(): boolean {
    return this.#factor() !== null || (this.#options.book.chain.body?.stepUpRequired ?? false);
  }

  #required(text: string, details: Readonly<Record<string, string>>): NestError {
    if (this.#factor() === null)
      return new NestError('MFA_REQUIRED', `${text} You have none yet: enrol one with "nest mfa enrol".`, { details: { factor: 'none' } });
    return new NestError('MFA_REQUIRED', `${text} Enter a code of your authenticator.`, { details });
  }

  async #ask(
    round: {
      readonly factorId: string;
      readonly witnesses: readonly string[];
      readonly code: string;
      readonly needed: number;
      readonly act: MfaAct | null;
    },
    signal: AbortSignal,
  ): Promise<{ readonly statements: readonly SignedEnvelope[] }> {
    const { roster, clock } = this.#options;
    const answer = await askWitnesses({ ...round, roster, now: clock.now(), signal });
    this.#recoveryCodesLeft = answer.recoveryCodesLeft;
    return answer;
  }

  #keep(factorId: string, statements: readonly SignedEnvelope[]): void {
    this.#evidence.put(factorId, { statements, expiresAt: this.#options.clock.now() + stepUpLifeMs - marginMs });
    this.#show();
  }

  /** Also what another process of this console has proven. */
  #show(): ReturnType<EvidenceStore['get']> {
    const factor = this.#factor();
    const evidence = factor === null ? null : this.#evidence.get(factor.id, this.#options.clock.now());
    this.#options.operator.show(evidence);
    return evidence;
  }

  #rowOf(subject: string, { id, witnesses, enrolledAtMs }: AccessFactor): FactorRow {
    const hosts = new Map(this.#options.roster.all.map((host) => [host.record.hostId, host]));
    return {
      subject,
      factorId: id,
      enrolledAt: Number(enrolledAtMs),
      witnesses: witnesses.map((hostId) => {
        const host = hosts.get(hostId);
        return host === undefined ? { hostId, name: hostId, isLive: false } : witnessOf(host);
      }),
      needed: majorityOf(witnesses.length),
    };
  }
}

const claimSchema = z.strictObject({
  subject: z.string().regex(/^operator\/[A-Za-z0-9._@+-]{1,128}$/),
  factorId: z.string().regex(/^[0-9A-HJKMNP-TV-Z]{26}$/),
  witnesses: z.array(z.string().regex(/^[0-9A-HJKMNP-TV-Z]{26}$/)).max(witnessesMax),
});

const jsonOf = (text: string): unknown => {
  try {
    return JSON.parse(Buffer.from(text, 'base64url').toString()) as unknown;
  } catch {
    return undefined;
  }
};

const keyOf = ({ actionHash, hostSetHash }: MfaAct): string => `${actionHash} ${hostSetHash}`;

const witnessOf = (host: ManagedHost): Witness => ({ hostId: host.record.hostId, name: host.record.name, isLive: host.isLive });
