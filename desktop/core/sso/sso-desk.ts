/**
 * Single sign-on in front of the vault: a sign-in at the provider within twelve hours, beside the passphrase. What counts is the binding
 * in the vault; what is kept outside only says, while it is locked, where to sign in.
 */
import { z } from 'zod';
import { NestError, toErrorShape } from '../../../proto/model/error.ts';
import type { SsoEvent, SsoLogin, SsoSettings, SsoSignIn } from '../../bridge/model.ts';
import { createLatest, createTaskGroup } from '../../lib/api.ts';
import type { Clock, Latest, RandomBytes, TaskGroup } from '../../lib/api.ts';
import { sealOf } from '../authority/fleet-authority.ts';
import type { FleetKeys } from '../authority/fleet-authority.ts';
import type { FleetCache } from '../cache/fleet-cache.ts';
import { openValue, sealValue } from '../vault/sealed-value.ts';
import { beginDeviceLogin, isProviderThere } from './oidc-provider.ts';
import type { DeviceLogin, ProviderClient } from './oidc-provider.ts';
import { fitsBinding, isFresh, signInLifeMs, signInSchema } from './sso-binding.ts';
import type { SignIn, SsoBinding } from './sso-binding.ts';

const hintName = 'sso-hint';
const signInName = 'sso-sign-in';
const eventsName = 'sso-events';
const withoutName = 'sso-without';
const label = 'nest sign-in 1';
const eventsMax = 50;

const hintSchema = z.strictObject({ issuer: z.string(), clientId: z.string(), required: z.boolean(), domains: z.array(z.string()) });

export interface SsoDeskOptions {
  readonly cache: FleetCache;
  readonly clock: Clock;
  readonly random: RandomBytes;
  /** Of the open fleet; null while it is locked. */
  readonly keys: () => Promise<FleetKeys | null>;
  readonly report: (message: string, fields: Readonly<Record<string, unknown>>) => void;
}

export interface SsoFacts {
  readonly settings: SsoSettings | null;
  readonly signIn: SsoSignIn | null;
  readonly login: SsoLogin | null;
  readonly withoutSignIn: { readonly at: number; readonly reason: string } | null;
  readonly events: readonly SsoEvent[];
}

export class SsoDesk {
  readonly #options: SsoDeskOptions;
  readonly #changes: Latest<number> = createLatest(0);
  readonly #tasks: TaskGroup;
  #login: { readonly shown: SsoLogin; readonly stop: AbortController } | null = null;
  /** Verified, but the vault that judges and keeps it was locked. */
  #waiting: SignIn | null = null;

  constructor(options: SsoDeskOptions) {
    this.#options = options;
    this.#tasks = createTaskGroup((task, error) => {
      options.report('background work of a sign-in failed', { task, error });
    });
  }

  /** Counts up when what `facts` says may have changed. */
  get changes(): Latest<number> {
    return this.#changes;
  }

  async facts(): Promise<SsoFacts> {
    const { cache, keys, clock } = this.#options;
    const open = await keys();
    const signIn = open === null ? this.#waiting : this.#kept(open);
    const settings = open === null ? this.#hint() : settingsOf(open.sso);
    return {
      settings,
      signIn: signIn === null || !isFresh(signIn, clock.now()) ? null : shownSignIn(signIn),
      login: this.#login?.shown ?? null,
      withoutSignIn: cache.value(withoutName),
      events: this.#events(),
    };
  }

  /**
   * Lets whoever opened the vault in, or raises SIGN_IN_REQUIRED. `excuse`: why there is no sign-in; it is taken, and written down, only
   * when the provider really does not answer.
   */
  async admit(keys: FleetKeys, { excuse, signal }: { readonly excuse: string | undefined; readonly signal: AbortSignal }): Promise<void> {
    const { clock } = this.#options;
    const binding = keys.sso;
    this.#putHint(binding);
    const waiting = this.#waiting;
    if (binding !== undefined && waiting !== null && fitsBinding(waiting, binding)) this.#keep(keys, waiting);
    this.#waiting = null;
    if (binding?.required !== true) return;
    const kept = keys.seal === undefined ? null : this.#kept(keys);
    if (kept !== null && fitsBinding(kept, binding) && isFresh(kept, clock.now())) return;
    if (waiting !== null && !fitsBinding(waiting, binding))
      throw required(binding, 'Somebody else signed in than this console is bound to. Sign in as the person who set it up.');
    if (excuse === undefined) throw required(binding, `Sign in at ${binding.issuer} first: "nest sso login", or the button on this page.`);
    if (await isProviderThere(binding, signal))
      throw required(binding, `${binding.issuer} answers, so the passphrase alone does not open this console. Sign in there.`);
    this.#options.cache.putValue(withoutName, { at: clock.now(), reason: excuse });
    this.#note('opened-without-sign-in', excuse);
  }

  /** Begins a sign-in; one that was under way ends. Raises NOT_FOUND without a configuration, SIGN_IN_FAILED. */
  async login(signal: AbortSignal): Promise<void> {
    const { clock, keys } = this.#options;
    const open = await keys();
    const settings = open === null ? this.#hint() : settingsOf(open.sso);
    if (settings === null)
      throw new NestError('NOT_FOUND', 'Single sign-on is not configured. An owner does it with "nest sso configure".');
    this.cancel();
    const begun = await beginDeviceLogin(settings, clock, signal);
    const stop = new AbortController();
    this.#show({ shown: shownLogin(begun), stop });
    this.#tasks.start('sign-in', (closing) => this.#follow(begun, settings, AbortSignal.any([closing, stop.signal])));
  }

  /** Gives a sign-in that is under way up. */
  cancel(): void {
    const login = this.#login;
    if (login === null || login.shown.state !== 'waiting') return;
    login.stop.abort();
    this.#show({ ...login, shown: { ...login.shown, state: 'cancelled' } });
  }

  /** Forgets the sign-in. */
  logout(): void {
    this.cancel();
    this.#login = null;
    this.#waiting = null;
    this.#options.cache.dropValue(signInName);
    this.#note('signed-out', '');
  }

  /** The sign-in that a new configuration may be bound to. Raises SIGN_IN_REQUIRED. */
  boundTo(keys: FleetKeys, wanted: Omit<SsoBinding, 'required' | 'subject'>): string {
    const kept = this.#kept(keys);
    if (kept !== null && isFresh(kept, this.#options.clock.now()) && fitsBinding(kept, { ...wanted, subject: null })) return kept.subject;
    throw required(
      wanted,
      'Sign in once at this provider, with an address of an allowed domain, before it becomes compulsory: otherwise nobody could open this console.',
    );
  }

  /** After the binding in the vault was changed. */
  configured(binding: SsoBinding | undefined): void {
    this.#putHint(binding);
    if (binding === undefined) {
      this.#options.cache.dropValue(signInName);
      this.#options.cache.dropValue(withoutName);
    }
    this.#note(
      binding === undefined ? 'removed' : 'configured',
      binding === undefined ? '' : `${binding.issuer}${binding.required ? ', compulsory' : ''}`,
    );
  }

  async close(): Promise<void> {
    this.cancel();
    await this.#tasks.close();
    this.#changes.close();
  }

  async #follow(begun: DeviceLogin, client: ProviderClient, signal: AbortSignal): Promise<void> {
    try {
      const signIn = await begun.wait(signal);
      const open = await this.#options.keys();
      if (open?.sso !== undefined && !fitsBinding(signIn, open.sso))
        throw new NestError(
          'SIGN_IN_FAILED',
          'This person may not open this console: another one is bound to it, or the address is of another domain.',
        );
      if (open === null) this.#waiting = signIn;
      else this.#keep(open, signIn);
      this.#end({ state: 'done' });
    } catch (error) {
      const { code, message } = toErrorShape(error);
      if (code === 'CANCELLED') return;
      this.#end({ state: 'failed', problem: { code, message } });
      if (code === 'INTERNAL') this.#options.report('a sign-in failed', { issuer: client.issuer, error });
    }
  }

  #end(last: Partial<SsoLogin>): void {
    if (this.#login !== null) this.#show({ ...this.#login, shown: { ...this.#login.shown, ...last } });
  }

  #show(login: { readonly shown: SsoLogin; readonly stop: AbortController }): void {
    this.#login = login;
    this.#touch();
  }

  #keep(keys: FleetKeys, signIn: SignIn): void {
    const { cache, random } = this.#options;
    cache.putValue(signInName, sealValue({ label, value: signIn }, sealOf(keys), random));
    cache.dropValue(withoutName);
    this.#note('signed-in', signIn.email ?? signIn.subject);
  }

  #kept(keys: FleetKeys): SignIn | null {
    const parsed = signInSchema.safeParse(openValue(label, this.#options.cache.value(signInName), sealOf(keys)));
    return parsed.success && keys.sso !== undefined && fitsBinding(parsed.data, keys.sso) ? parsed.data : null;
  }

  #hint(): SsoSettings | null {
    const parsed = hintSchema.safeParse(this.#options.cache.value(hintName));
    return parsed.success ? parsed.data : null;
  }

  #putHint(binding: SsoBinding | undefined): void {
    const { cache } = this.#options;
    const settings = settingsOf(binding);
    if (settings !== null) cache.putValue(hintName, settings);
    else if (cache.value(hintName) !== null) cache.dropValue(hintName);
  }

  #events(): readonly SsoEvent[] {
    return this.#options.cache.value<readonly SsoEvent[]>(eventsName) ?? [];
  }

  #note(kind: SsoEvent['kind'], detail: string): void {
    const { cache, clock } = this.#options;
    cache.putValue(eventsName, [{ at: clock.now(), kind, detail }, ...this.#events()].slice(0, eventsMax));
    this.#touch();
  }

  #touch(): void {
    this.#changes.set(this.#changes.value + 1);
  }
}

const settingsOf = (binding: SsoBinding | undefined): SsoSettings | null => {
  if (binding === undefined) return null;
  const { issuer, clientId, required: isRequired, domains } = binding;
  return { issuer, clientId, required: isRequired, domains };
};

const shownSignIn = ({ subject, email, at }: SignIn): SsoSignIn => ({ subject, email, at, until: at + signInLifeMs });

const shownLogin = ({ verificationUri, verificationUriComplete, userCode, expiresAt }: DeviceLogin): SsoLogin => ({
  state: 'waiting',
  verificationUri,
  verificationUriComplete,
  userCode,
  expiresAt,
  problem: null,
});

const required = ({ issuer }: { readonly issuer: string }, message: string): NestError =>
  new NestError('SIGN_IN_REQUIRED', message, { details: { issuer } });
