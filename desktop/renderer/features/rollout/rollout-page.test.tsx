import { cleanup, screen, waitFor } from '@testing-library/react';
import { userEvent } from '@testing-library/user-event';
import { Route, Routes } from 'react-router';
import { afterEach, describe, expect, it } from 'vitest';
import type { Rollout } from '../../../bridge/model.ts';
import { TestBridge } from '../../client/test-bridge.ts';
import { renderView } from '../../client/test-view.tsx';
import { RolloutPage } from './rollout-page.tsx';

afterEach(cleanup);

const now = 1_700_000_000_000;
const pending: Rollout = {
  rolloutId: 'rollout-1',
  planId: 'plan-1',
  startedAt: now,
  confirmWithinSeconds: 60,
  state: 'pending',
  rollbackAt: now + 42_000,
  hosts: [
    {
      hostId: 'a',
      hostName: 'edge-a',
      state: 'pending',
      revision: 119,
      previousRevision: 118,
      rollbackAt: now + 42_000,
      loadMs: 2.4,
      problem: null,
    },
    {
      hostId: 'b',
      hostName: 'edge-b',
      state: 'failed',
      revision: null,
      previousRevision: 118,
      rollbackAt: null,
      loadMs: null,
      problem: { code: 'ENGINE_FAILED', message: 'The verifier refused the program.' },
    },
  ],
};

const follow = (rollout: Rollout): TestBridge => {
  const bridge = new TestBridge();
  bridge.rollout = rollout;
  const page = (
    <Routes>
      <Route path="/rollout/:id" element={<RolloutPage />} />
    </Routes>
  );
  renderView(page, bridge, '/rollout/rollout-1');
  return bridge;
};

describe('the rollout page', () => {
  it('counts down to the rollback and shows every host with its problem', async () => {
    follow(pending);
    expect((await screen.findByTestId('countdown')).textContent).toContain('0:42');
    expect(screen.getAllByTestId('rollout-host-state').map((cell) => cell.dataset['state'])).toEqual(['pending', 'failed']);
    expect(screen.getByText('ENGINE_FAILED')).toBeDefined();
  });

  it.each([
    ['Keep', 'policy.confirm', 'confirmed'],
    ['Undo now', 'policy.undo', 'rolled-back'],
  ] as const)('ends with %s', async (button, method, state) => {
    const user = userEvent.setup();
    const bridge = follow(pending);
    await user.click(await screen.findByRole('button', { name: button }));
    await waitFor(() => expect(screen.getByTestId('rollout-state').dataset['state']).toBe(state));
    expect(bridge.calls).toContainEqual({ method, input: { rolloutId: 'rollout-1' } });
    expect(screen.queryByTestId('countdown')).toBeNull();
  });

  it('says that hosts differ when some kept and others did not', async () => {
    follow({ ...pending, state: 'mixed', rollbackAt: null });
    expect((await screen.findByText('Hosts differ')).className).toContain('crit');
  });
});
