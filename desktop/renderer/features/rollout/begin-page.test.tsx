import { cleanup, screen, waitFor, within } from '@testing-library/react';
import { userEvent } from '@testing-library/user-event';
import { Route, Routes } from 'react-router';
import { afterEach, describe, expect, it } from 'vitest';
import type { StagedPlan } from '../../../bridge/rollout-model.ts';
import { TestBridge } from '../../client/test-bridge.ts';
import type { TestBridgeOptions } from '../../client/test-bridge.ts';
import { renderView } from '../../client/test-view.tsx';
import { beginRequestOf, firstForm } from './begin-form.ts';
import { BeginPage } from './begin-page.tsx';

afterEach(cleanup);

const now = 1_700_000_000_000;
const settings: StagedPlan['settings'] = {
  maxUnavailable: 1,
  failuresMax: 0,
  soakSeconds: 60,
  baselineSeconds: 15,
  gates: { dropFactor: 2, dropFloorPps: 10, flowFailureFactor: 2, flowFailureFloorPps: 1, health: true, drift: true },
  rollback: 'wave',
  offline: 'skip',
};
const planned = (hostIds: readonly string[]): StagedPlan => ({
  planId: 'plan-1',
  name: 'Policy',
  expiresAt: now + 600_000,
  settings,
  waves: hostIds.map((hostId, index) => [
    { hostId, hostName: hostId, isLive: index === 0, canApply: index === 0, problem: index === 0 ? null : 'It does not answer.' },
  ]),
  cutLive: 3,
  newlyAllowed: 1,
});

const open = (options: TestBridgeOptions): TestBridge => {
  const bridge = new TestBridge({ ...options, now: () => now });
  const pages = (
    <Routes>
      <Route path="/rollouts/new" element={<BeginPage />} />
      <Route path="/rollouts/:id" element={<p>the rollout</p>} />
    </Routes>
  );
  renderView(pages, bridge, '/rollouts/new');
  return bridge;
};

describe('the page that begins a rollout', () => {
  it('previews the draft on its hosts, asks, and begins', async () => {
    const user = userEvent.setup();
    const bridge = open({
      draft: { policy: '{"kind":"Policy"}', hostIds: ['host-1', 'host-2'], savedAt: now },
      answers: {
        'rollouts.plan': ({ hostIds }) => planned(hostIds),
        'rollouts.start': () => ({ rolloutId: 'rollout-7' }) as never,
      },
    });
    await user.click(await screen.findByTestId('begin-plan'));
    const rows = await screen.findAllByTestId('begin-host');
    expect(rows.map((row) => row.textContent)).toEqual(['1host-1yes', '2host-2noIt does not answer.']);
    expect(bridge.calls.find(({ method }) => method === 'rollouts.plan')?.input).toMatchObject({
      policy: '{"kind":"Policy"}',
      hostIds: ['host-1', 'host-2'],
      waves: [0, 5, 25, 100],
      rollback: 'wave',
    });
    await user.click(screen.getByTestId('begin-start'));
    const dialog = await screen.findByTestId('begin-dialog');
    expect(within(dialog).getByText(/3 live flows would be cut/)).toBeDefined();
    expect(bridge.calls.some(({ method }) => method === 'rollouts.start')).toBe(false);
    await user.click(screen.getByTestId('begin-confirm'));
    expect(await screen.findByText('the rollout')).toBeDefined();
    expect(bridge.calls).toContainEqual({ method: 'rollouts.start', input: { planId: 'plan-1' } });
  });

  it('says what is missing, drops a preview that is not of this form, and shows what the hosts refuse', async () => {
    const user = userEvent.setup();
    const bridge = open({
      draft: { policy: '{}', hostIds: ['host-1'], savedAt: now },
      answers: { 'rollouts.plan': ({ hostIds }) => planned(hostIds) },
    });
    await user.click(await screen.findByTestId('begin-plan'));
    await screen.findAllByTestId('begin-host');
    await user.clear(screen.getByTestId('begin-waves'));
    await user.type(screen.getByTestId('begin-waves'), '50, 20');
    expect(screen.queryAllByTestId('begin-host')).toEqual([]);
    const asked = bridge.calls.length;
    await user.click(screen.getByTestId('begin-plan'));
    expect(await screen.findByText(/Rising percentages that end with 100/)).toBeDefined();
    expect(bridge.calls).toHaveLength(asked);
    bridge.answers['rollouts.plan'] = () => {
      throw Object.assign(new Error('The policy has errors.'), { code: 'POLICY_INVALID' });
    };
    await user.clear(screen.getByTestId('begin-waves'));
    await user.type(screen.getByTestId('begin-waves'), '100');
    await user.click(screen.getByTestId('begin-plan'));
    await waitFor(() => expect(screen.getByRole('alert').textContent).toContain('POLICY_INVALID'));
  });
});

describe('the request', () => {
  const form = { ...firstForm, policy: '{}', hostIds: ['a'] };

  it('leaves empty numbers to the core', () => {
    expect(beginRequestOf(form)).toMatchObject({ faults: {}, request: { failuresMax: 0, gates: { dropFactor: 2, dropFloorPps: 10 } } });
    expect(beginRequestOf(form).request?.maxUnavailable).toBeUndefined();
  });

  it('names each field that is wrong', () => {
    const wrong = { ...form, name: ' ', hostIds: [], policy: '', soakSeconds: '1.5', dropFactor: 'x', waves: '' };
    const { request, faults } = beginRequestOf(wrong);
    expect(request).toBeNull();
    expect(Object.keys(faults).sort()).toEqual(['dropFactor', 'hostIds', 'name', 'policy', 'soakSeconds', 'waves']);
  });
});
