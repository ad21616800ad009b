import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../lib/api.ts';
import type { Clock } from '../../lib/api.ts';
import { startFakeProvider } from './fake-oidc-provider.ts';
import type { FakeProvider } from './fake-oidc-provider.ts';
import { beginDeviceLogin, isProviderThere } from './oidc-provider.ts';
import type { SignIn } from './sso-binding.ts';

const never = new AbortController().signal;
let provider: FakeProvider;
let pauses: number[];
let onPause: (count: number) => void;
/** Sleeps not at all, and counts. */
const clock: Clock = {
  ...systemClock(),
  sleep: (ms) => {
    pauses.push(ms);
    onPause(pauses.length);
    return Promise.resolve();
  },
};

beforeEach(async () => {
  provider = await startFakeProvider();
  pauses = [];
  onPause = () => undefined;
});
afterEach(() => provider.stop());

const signIn = async (): Promise<SignIn> => (await beginDeviceLogin(provider, clock, never)).wait(never);

describe('a sign-in by the device flow', () => {
  it('waits at the pace of the provider, and knows the person from the ID token', async () => {
    provider.pending = 'authorization_pending';
    onPause = (count) => {
      provider.pending = count === 2 ? 'slow_down' : count > 3 ? null : 'authorization_pending';
    };
    const login = await beginDeviceLogin(provider, clock, never);
    expect(login).toMatchObject({ userCode: 'WDJB-MJHT', verificationUri: provider.verificationUri });
    expect(await login.wait(never)).toMatchObject({ issuer: provider.issuer, subject: 'person-1', email: 'ada@example.test' });
    expect(pauses).toEqual([1_000, 1_000, 6_000, 6_000]);
    expect(provider.requests.filter((line) => line === 'GET /jwks').length).toBe(1);
  });

  it('takes RSA signatures, and an address only when the provider has verified it', async () => {
    provider.algorithm = 'RS256';
    provider.claims = { email_verified: false };
    expect(await signIn()).toMatchObject({ subject: 'person-1', email: null });
  });

  it.each<[string, (provider: FakeProvider) => void]>([
    ['signed by a key that is not published', (it) => void (it.isSignedRight = false)],
    ['without a signature', (it) => void (it.algorithm = 'none')],
    ['signed with the client id as a secret', (it) => void (it.algorithm = 'HS256')],
    ['for another client', (it) => void (it.claims = { aud: 'other' })],
    ['of another issuer', (it) => void (it.claims = { iss: 'https://issuer.example.test' })],
    ['that has expired', (it) => void (it.claims = { exp: 1_000, iat: 900 })],
    ['without a subject', (it) => void (it.claims = { sub: undefined })],
    ['that is missing', (it) => void (it.algorithm = null)],
    ['refused by the person', (it) => void (it.pending = 'access_denied')],
    ['too late', (it) => void (it.pending = 'expired_token')],
  ])('refuses a token %s', async (_what, spoil) => {
    spoil(provider);
    await expect(signIn()).rejects.toMatchObject({ code: 'SIGN_IN_FAILED', details: { reason: 'refused' } });
  });

  it('refuses to send people to an address that is not https', async () => {
    provider.verificationUri = 'http://198.18.0.1/activate';
    await expect(signIn()).rejects.toMatchObject({ code: 'SIGN_IN_FAILED' });
  });

  it('says that a client is not known, and gives up when told to', async () => {
    const stranger = { issuer: provider.issuer, clientId: 'other' };
    await expect(beginDeviceLogin(stranger, clock, never)).rejects.toMatchObject({ message: expect.stringContaining('client id') });
    provider.pending = 'authorization_pending';
    const stop = new AbortController();
    const waiting = (await beginDeviceLogin(provider, systemClock(), never)).wait(stop.signal);
    stop.abort();
    await expect(waiting).rejects.toMatchObject({ code: 'CANCELLED' });
  });
});

describe('whether a provider is there', () => {
  it('is yes when it answers anything, and no when it is away or broken', async () => {
    expect(await isProviderThere(provider, never)).toBe(true);
    provider.status = 404;
    expect(await isProviderThere(provider, never)).toBe(true);
    provider.status = 503;
    expect(await isProviderThere(provider, never)).toBe(false);
    const gone = await startFakeProvider();
    await gone.stop();
    expect(await isProviderThere(gone, never)).toBe(false);
    await expect(beginDeviceLogin(gone, clock, never)).rejects.toMatchObject({
      code: 'SIGN_IN_FAILED',
      details: { reason: 'unreachable' },
    });
  });
});
