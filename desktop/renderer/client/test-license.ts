/** A licence and single sign-on for tests of pages. */
import type { InputOf } from '../../bridge/contract.ts';
import type { LicenseView, SsoView } from '../../bridge/model.ts';

/** Release mode, no key. */
export const testLicense = (now: number): LicenseView => ({
  at: now,
  state: 'community',
  source: 'none',
  product: 'nest',
  tier: null,
  customer: null,
  key: null,
  endsAt: null,
  until: null,
  server: 'https://license.penguintech.io',
  checkedAt: null,
  triedAt: null,
  nextCheckAt: null,
  problem: null,
  notice: null,
  hosts: { used: 2, max: 3 },
  clusters: { used: 0, max: 1 },
  features: [{ name: 'sso', isOn: false }],
  file: null,
});

/** No provider. */
export const testSso: SsoView = { settings: null, isLicensed: true, signIn: null, login: null, withoutSignIn: null, events: [] };

/** What a test bridge answers; it remembers the key and the provider. */
export const licenseAnswers = (bridge: { readonly now: () => number; sso: SsoView; license: LicenseView | null }) => {
  const put = (part: Partial<LicenseView>): LicenseView => (bridge.license = { ...(bridge.license ?? testLicense(bridge.now())), ...part });
  return {
    'license.get': () => put({}),
    'license.set': ({ key }: InputOf<'license.set'>) =>
      put({ state: 'valid', tier: 'enterprise', key: { origin: 'vault', ending: key.slice(-4) }, hosts: { used: 2, max: null } }),
    'license.remove': () => put({ state: 'community', tier: null, key: null, hosts: { used: 2, max: 3 } }),
    'license.check': () => ({ license: put({ checkedAt: bridge.now() }), feature: null }),
    'license.import': () => put({ state: 'valid', source: 'file' }),
    'sso.get': () => bridge.sso,
    'sso.configure': (settings: InputOf<'sso.configure'>) => (bridge.sso = { ...bridge.sso, settings }),
    'sso.remove': () => (bridge.sso = testSso),
    'sso.login': () =>
      (bridge.sso = {
        ...bridge.sso,
        login: {
          state: 'waiting',
          verificationUri: 'https://login.example.test/device',
          verificationUriComplete: null,
          userCode: 'WDJB-MJHT',
          expiresAt: bridge.now() + 600_000,
          problem: null,
        },
      }),
    'sso.cancel': () => (bridge.sso = { ...bridge.sso, login: null }),
    'sso.logout': () => (bridge.sso = { ...bridge.sso, signIn: null }),
  };
};
