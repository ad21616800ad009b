/** Single sign-on in whole consoles: set up, made compulsory, the provider away, somebody else, a forged sign-in; and the command line. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { SsoView } from '../../desktop/bridge/model.ts';
import { openTestConsole } from '../../desktop/cli/test-console.ts';
import { createConsoleCore, createMemorySettings, createMemoryVault } from '../../desktop/core/api.ts';
import type { ConsoleCore, CredentialVault } from '../../desktop/core/api.ts';
import type { FleetCache } from '../../desktop/core/cache/fleet-cache.ts';
import { openFleetCache } from '../../desktop/core/cache/sqlite-fleet-cache.ts';
import { readLicenseSettings } from '../../desktop/core/license/license-settings.ts';
import { startFakeProvider } from '../../desktop/core/sso/fake-oidc-provider.ts';
import type { FakeProvider } from '../../desktop/core/sso/fake-oidc-provider.ts';
import { createVerdictProgram } from '../../desktop/core/trace/verdict-program.ts';
import { systemClock, systemRandom } from '../../desktop/lib/api.ts';

const never = new AbortController().signal;
const passphrase = 'correct horse battery';
const hour = 3_600_000;

let folder: string;
let vault: CredentialVault;
let cache: FleetCache;
let core: ConsoleCore;
let provider: FakeProvider;
let aheadMs: number;

const start = (environment: Readonly<Record<string, string>> = {}): void => {
  cache = openFleetCache(join(folder, 'fleet.sqlite'), Date.now()).cache;
  core = createConsoleCore({
    clock: { ...systemClock(), now: () => Date.now() + aheadMs, sleep: (ms, signal) => systemClock().sleep(Math.min(ms, 20), signal) },
    random: systemRandom,
    cache,
    vaults: [vault],
    settings: createMemorySettings(),
    version: '0.0.0',
    verdictProgram: createVerdictProgram(),
    report: () => undefined,
    license: readLicenseSettings(environment),
  });
};

const restart = async (environment: Readonly<Record<string, string>> = {}): Promise<void> => {
  await core.close();
  start(environment);
};

const unlock = (withoutSignIn?: string) =>
  core.handlers['fleet.unlock']({ passphrase, ...(withoutSignIn === undefined ? {} : { withoutSignIn }) }, never);

const login = async (): Promise<SsoView> => {
  await core.handlers['sso.login']({}, never);
  for await (const view of core.handlers['sso.watch']({}, AbortSignal.timeout(10_000))) if (view.login?.state !== 'waiting') return view;
  throw new Error('the sign-in did not end');
};

const configure = (required: boolean, domains: string[] = []) =>
  core.handlers['sso.configure']({ issuer: provider.issuer, clientId: provider.clientId, required, domains }, never);

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nest-sso-'));
  vault = createMemoryVault();
  aheadMs = 0;
  provider = await startFakeProvider(() => Date.now() + aheadMs);
  start();
  await core.handlers['fleet.create']({ fleetName: 'Test', operatorName: 'ada', storage: 'passphrase', passphrase }, never);
});
afterEach(async () => {
  await core.close();
  await provider.stop();
  await rm(folder, { recursive: true, force: true });
});

describe('a compulsory sign-in', () => {
  beforeEach(async () => {
    await configure(false, ['example.test']);
    await expect(configure(true, ['example.test'])).rejects.toMatchObject({ code: 'SIGN_IN_REQUIRED' });
    expect(await login()).toMatchObject({ login: { state: 'done' }, signIn: { email: 'ada@example.test' } });
    await configure(true, ['example.test']);
  });

  it('opens the console for twelve hours and no longer, also after a restart', async () => {
    await restart();
    expect(await unlock()).toMatchObject({ phase: 'open' });
    await restart();
    aheadMs = 12 * hour + 60_000;
    await expect(unlock()).rejects.toMatchObject({ code: 'SIGN_IN_REQUIRED' });
    expect(await core.handlers['console.state']({}, never)).toMatchObject({ phase: 'locked' });
    expect(await core.handlers['sso.get']({}, never)).toMatchObject({
      settings: { required: true, issuer: provider.issuer },
      isLicensed: null,
    });
    expect(await login()).toMatchObject({ login: { state: 'done' } });
    expect(await unlock()).toMatchObject({ phase: 'open' });
    expect(await core.handlers['sso.get']({}, never)).toMatchObject({ signIn: { subject: 'person-1' }, withoutSignIn: null });
  });

  it('does not open it for somebody else, another domain, or a sign-in that was not sealed by the vault', async () => {
    await core.handlers['sso.logout']({}, never);
    expect(await core.handlers['console.state']({}, never)).toMatchObject({ phase: 'locked' });
    provider.claims = { sub: 'person-2' };
    await login();
    await expect(unlock()).rejects.toMatchObject({ code: 'SIGN_IN_REQUIRED', message: expect.stringContaining('Somebody else') });
    provider.claims = { email: 'ada@other.test' };
    await login();
    await expect(unlock()).rejects.toMatchObject({ code: 'SIGN_IN_REQUIRED' });
    cache.putValue('sso-sign-in', { nonce: 'AAAAAAAAAAAAAAAA', box: Buffer.alloc(80).toString('base64') });
    await expect(unlock()).rejects.toMatchObject({ code: 'SIGN_IN_REQUIRED' });
    const second = await startFakeProvider();
    try {
      // What lies outside of the vault may send people elsewhere, but that opens nothing.
      cache.putValue('sso-hint', { issuer: second.issuer, clientId: second.clientId, required: false, domains: [] });
      expect(await login()).toMatchObject({ login: { state: 'done' } });
      await expect(unlock()).rejects.toMatchObject({ code: 'SIGN_IN_REQUIRED' });
    } finally {
      await second.stop();
    }
  });

  it('gives way to the passphrase alone only while the provider is away, with a reason that is kept and shown', async () => {
    aheadMs = 13 * hour;
    await restart();
    await expect(unlock('the provider is slow')).rejects.toMatchObject({
      code: 'SIGN_IN_REQUIRED',
      message: expect.stringContaining('answers'),
    });
    provider.status = 503;
    await expect(unlock()).rejects.toMatchObject({ code: 'SIGN_IN_REQUIRED' });
    expect(await unlock('the provider is down')).toMatchObject({ phase: 'open' });
    const view = await core.handlers['sso.get']({}, never);
    expect(view).toMatchObject({ withoutSignIn: { reason: 'the provider is down' }, signIn: null });
    expect(view.events[0]).toMatchObject({ kind: 'opened-without-sign-in', detail: 'the provider is down' });
    provider.status = 200;
    expect(await login()).toMatchObject({ login: { state: 'done' }, withoutSignIn: null });
  });

  it('is not lifted by a licence that ends: what is set up goes on, and can be taken away', async () => {
    await restart({ RELEASE_MODE: 'true' });
    expect(await unlock()).toMatchObject({ phase: 'open' });
    expect(await core.handlers['sso.get']({}, never)).toMatchObject({ isLicensed: false, settings: { required: true } });
    await expect(configure(false)).rejects.toMatchObject({ code: 'QUOTA_EXCEEDED', details: { quota: 'sso' } });
    await core.handlers['sso.logout']({}, never);
    await expect(unlock()).rejects.toMatchObject({ code: 'SIGN_IN_REQUIRED' });
    await login();
    await unlock();
    expect(await core.handlers['sso.remove']({}, never)).toMatchObject({ settings: null });
    await restart({ RELEASE_MODE: 'true' });
    expect(await unlock()).toMatchObject({ phase: 'open' });
  });
});

describe('nest sso', () => {
  it('configures, signs in with a code for any browser, makes it compulsory, and opens without it only with a reason', async () => {
    const console = await openTestConsole('');
    const nest = (...args: string[]) => console.nest(args);
    try {
      await nest('fleet', 'init', 'Test');
      expect((await nest('sso', 'configure')).code).toBe(2);
      expect((await nest('sso', 'login')).notes).toContain('NOT_FOUND');
      const named = ['--issuer', provider.issuer, '--client-id', provider.clientId, '--domain', 'example.test'];
      expect((await nest('sso', 'configure', ...named)).code).toBe(0);
      const signedIn = await nest('sso', 'login');
      expect(signedIn).toMatchObject({
        code: 0,
        notes: expect.stringContaining('WDJB-MJHT'),
        out: expect.stringContaining('ada@example.test'),
      });
      expect((await nest('sso', 'configure', '--required')).out).toContain('Compulsory   yes');
      expect((await nest('hosts', 'ls')).code).toBe(0);
      expect((await nest('sso', 'logout')).code).toBe(0);
      expect(await nest('hosts', 'ls')).toMatchObject({ code: 1, notes: expect.stringContaining('SIGN_IN_REQUIRED') });
      expect(await nest('hosts', 'ls', '--without-sign-in', 'no reason')).toMatchObject({ code: 1 });
      expect(JSON.parse((await nest('sso', 'status', '--locked', '--json')).out)).toMatchObject({
        settings: { required: true },
        signIn: null,
      });
      provider.status = 503;
      expect((await nest('hosts', 'ls', '--without-sign-in', 'provider is down')).code).toBe(0);
      provider.status = 200;
      provider.pending = 'access_denied';
      expect(await nest('sso', 'login')).toMatchObject({ code: 1, notes: expect.stringContaining('SIGN_IN_FAILED') });
    } finally {
      await console.close();
    }
  });
});
