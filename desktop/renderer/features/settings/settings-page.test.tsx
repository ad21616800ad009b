import { cleanup, screen, waitFor, within } from '@testing-library/react';
import { userEvent } from '@testing-library/user-event';
import { afterEach, describe, expect, it } from 'vitest';
import { testSso } from '../../client/test-license.ts';
import { TestBridge } from '../../client/test-bridge.ts';
import { renderView } from '../../client/test-view.tsx';
import { SettingsPage } from './settings-page.tsx';

afterEach(cleanup);

const open = (bridge: TestBridge): void => void renderView(<SettingsPage state={bridge.state} />, bridge, '/settings');
const sent = (bridge: TestBridge, prefix: string): readonly unknown[] =>
  bridge.calls.filter(({ method }) => method.startsWith(prefix) && !method.endsWith('.get')).map(({ method, input }) => [method, input]);

describe('the licence card', () => {
  it('shows what is covered, keeps a key, and removes it only after the question', async () => {
    const user = userEvent.setup();
    const bridge = new TestBridge();
    open(bridge);
    const card = await screen.findByTestId('license');
    await waitFor(() => expect(within(card).getByTestId('license-state').textContent).toBe('Community: no licence'));
    expect(card.textContent).toContain('2 of 3');
    await user.type(within(card).getByTestId('license-key'), 'PENG-AB12-CD34-EF56-GH78-IJ90');
    await user.click(within(card).getByTestId('license-set'));
    await waitFor(() => expect(within(card).getByTestId('license-state').textContent).toBe('valid'));
    expect(card.textContent).toContain('…IJ90');
    expect(card.textContent).not.toContain('AB12');
    await user.click(within(card).getByTestId('license-remove'));
    expect(sent(bridge, 'license.remove')).toEqual([]);
    await user.click(await screen.findByTestId('license-remove-confirm'));
    await waitFor(() => expect(within(card).getByTestId('license-state').textContent).toBe('Community: no licence'));
    expect(sent(bridge, 'license.').map((call) => (call as unknown[])[0])).toEqual(['license.set', 'license.remove']);
  });

  it('shows a key that is refused, with its code', async () => {
    const user = userEvent.setup();
    const refuse = () => Promise.reject(Object.assign(new Error('This is no licence key.'), { code: 'LICENSE_INVALID' }));
    open(new TestBridge({ answers: { 'license.set': refuse } }));
    await user.type(await screen.findByTestId('license-key'), 'PENG-1');
    await user.click(screen.getByTestId('license-set'));
    expect((await screen.findByRole('alert')).textContent).toContain('LICENSE_INVALID');
  });

  it('sends an entitlement file that is picked', async () => {
    const user = userEvent.setup();
    const bridge = new TestBridge();
    open(bridge);
    await user.upload(await screen.findByTestId('license-file'), new File(['{"payloadType":"x"}'], 'entitlement.json'));
    await waitFor(() => expect(sent(bridge, 'license.import')).toEqual([['license.import', { file: '{"payloadType":"x"}' }]]));
  });
});

describe('the card of single sign-on', () => {
  it('names a provider, shows the code of a sign-in, and removes it only after the question', async () => {
    const user = userEvent.setup();
    const bridge = new TestBridge();
    open(bridge);
    await user.type(await screen.findByTestId('sso-issuer'), 'https://login.example.test');
    await user.type(screen.getByTestId('sso-client'), 'nest');
    await user.type(screen.getByTestId('sso-domains'), 'Example.test, other.test');
    await user.click(screen.getByTestId('sso-save'));
    await user.click(await screen.findByTestId('sign-in-begin'));
    expect((await screen.findByTestId('sign-in-code')).textContent).toBe('WDJB-MJHT');
    await user.click(screen.getByTestId('sso-remove'));
    await user.click(await screen.findByTestId('sso-remove-confirm'));
    await waitFor(() => expect(screen.queryByTestId('sign-in')).toBeNull());
    expect(sent(bridge, 'sso.')).toEqual([
      [
        'sso.configure',
        { issuer: 'https://login.example.test', clientId: 'nest', required: false, domains: ['example.test', 'other.test'] },
      ],
      ['sso.login', {}],
      ['sso.remove', {}],
    ]);
  });

  it('says that the licence does not cover it, and who is signed in', async () => {
    const bridge = new TestBridge();
    bridge.sso = {
      ...testSso,
      isLicensed: false,
      settings: { issuer: 'https://login.example.test', clientId: 'nest', required: true, domains: [] },
      signIn: { subject: 'p1', email: 'ada@example.test', at: bridge.now(), until: bridge.now() + 3_600_000 },
    };
    open(bridge);
    const card = await screen.findByTestId('sso');
    await waitFor(() => expect(card.textContent).toContain('ada@example.test is signed in'));
    expect(card.textContent).toContain('The licence does not cover setting it up');
    expect(within(card).getByTestId('sso-logout').textContent).toBe('Sign out and lock');
  });
});
