import type { AccessFactor } from '../../../proto/model/access/body.ts';
import { isNamed } from '../../../proto/model/access/scope.ts';
import { hashesOf } from '../../../proto/model/act.ts';
import { NestError } from '../../../proto/model/error.ts';
import { checkClock, checkStepUp, sealStepUp, sessionLifeMs, statementsOf, stepUpLifeMs } from '../../../proto/model/step-up.ts';
import type { StepUpExpectation } from '../../../proto/model/step-up.ts';
import { recoveryCodes, totpSecretBytes } from '../../../proto/model/totp.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import type { AccessCaller, AccessControl } from '../access/api.ts';
import { createAgentSigner } from '../identity/api.ts';
import type { AgentIdentity, IdentityControl } from '../identity/api.ts';
import type { BreakGlassUse, FactorOffer, NewSession, Session, SessionControl, SignedAct, StepUpQuestion } from './api.ts';
import { createBreakGlass } from './break-glass.ts';
import type { BreakGlass, BreakGlassOptions } from './break-glass.ts';
import { openFactorStore } from './factor-store.ts';
import type { FactorStore } from './factor-store.ts';
import { createTokenKey, invalidSession, shortHash } from './session-token.ts';

/** Digests of what the bundle says about a subject, kept until the bundle changes. */
const digestsMax = 1_000;

export interface SessionOptions {
  /** Directory of factors.sqlite and break-glass.json; must exist. */
  readonly stateDir: string;
  readonly identity: Pick<IdentityControl, 'identity' | 'isCertificateRevoked'>;
  readonly access: AccessControl;
  readonly audit: BreakGlassOptions['audit'];
  readonly clock: Clock;
  readonly log: Logger;
  readonly raise: BreakGlassOptions['raise'];
}

/** Loads secrets and grants. Raises STATE_FAILED. */
export const createSessionControl = async (options: SessionOptions): Promise<SessionControl> => {
  const { stateDir, clock, access, audit, raise, identity } = options;
  const factors = openFactorStore(stateDir);
  if (factors.movedAside !== null)
    options.log.error('the stored second factors were damaged and moved aside', { movedAside: factors.movedAside });
  const listeners = new Set<() => void>();
  const breakGlass = await createBreakGlass({
    stateDir,
    clock,
    audit,
    raise,
    body: () => access.body(),
    isLocked: (caller) => access.isLocked(caller),
    fleet: () => identity.identity(),
    onChanged: () => {
      for (const listener of listeners) listener();
    },
  });
  return new Sessions(options, { factors, breakGlass, listeners });
};

interface Parts {
  readonly factors: FactorStore;
  readonly breakGlass: BreakGlass;
  readonly listeners: Set<() => void>;
}

class Sessions implements SessionControl {
  readonly #options: SessionOptions;
  readonly #parts: Parts;
  readonly #signerOf = createAgentSigner();
  readonly #key = createTokenKey();
  readonly #digests = new Map<string, string>();
  #named = new Map<string, AccessFactor>();
  /** Ids that the store was told to keep last; null after it took another. */
  #kept: string | null = null;
  readonly #stop: () => void;

  constructor(options: SessionOptions, parts: Parts) {
    this.#options = options;
    this.#parts = parts;
    this.#follow();
    this.#stop = options.access.onChanged(() => {
      this.#follow();
      parts.breakGlass.recheck();
    });
  }

  enroll(caller: AccessCaller, offer: FactorOffer): void {
    const isWhole =
      /^[0-9A-HJKMNP-TV-Z]{26}$/.test(offer.factorId) &&
      offer.secret.length === totpSecretBytes &&
      offer.recoverySalt.length === 16 &&
      offer.recoveryHashes.length <= recoveryCodes &&
      offer.recoveryHashes.every(({ length }) => length === 32);
    if (!isWhole || caller.kind !== 'operator')
      throw new NestError('INPUT_INVALID', 'This is no second factor of an operator. Upgrade the console.');
    this.#kept = null;
    this.#parts.factors.put(shortOf(caller), offer, this.#options.clock.nowMs());
    this.#follow();
  }

  stepUp(caller: AccessCaller, question: StepUpQuestion): ReturnType<SessionControl['stepUp']> {
    const identity = this.#enrolled();
    const nowMs = this.#options.clock.nowMs();
    checkClock(question.timeMs, nowMs);
    const { factorId, actionHash, hostSetHash } = question;
    const subject = shortOf(caller);
    const recoveryCodesLeft = this.#parts.factors.spend(subject, question, nowMs);
    const notBeforeMs = Math.round(nowMs);
    const statement = sealStepUp(
      {
        fleetId: identity.fleetId,
        subject,
        device: caller.device,
        factorId,
        witness: identity.agentId,
        notBeforeMs,
        expiresAtMs: notBeforeMs + stepUpLifeMs,
        actionHash,
        hostSetHash,
      },
      this.#signerOf(identity),
    );
    return { statement, recoveryCodesLeft };
  }

  authenticate(caller: AccessCaller, shown: Parameters<SessionControl['authenticate']>[1]): NewSession {
    const identity = this.#enrolled();
    const { clock, access } = this.#options;
    const [nowMs, mono] = [clock.nowMs(), clock.monotonicMs()];
    checkClock(shown.timeMs, nowMs);
    const expected = this.#expectationOf(caller, null);
    const checkedAtMs = Math.min(nowMs, checkStepUp(shown.statements, expected));
    const { epoch, revision } = access.head();
    const token = this.#key.issue({
      iss: identity.agentId,
      sub: caller.subject,
      cnf: shortHash(shown.certificateHash),
      iat: Math.floor(nowMs / 1000),
      exp: Math.floor((nowMs + sessionLifeMs) / 1000),
      mfa_at: Math.floor(checkedAtMs / 1000),
      mono,
      rev: `${String(epoch)}.${String(revision)}`,
      acc: this.#digestOf(caller),
    });
    return { token, lifeMs: sessionLifeMs, freshMs: Math.max(0, stepUpLifeMs - (nowMs - checkedAtMs)) };
  }

  session(caller: AccessCaller, certificateHash: Uint8Array, token: string): Session {
    const claims = this.#key.read(token);
    const { clock } = this.#options;
    if (claims.sub !== caller.subject || claims.cnf !== shortHash(certificateHash))
      throw invalidSession('it was given to another certificate than yours');
    // Whichever clock says that more time is over is believed.
    const aheadMs = Math.max(0, clock.monotonicMs() - claims.mono - (clock.nowMs() - claims.iat * 1000));
    const nowMs = clock.nowMs() + aheadMs;
    if (nowMs >= claims.exp * 1000) throw invalidSession('it has expired');
    if (claims.acc !== this.#digestOf(caller)) throw invalidSession('what you may do has changed since');
    return { isFresh: nowMs - claims.mfa_at * 1000 <= stepUpLifeMs };
  }

  needsStepUp(caller: AccessCaller): boolean {
    if (caller.kind !== 'operator' || this.grantOf(caller) !== null) return false;
    return this.#named.has(shortOf(caller)) || (this.#options.access.body()?.stepUpRequired ?? false);
  }

  isDangerous(scope: string): boolean {
    return isNamed(this.#options.access.body()?.dangerousScopes ?? [], scope);
  }

  checkAct({ subject, device, act, atMs, statements }: SignedAct): void {
    const author: AccessCaller = { subject, device, kind: 'operator' };
    if (statements === null && !this.needsStepUp(author)) return;
    if (statements === null)
      throw new NestError('MFA_REQUIRED', 'This is for many hosts and was not approved with a second factor. Sign it again with a code.');
    checkStepUp(statementsOf(statements), this.#expectationOf(author, { ...hashesOf(act), atMs }));
  }

  async useGrant(caller: AccessCaller, grant: Parameters<SessionControl['useGrant']>[1]): Promise<BreakGlassUse> {
    return this.#parts.breakGlass.useGrant(caller, grant);
  }

  grantOf(caller: AccessCaller): BreakGlassUse | null {
    return this.#parts.breakGlass.grantOf(caller);
  }

  grants(): readonly BreakGlassUse[] {
    return this.#parts.breakGlass.grants();
  }

  onChanged(listener: () => void): () => void {
    this.#parts.listeners.add(listener);
    return () => void this.#parts.listeners.delete(listener);
  }

  close(): void {
    this.#stop();
    this.#parts.listeners.clear();
    this.#parts.breakGlass.close();
    this.#parts.factors.close();
  }

  /** Takes up what the bundle says now. */
  #follow(): void {
    const body = this.#options.access.body();
    this.#digests.clear();
    this.#named = new Map(body?.operators.flatMap(({ subject, factor }) => (factor === undefined ? [] : [[subject, factor]])) ?? []);
    const ids = [...this.#named.values()].map(({ id }) => id);
    // A host without a bundle knows nothing, which is no reason to forget. Most updates change no factor: a lock should not wait for a database.
    if (body === null || this.#kept === ids.join(' ')) return;
    this.#parts.factors.keepNamed(new Set(ids));
    this.#kept = ids.join(' ');
  }

  #enrolled(): AgentIdentity {
    const identity = this.#options.identity.identity();
    if (identity !== null) return identity;
    throw new NestError('NOT_ENROLLED', 'This host belongs to no fleet yet. Run "nest-agent join <token>" on it.');
  }

  /** Raises MFA_REQUIRED for who has no second factor to show. */
  #expectationOf(caller: AccessCaller, action: StepUpExpectation['action']): StepUpExpectation {
    const { fleetRoot, fleetId } = this.#enrolled();
    const { identity, clock } = this.#options;
    const subject = shortOf(caller);
    const factor = this.#named.get(subject);
    if (factor === undefined)
      throw new NestError('MFA_REQUIRED', 'You have no second factor yet. Enrol one with "nest mfa enrol".', {
        details: { factor: 'none' },
      });
    const isRevoked: StepUpExpectation['isRevoked'] = (certificate) => identity.isCertificateRevoked(certificate);
    return { fleetRoot, fleetId, nowMs: clock.nowMs(), subject, device: caller.device, factor, action, isRevoked };
  }

  /** Over everything the bundle says about the caller: a token does not outlive a change of it. */
  #digestOf(caller: AccessCaller): string {
    const subject = shortOf(caller);
    const key = `${subject} ${caller.device}`;
    const known = this.#digests.get(key);
    if (known !== undefined) return known;
    const body = this.#options.access.body();
    const bindings = body?.bindings.filter((binding) => binding.subject === subject) ?? [];
    const roles = new Set(bindings.map(({ role }) => role));
    const said = [
      body?.operators.find((operator) => operator.subject === subject),
      bindings,
      body?.roles.filter(({ name }) => roles.has(name)),
      body?.locks.filter(({ target }) => target === subject || target === `device/${caller.device}`),
    ];
    const digest = shortHash(JSON.stringify(said, (_key, value: unknown) => (typeof value === 'bigint' ? String(value) : value)));
    if (this.#digests.size >= digestsMax) this.#digests.clear();
    this.#digests.set(key, digest);
    return digest;
  }
}

/** "operator/ada" */
const shortOf = ({ subject }: AccessCaller): string => /^spiffe:\/\/[^/]+\/(.+)$/.exec(subject)?.[1] ?? '';
