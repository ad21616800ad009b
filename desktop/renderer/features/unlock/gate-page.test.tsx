import { cleanup, screen, waitFor } from '@testing-library/react';
import { userEvent } from '@testing-library/user-event';
import { afterEach, describe, expect, it } from 'vitest';
import { TestBridge } from '../../client/test-bridge.ts';
import { testSso } from '../../client/test-license.ts';
import { renderView } from '../../client/test-view.tsx';
import { GatePage } from './gate-page.tsx';

afterEach(cleanup);

describe('creating a fleet', () => {
  it('offers the passphrase, and says why the keychain is not available', async () => {
    const user = userEvent.setup();
    const bridge = new TestBridge({ state: { phase: 'empty', storage: null } });
    renderView(<GatePage state={bridge.state} failure={null} />, bridge);
    expect(screen.getByText('Not available: no secret service answers on this session bus')).toBeDefined();
    const create = screen.getByRole<HTMLButtonElement>('button', { name: 'Create fleet' });
    await user.type(screen.getByLabelText('Fleet name'), 'lab');
    await user.type(screen.getByLabelText('Your name'), 'Olga');
    await user.type(screen.getByLabelText('Passphrase'), 'correct horse battery');
    await user.type(screen.getByLabelText('Passphrase again'), 'correct horse batterx');
    expect(create.disabled).toBe(true);
    await user.type(screen.getByLabelText('Passphrase again'), '{Backspace}y');
    await user.click(create);
    await waitFor(() =>
      expect(bridge.calls).toContainEqual({
        method: 'fleet.create',
        input: { fleetName: 'lab', operatorName: 'Olga', storage: 'passphrase', passphrase: 'correct horse battery' },
      }),
    );
  });

  it('fills nothing in beforehand', () => {
    const bridge = new TestBridge({ state: { phase: 'empty', storage: null } });
    renderView(<GatePage state={bridge.state} failure={null} />, bridge);
    expect(
      ['Fleet name', 'Your name', 'Passphrase', 'Passphrase again'].map((label) => screen.getByLabelText<HTMLInputElement>(label).value),
    ).toEqual(['', '', '', '']);
  });
});

describe('unlocking', () => {
  it('shows a refused passphrase with its code and empties the field', async () => {
    const user = userEvent.setup();
    const refuse = () =>
      Promise.reject(Object.assign(new Error('The passphrase does not open the keys: type it again.'), { code: 'PASSPHRASE_WRONG' }));
    const bridge = new TestBridge({ state: { phase: 'locked' }, answers: { 'fleet.unlock': refuse } });
    renderView(<GatePage state={bridge.state} failure={null} />, bridge);
    await user.type(screen.getByLabelText('Passphrase'), 'wrong one{Enter}');
    expect((await screen.findByRole('alert')).textContent).toContain('PASSPHRASE_WRONG');
    await waitFor(() => expect(screen.getByLabelText<HTMLInputElement>('Passphrase').value).toBe(''));
  });

  it('asks for no passphrase when the keys are in the keychain', () => {
    const bridge = new TestBridge({ state: { phase: 'locked', storage: 'keychain' } });
    renderView(<GatePage state={bridge.state} failure={null} />, bridge);
    expect(screen.queryByLabelText('Passphrase')).toBeNull();
    expect(screen.getByRole<HTMLButtonElement>('button', { name: 'Unlock' }).disabled).toBe(false);
  });

  it('asks for a sign-in where one is compulsory, and for a reason when there is none', async () => {
    const user = userEvent.setup();
    const refuse = () => Promise.reject(Object.assign(new Error('Sign in first.'), { code: 'SIGN_IN_REQUIRED' }));
    const bridge = new TestBridge({ state: { phase: 'locked' }, answers: { 'fleet.unlock': refuse } });
    bridge.sso = { ...testSso, settings: { issuer: 'https://login.example.test', clientId: 'nest', required: true, domains: [] } };
    renderView(<GatePage state={bridge.state} failure={null} />, bridge);
    await user.click(await screen.findByTestId('sign-in-begin'));
    expect((await screen.findByTestId('sign-in-code')).textContent).toBe('WDJB-MJHT');
    await user.type(screen.getByLabelText('Passphrase'), 'a passphrase{Enter}');
    await user.type(await screen.findByTestId('without-sign-in'), 'provider is down');
    await user.type(screen.getByLabelText('Passphrase'), 'a passphrase{Enter}');
    await waitFor(() =>
      expect(bridge.calls.at(-1)).toEqual({
        method: 'fleet.unlock',
        input: { passphrase: 'a passphrase', withoutSignIn: 'provider is down' },
      }),
    );
  });
});
