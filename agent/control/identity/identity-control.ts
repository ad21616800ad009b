import { timingSafeEqual } from 'node:crypto';
import { NestError } from '../../../proto/model/error.ts';
import { tokenLifeMs } from '../../../proto/model/limits.ts';
import { rootChangeOf } from '../../../proto/model/root-change.ts';
import type { SignedEnvelope } from '../../../proto/model/root-change.ts';
import type { Clock, Timer } from '../../lib/clock.ts';
import type { RandomSource } from '../../lib/random.ts';
import { generateAgentKey } from './agent-key.ts';
import type { AgentKey } from './agent-key.ts';
import type { AgentIdentity, IdentityControl, IdentityProblem } from './api.ts';
import { createBootstrapCertificate, createSigningRequest } from './bootstrap-certificate.ts';
import { readCaller } from './caller.ts';
import { checkChain } from './certificate-chain.ts';
import { createClientTrust } from './client-trust.ts';
import type { ClientTrust } from './client-trust.ts';
import { createHandshake } from './handshake.ts';
import type { Handshake } from './handshake.ts';
import { openIdentityStore } from './identity-store.ts';
import type { StoredIdentity } from './identity-record.ts';
import type { IdentityStore, PendingToken, TokenEnd } from './identity-store.ts';
import { checkRenewal, signKeyChange } from './renewal.ts';
import { takeRevocationLists } from './revocation-lists.ts';
import { takeRootStep } from './root-change.ts';
import { parseToken } from './token.ts';

export interface IdentityOptions {
  readonly stateDir: string;
  readonly clock: Clock;
  readonly random: RandomSource;
}

interface OpenEnrollment {
  readonly token: PendingToken;
  readonly handshake: Handshake;
  /** By the monotonic clock: setting the host's time does not lengthen it. */
  readonly endsAtMonotonicMs: number;
  readonly timer: Timer;
}

const serialBytes = 16;

/** Loads or makes the key, takes up an enrolment left open by the last run. Throws STATE_CORRUPT, STATE_FAILED. */
export const createIdentityControl = async (options: IdentityOptions): Promise<IdentityControl> => {
  const control = new Identity(options, await openIdentityStore(options.stateDir));
  await control.resume();
  return control;
};

class Identity implements IdentityControl {
  readonly #options: IdentityOptions;
  readonly #store: IdentityStore;
  readonly #listeners = new Set<() => void>();
  #open: OpenEnrollment | null = null;
  /** After five wrong proofs only a restart opens again: somebody is trying. */
  #barred = false;
  #completing = false;
  #bootstrapCertificate: Promise<string> | null = null;
  /** Made for a change of keys that has not been finished. */
  #freshKey: AgentKey | null = null;
  #lastChange: Promise<unknown> = Promise.resolve();
  readonly #trust: ClientTrust;

  constructor(options: IdentityOptions, store: IdentityStore) {
    this.#options = options;
    this.#store = store;
    this.#trust = createClientTrust({ store, clock: options.clock, onChanged: () => this.#changed() });
  }

  async resume(): Promise<void> {
    const { pending, identity } = this.#store;
    if (pending === null) return;
    const remainingMs = Math.min(pending.expiresAtMs - this.#options.clock.nowMs(), tokenLifeMs);
    if (identity !== null || remainingMs <= 0) await this.#store.spendToken(pending.id, identity === null ? 'expired' : 'closed');
    else this.#openFor(pending, remainingMs);
  }

  identity(): AgentIdentity | null {
    const stored = this.#store.identity;
    if (stored === null) return null;
    const { key } = this.#store;
    return {
      agentId: stored.agentId,
      fleetId: stored.fleetId,
      certificate: stored.leaf,
      certificateChain: stored.chain,
      privateKey: key.privateKeyPem,
      fleetRoot: stored.root,
      rootStep: stored.rootStep,
      endsAtMs: stored.endsAtMs,
      fingerprint: key.fingerprint,
    };
  }

  fingerprint(): string {
    return this.#store.key.fingerprint;
  }

  async openEnrollment(text: string): Promise<{ readonly fingerprint: string; readonly expiresAtMs: number }> {
    const token = parseToken(text);
    this.#refuseSpent(token.id);
    if (this.#store.identity !== null) throw alreadyEnrolled(this.#store.identity.fleetId);
    if (this.#barred) throw barred();
    const { clock } = this.#options;
    // The same token typed twice goes on with its first ten minutes.
    const current = this.#open;
    if (current !== null && current.token.id.equals(token.id))
      return { fingerprint: this.#store.key.fingerprint, expiresAtMs: current.token.expiresAtMs };
    await this.#retirePending(token.id);
    const pending: PendingToken = { ...token, expiresAtMs: clock.nowMs() + tokenLifeMs };
    await this.#store.savePending(pending);
    if (current !== null) current.timer.cancel();
    this.#openFor(pending, tokenLifeMs);
    return { fingerprint: this.#store.key.fingerprint, expiresAtMs: pending.expiresAtMs };
  }

  enrollment(): { readonly fingerprint: string; readonly expiresAtMs: number; readonly attemptsLeft: number } | null {
    if (this.#open === null) return null;
    return {
      fingerprint: this.#store.key.fingerprint,
      expiresAtMs: this.#open.token.expiresAtMs,
      attemptsLeft: this.#open.handshake.attemptsLeft,
    };
  }

  async begin(request: Parameters<IdentityControl['begin']>[0]): ReturnType<IdentityControl['begin']> {
    const { handshake } = await this.#enrollmentOf(request.tokenId);
    return handshake.begin(request.consoleSpkiHash, request.consoleNonce);
  }

  async prove(request: Parameters<IdentityControl['prove']>[0]): ReturnType<IdentityControl['prove']> {
    const open = await this.#enrollmentOf(request.tokenId);
    await this.#counting(open, () => open.handshake.prove(request.consoleSpkiHash, request.consoleProof));
    return { signingRequest: await createSigningRequest(this.#store.key) };
  }

  async complete(request: Parameters<IdentityControl['complete']>[0]): Promise<AgentIdentity> {
    const { clock } = this.#options;
    const open = await this.#enrollmentOf(request.tokenId);
    await this.#counting(open, () => open.handshake.checkDelivery(request.consoleSpkiHash, request, request.mac));
    if (this.#completing)
      throw new NestError('ENROLLMENT_CLOSED', 'The enrolment of this host is being finished by another call. Ask for its status.');
    const chain = checkChain(request, {
      rootSpkiHash: open.token.rootSpkiHash,
      agentSpkiHash: this.#store.key.spkiHash,
      nowMs: clock.nowMs(),
    });
    this.#completing = true;
    try {
      // Burn first: a crash in between costs a new token, never a second use of this one.
      await this.#store.spendToken(open.token.id, 'used');
      await this.#store.saveIdentity(chain, clock.nowMs());
    } finally {
      this.#completing = false;
      this.#shut(open);
    }
    return this.#identityNow();
  }

  async tls(): ReturnType<IdentityControl['tls']> {
    const { key, identity } = this.#store;
    if (identity !== null)
      return {
        certificate: identity.chain,
        privateKey: key.privateKeyPem,
        authorities: identity.root,
        revocationLists: this.#trust.contextLists(),
        revokedAuthorities: this.#trust.revokedAuthorities(),
      };
    const { clock, random } = this.#options;
    this.#bootstrapCertificate ??= createBootstrapCertificate(key, { nowMs: clock.nowMs(), serial: random.bytes(serialBytes) });
    return {
      certificate: await this.#bootstrapCertificate,
      privateKey: key.privateKeyPem,
      authorities: null,
      revocationLists: null,
      revokedAuthorities: '',
    };
  }

  callerOf(certificate: Parameters<IdentityControl['callerOf']>[0]): ReturnType<IdentityControl['callerOf']> {
    const { fleetId, rootNames } = this.#enrolled();
    return readCaller(certificate, { fleetId, rootNames, nowMs: this.#options.clock.nowMs() });
  }

  async renewalRequest(hasFreshKey: boolean): ReturnType<IdentityControl['renewalRequest']> {
    const { agentId } = this.#enrolled();
    const { key } = this.#store;
    if (!hasFreshKey) return { signingRequest: await createSigningRequest(key), presentKeySignature: new Uint8Array() };
    this.#freshKey = generateAgentKey();
    return { signingRequest: await createSigningRequest(this.#freshKey), presentKeySignature: signKeyChange(agentId, key, this.#freshKey) };
  }

  installCertificate(certificateChain: readonly Uint8Array[]): Promise<AgentIdentity> {
    return this.#oneByOne(async () => {
      const present = this.#enrolled();
      const keys = [this.#store.key, ...(this.#freshKey === null ? [] : [this.#freshKey])];
      const { chain, key } = checkRenewal(present, certificateChain, { keys, nowMs: this.#options.clock.nowMs() });
      const { leaf, endsAtMs } = chain;
      await this.#store.replaceIdentity({ ...present, leaf, endsAtMs, chain: chain.chain }, key);
      if (key === this.#freshKey) this.#freshKey = null;
      this.#changed();
      return this.#identityNow();
    });
  }

  installRevocationLists(offer: Parameters<IdentityControl['installRevocationLists']>[0]): Promise<number> {
    return this.#oneByOne(async () => {
      const present = this.#enrolled();
      const { taken, ...kept } = await takeRevocationLists(present, offer, this.#options.clock.nowMs());
      if (taken === 0 && kept.authorities.length === present.authorities.length) return 0;
      await this.#store.replaceIdentity({ ...present, ...kept });
      this.#changed();
      return taken;
    });
  }

  takeRootChange(envelope: SignedEnvelope): Promise<AgentIdentity> {
    return this.#oneByOne(async () => {
      const present = this.#enrolled();
      const changed = await takeRootStep(present, envelope, this.#options.clock.nowMs());
      if (changed !== null) {
        await this.#store.replaceIdentity({ ...present, ...changed });
        this.#changed();
      }
      return this.#identityNow();
    });
  }

  rootChange(): SignedEnvelope | null {
    const bytes = this.#store.identity?.rootChange ?? null;
    return bytes === null ? null : rootChangeOf(bytes);
  }

  revocation(): ReturnType<IdentityControl['revocation']> {
    return this.#trust.report();
  }

  isCertificateRevoked(certificate: { readonly issuer: string; readonly serial: string }): boolean {
    return this.#trust.isRevoked(certificate);
  }

  judgeClient(certificateChain: readonly Uint8Array[]): void {
    this.#trust.judgeClient(certificateChain);
  }

  problem(): IdentityProblem | null {
    return this.#trust.problem();
  }

  leave(): Promise<void> {
    return this.#oneByOne(async () => {
      this.#enrolled();
      await this.#store.forgetIdentity();
      [this.#freshKey, this.#bootstrapCertificate] = [null, null];
      this.#changed();
    });
  }

  onChanged(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  close(): void {
    this.#open?.timer.cancel();
    this.#trust.close();
    this.#listeners.clear();
  }

  /** A token on disk that is not open any more has expired; one that gives way to another is closed. */
  async #retirePending(nextId: Uint8Array): Promise<void> {
    const { pending } = this.#store;
    if (pending === null) return;
    const isOpen = this.#open?.token.id.equals(pending.id) === true;
    await this.#store.spendToken(pending.id, isOpen ? 'closed' : 'expired');
    if (pending.id.equals(nextId)) throw expired();
  }

  #openFor(token: PendingToken, remainingMs: number): void {
    const { clock, random } = this.#options;
    const timer = clock.after(remainingMs, () => {
      if (this.#open?.token === token) this.#shut(this.#open);
    });
    this.#open = {
      token,
      timer,
      handshake: createHandshake(token, this.#store.key.spkiHash, random),
      endsAtMonotonicMs: clock.monotonicMs() + remainingMs,
    };
    this.#changed();
  }

  /** Ends the enrolment in memory; what is on disk is the caller's. */
  #shut(open: OpenEnrollment): void {
    open.timer.cancel();
    if (this.#open === open) this.#open = null;
    this.#changed();
  }

  async #enrollmentOf(tokenId: Uint8Array): Promise<OpenEnrollment> {
    this.#refuseSpent(tokenId);
    const { identity } = this.#store;
    if (identity !== null) throw alreadyEnrolled(identity.fleetId);
    if (this.#barred) throw barred();
    const open = this.#open ?? this.#pendingButOver(tokenId);
    if (open === null) throw closed();
    if (tokenId.length !== open.token.id.length || !timingSafeEqual(tokenId, open.token.id)) {
      throw new NestError(
        'TOKEN_INVALID',
        'This host waits for another join token. Check the host, or run "nest-agent join" on it with this token.',
      );
    }
    if (this.#options.clock.monotonicMs() < open.endsAtMonotonicMs) return open;
    await this.#store.spendToken(tokenId, 'expired');
    this.#shut(open);
    throw expired();
  }

  /** The timer has shut the enrolment but nobody has asked since: tell the truth about its token. */
  #pendingButOver(tokenId: Uint8Array): null {
    if (this.#store.pending?.id.equals(tokenId) === true) throw expired();
    return null;
  }

  #refuseSpent(tokenId: Uint8Array): void {
    const end: TokenEnd | null = this.#store.tokenEnd(tokenId);
    if (end === 'used')
      throw new NestError(
        'TOKEN_USED',
        'This join token was used already, and each is good for one host once. Make a new one in the console.',
      );
    if (end === 'expired') throw expired();
    if (end === 'closed') throw this.#barred ? barred() : closed();
  }

  /** Runs a check of a proof; the last wrong one closes the enrolment until a restart. */
  async #counting(open: OpenEnrollment, check: () => void): Promise<void> {
    try {
      check();
    } catch (error) {
      if (open.handshake.attemptsLeft <= 0 && !this.#barred) {
        this.#barred = true;
        this.#shut(open);
        await this.#store.spendToken(open.token.id, 'closed');
      }
      throw error;
    }
  }

  /** Throws NOT_ENROLLED. */
  #enrolled(): StoredIdentity {
    const { identity } = this.#store;
    if (identity === null) throw new NestError('NOT_ENROLLED', 'This host belongs to no fleet yet. Run "nest-agent join <token>" on it.');
    return identity;
  }

  #identityNow(): AgentIdentity {
    const identity = this.identity();
    if (identity === null) throw new NestError('INTERNAL', 'The identity was stored but cannot be read. Restart the agent.');
    return identity;
  }

  /** Changes of the stored identity follow each other. */
  #oneByOne<Result>(work: () => Promise<Result>): Promise<Result> {
    const result = this.#lastChange.then(work);
    this.#lastChange = result.catch(() => undefined);
    return result;
  }

  #changed(): void {
    for (const listener of this.#listeners) listener();
  }
}

const expired = (): NestError =>
  new NestError('TOKEN_EXPIRED', 'The ten minutes of this join token are over. Make a new one in the console.');
const closed = (): NestError =>
  new NestError('ENROLLMENT_CLOSED', 'No enrolment is open on this host. Run "nest-agent join <token>" on it with a new token.');
const barred = (): NestError =>
  new NestError(
    'ENROLLMENT_CLOSED',
    'Enrolment is closed after five wrong proofs: somebody may be trying to get in between. Restart the agent, then join with a new token.',
  );
const alreadyEnrolled = (fleetId: string): NestError =>
  new NestError(
    'ALREADY_ENROLLED',
    `This host belongs to the fleet ${fleetId}. To move it, run "nest-agent leave --yes" on it, then join again.`,
  );
