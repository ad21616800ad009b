import { cleanup, screen, waitFor, within } from '@testing-library/react';
import { userEvent } from '@testing-library/user-event';
import { Route, Routes } from 'react-router';
import { afterEach, describe, expect, it } from 'vitest';
import { TestBridge } from '../../client/test-bridge.ts';
import { testPlan } from '../../client/test-fleet.ts';
import { renderView } from '../../client/test-view.tsx';
import { planMade } from '../../client/window-slice.ts';
import { ReviewPage } from './review-page.tsx';

afterEach(cleanup);

const review = (indexes: readonly number[], { isMeasured = true } = {}) => {
  const bridge = new TestBridge();
  const hosts = indexes.flatMap((index) => bridge.hosts[index] ?? []);
  const made = testPlan(hosts, bridge.now());
  const plan = isMeasured ? made : { ...made, hosts: made.hosts.map((host) => ({ ...host, impact: null })) };
  bridge.plan = plan;
  const page = (
    <Routes>
      <Route path="/policy/review/:planId" element={<ReviewPage />} />
      <Route path="*" element={null} />
    </Routes>
  );
  const view = renderView(page, bridge, `/policy/review/${plan.planId}`);
  view.store.dispatch(planMade({ plan, policy: '{}', hostIds: hosts.map(({ hostId }) => hostId) }));
  return { view, bridge, plan };
};

describe('the review page', () => {
  it('says first how many flows are cut, and names them', async () => {
    review([0]);
    expect((await screen.findByTestId('impact-cut')).textContent).toBe('425 will be cut, 400 of them live now');
    const rows = within(screen.getByTestId('impact-flows')).getAllByRole('row');
    expect(rows[1]?.textContent).toContain('payments → ledger-db198.18.31.17:41812 → 198.18.9.12:5432 tcp');
    expect(rows[1]?.textContent).toContain('deny-db-from-edge');
  });

  it('applies only after a dialog that names hosts and flows', async () => {
    const user = userEvent.setup();
    const { view, bridge } = review([0]);
    await user.selectOptions(await screen.findByTestId('confirm-within'), '120');
    await user.click(screen.getByRole('button', { name: 'Apply…' }));
    const dialog = within(await screen.findByRole('dialog', { name: 'Apply to 1 host?' }));
    expect(dialog.getByTestId('apply-hosts').textContent).toContain('edge-ams-011');
    await user.click(dialog.getByRole('button', { name: 'Apply and cut 400 live flows' }));
    await waitFor(() => expect(view.address()).toBe('/rollout/rollout-1'));
    expect(bridge.calls).toContainEqual({ method: 'policy.apply', input: { planId: 'plan-5c1e', confirmWithinSeconds: 120 } });
  });

  it('does not say that nothing is cut where nothing was measured', async () => {
    const user = userEvent.setup();
    review([0], { isMeasured: false });
    expect((await screen.findByTestId('impact')).textContent).toContain('the effect is not known');
    await user.click(await screen.findByRole('button', { name: 'Apply…' }));
    expect((await screen.findByRole('dialog')).textContent).toContain('how many are cut is not known');
  });

  it('wants the number typed when more than a thousand flows are cut', async () => {
    const user = userEvent.setup();
    review([0, 1, 3]);
    await user.click(await screen.findByRole('button', { name: 'Apply…' }));
    const apply = await screen.findByRole<HTMLButtonElement>('button', { name: 'Apply and cut 1,200 live flows' });
    expect(apply.disabled).toBe(true);
    await user.type(screen.getByTestId('apply-typed'), '1200');
    expect(apply.disabled).toBe(false);
  });

  it('does not offer to apply when no host can, and says why', async () => {
    review([6]);
    expect((await screen.findByRole<HTMLButtonElement>('button', { name: 'Apply…' })).disabled).toBe(true);
    expect(screen.getByTestId('warnings').textContent).toContain('edge-ams-017 cannot be planned');
    expect(screen.getByTestId('impact').textContent).toContain('nothing was planned');
  });

  it('sends back to the editor when the plan is not of this window', () => {
    renderView(<ReviewPage />, new TestBridge(), '/policy/review/other');
    expect(screen.getByRole('heading', { name: 'This plan is not here any more' })).toBeDefined();
  });
});
