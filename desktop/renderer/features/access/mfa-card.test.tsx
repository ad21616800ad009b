import { cleanup, screen, waitFor } from '@testing-library/react';
import { userEvent } from '@testing-library/user-event';
import { afterEach, describe, expect, it } from 'vitest';
import type { AccessView, FactorOffer, FactorRow } from '../../../bridge/model.ts';
import { TestBridge } from '../../client/test-bridge.ts';
import { renderView } from '../../client/test-view.tsx';
import { MfaCard } from './mfa-card.tsx';

afterEach(cleanup);

const witnesses = [
  { hostId: '01J00000000000000000000001', name: 'edge-1', isLive: true },
  { hostId: '01J00000000000000000000002', name: 'edge-2', isLive: false },
];
const offer: FactorOffer = {
  factorId: '01J0000000000000000000000F',
  secret: 'MZXW6YTBOI',
  uri: 'otpauth://totp/Nest',
  recoveryCodes: ['AAAA-BBBB-CCCC-DDDD'],
  witnesses,
};
const factor: FactorRow = { subject: 'operator/olga', factorId: offer.factorId, enrolledAt: 1_700_000_000_000, witnesses, needed: 2 };
const view = { self: { subject: 'operator/olga', keyId: null, isOwner: true } } as AccessView;

describe('the second factor on the access page', () => {
  it('is enrolled with a first code, and its secret is gone with the dialog', async () => {
    const user = userEvent.setup();
    const bridge = new TestBridge({
      answers: {
        'mfa.enrol': () => offer,
        'mfa.confirm': () => {
          bridge.mfa = { ...bridge.mfa, factor, factors: [factor] };
          return { state: bridge.mfa, claim: null };
        },
      },
    });
    renderView(<MfaCard view={view} change={() => undefined} />, bridge);
    expect(await screen.findByText(/You have no second factor\./)).toBeDefined();
    await user.click(screen.getByTestId('mfa-enrol'));
    expect((await screen.findByTestId('mfa-secret')).textContent).toBe(offer.secret);
    await user.type(screen.getByTestId('mfa-code'), '123456');
    await user.click(screen.getByTestId('mfa-confirm'));
    await waitFor(() => expect(screen.queryByTestId('mfa-dialog')).toBeNull());
    expect(bridge.calls.find(({ method }) => method === 'mfa.confirm')?.input).toEqual({ factorId: offer.factorId, code: '123456' });
    await waitFor(() =>
      expect(screen.getByTestId('mfa').textContent).toContain('edge-1, edge-2 (does not answer); 2 of 2 must check a code'),
    );
  });

  it('shows what an owner has to take up, and takes away only after the question', async () => {
    const user = userEvent.setup();
    const bridge = new TestBridge({
      answers: {
        'mfa.enrol': () => offer,
        'mfa.confirm': () => ({ state: bridge.mfa, claim: 'nestfactor1.abc' }),
        'mfa.remove': () => bridge.mfa,
      },
    });
    bridge.mfa = { ...bridge.mfa, factor, factors: [factor] };
    renderView(<MfaCard view={view} change={() => undefined} />, bridge);
    const remove = await screen.findByRole('button', { name: 'Take away the second factor of operator/olga' });
    await user.click(remove);
    expect(bridge.calls.some(({ method }) => method === 'mfa.remove')).toBe(false);
    await user.click(screen.getByTestId('confirm'));
    expect(bridge.calls.find(({ method }) => method === 'mfa.remove')?.input).toEqual({ subject: 'operator/olga' });
    await user.click(screen.getByTestId('mfa-enrol'));
    await user.type(await screen.findByTestId('mfa-code'), '123456');
    await user.click(screen.getByTestId('mfa-confirm'));
    expect((await screen.findByTestId('mfa-claim')).textContent).toBe('nestfactor1.abc');
  });

  it('says why it cannot be loaded', async () => {
    const bridge = new TestBridge({
      answers: {
        'mfa.get': () => {
          throw Object.assign(new Error('The fleet is locked.'), { code: 'FLEET_LOCKED' });
        },
      },
    });
    renderView(<MfaCard view={view} change={null} />, bridge);
    expect((await screen.findByRole('alert')).textContent).toContain('The fleet is locked.');
  });
});
