import { cleanup, screen } from '@testing-library/react';
import { userEvent } from '@testing-library/user-event';
import { afterEach, describe, expect, it } from 'vitest';
import { useUpdateDenyListMutation } from '../client/bridge-api.ts';
import { TestBridge } from '../client/test-bridge.ts';
import { renderView } from '../client/test-view.tsx';
import { BreakGlassBanner } from './banners.tsx';
import { StepUpDialog } from './step-up-dialog.tsx';

afterEach(cleanup);

const refusal = (code: string, message: string, details: object = {}): Error => Object.assign(new Error(message), { code, details });

/** A button that changes a host, and what became of it. */
const Changer = () => {
  const [send, { data, error }] = useUpdateDenyListMutation();
  const failure = error === undefined ? '' : 'code' in error ? (error.code ?? '') : '';
  return (
    <>
      <button type="button" onClick={() => void send({ hostId: '01J00000000000000000000001', name: 'scanners', add: [], remove: [] })}>
        Change
      </button>
      <output>{data === undefined ? failure : 'done'}</output>
    </>
  );
};

const show = (details: object = {}): { readonly bridge: TestBridge; readonly proven: { is: boolean } } => {
  const proven = { is: false };
  const bridge = new TestBridge({
    answers: {
      'host.denyList.update': () => {
        if (!proven.is) throw refusal('MFA_REQUIRED', 'Enter a code.', details);
        return { added: 0, removed: 0, prefixes: 0 };
      },
      'mfa.stepUp': ({ code }) => {
        if (code !== '123456') throw refusal('MFA_WRONG', 'The code is wrong. 4 tries are left before a pause.');
        proven.is = true;
        return bridge.mfa;
      },
    },
  });
  renderView(
    <>
      <Changer />
      <StepUpDialog />
    </>,
    bridge,
  );
  return { bridge, proven };
};
const calls = (bridge: TestBridge): readonly string[] => bridge.calls.map(({ method }) => method);

describe('the dialog for a second factor', () => {
  it('comes with a refusal, says what is wrong with a code, and makes the call again once', async () => {
    const user = userEvent.setup();
    const { bridge } = show();
    await user.click(screen.getByRole('button', { name: 'Change' }));
    await user.type(await screen.findByTestId('step-up-code'), '000000');
    await user.click(screen.getByTestId('step-up-submit'));
    expect((await screen.findByRole('alert')).textContent).toContain('4 tries are left');
    await user.type(screen.getByTestId('step-up-code'), '123456');
    await user.click(screen.getByTestId('step-up-submit'));
    expect((await screen.findByText('done')).textContent).toBe('done');
    expect(screen.queryByTestId('step-up')).toBeNull();
    expect(calls(bridge)).toEqual(['host.denyList.update', 'mfa.stepUp', 'mfa.stepUp', 'host.denyList.update']);
  });

  it('gives the refusal to the page when the person gives up, and hands on what the code is for', async () => {
    const user = userEvent.setup();
    const act = { actionHash: 'ab'.repeat(32), hostSetHash: 'cd'.repeat(32) };
    const { bridge } = show(act);
    await user.click(screen.getByRole('button', { name: 'Change' }));
    await user.click(await screen.findByRole('button', { name: 'Give up' }));
    expect(await screen.findByText('MFA_REQUIRED')).toBeDefined();
    await user.click(screen.getByRole('button', { name: 'Change' }));
    await user.type(await screen.findByTestId('step-up-code'), '123456{Enter}');
    await screen.findByText('done');
    expect(bridge.calls.find(({ method }) => method === 'mfa.stepUp')?.input).toEqual({ code: '123456', act });
  });

  it('does not come to who has nothing to prove', async () => {
    const user = userEvent.setup();
    show({ factor: 'none' });
    await user.click(screen.getByRole('button', { name: 'Change' }));
    expect(await screen.findByText('MFA_REQUIRED')).toBeDefined();
    expect(screen.queryByTestId('step-up')).toBeNull();
  });
});

describe('the banner of a break-glass grant', () => {
  it('names who, where, why and how long, and cannot be closed', async () => {
    const bridge = new TestBridge();
    const use = { grantId: 'g', operator: 'operator/bob', reason: 'witnesses lost', since: bridge.now(), until: bridge.now() + 90_000 };
    bridge.hosts = bridge.hosts.map((host, index) => (index === 3 ? { ...host, breakGlass: [use] } : host));
    renderView(<BreakGlassBanner />, bridge);
    const banner = await screen.findByTestId('break-glass-banner');
    expect(banner.textContent).toContain(
      `Break-glass on ${bridge.hosts[3]?.name ?? ''}.operator/bob may do everything for another 1:30: witnesses lost`,
    );
    expect(screen.queryByRole('button')).toBeNull();
  });
});
