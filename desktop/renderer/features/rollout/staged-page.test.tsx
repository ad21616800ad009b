import { cleanup, screen, waitFor } from '@testing-library/react';
import { userEvent } from '@testing-library/user-event';
import { Route, Routes } from 'react-router';
import { afterEach, describe, expect, it } from 'vitest';
import type { IntentRow, StagedHost, StagedRollout } from '../../../bridge/rollout-model.ts';
import { TestBridge } from '../../client/test-bridge.ts';
import { renderView } from '../../client/test-view.tsx';
import { StagedListPage } from './staged-list-page.tsx';
import { StagedPage } from './staged-page.tsx';

afterEach(cleanup);

const now = 1_700_000_000_000;
const host = (hostName: string, change: Partial<StagedHost>): StagedHost => ({
  hostId: hostName,
  hostName,
  wave: 0,
  state: 'waiting',
  attempt: 1,
  baseRevision: 118,
  revision: 119,
  rollbackAt: null,
  soakLeftMs: null,
  problem: null,
  gates: [],
  ...change,
});
const rollout: StagedRollout = {
  rolloutId: 'rollout-1',
  name: 'web.json',
  startedAt: now,
  phase: 'running',
  reason: null,
  conducted: 'here',
  operator: 'spiffe://fleet/operator/olga',
  term: 1,
  wave: 1,
  waves: 2,
  settings: {
    maxUnavailable: 2,
    failuresMax: 0,
    soakSeconds: 60,
    baselineSeconds: 15,
    gates: { dropFactor: 2, dropFloorPps: 10, flowFailureFactor: 2, flowFailureFloorPps: 1, health: true, drift: true },
    rollback: 'wave',
    offline: 'skip',
  },
  hosts: [
    host('edge-a', { state: 'kept' }),
    host('edge-b', {
      wave: 1,
      state: 'soaking',
      soakLeftMs: 42_000,
      gates: [
        { gate: 'drop-rate', subject: 'POLICY_DENY', figure: 150, baseline: 50, threshold: 110, verdict: 'breached' },
        { gate: 'health', subject: '', figure: 0, baseline: 0, threshold: 0, verdict: 'passed' },
      ],
    }),
    host('edge-c', { wave: 1, state: 'failed', problem: { code: 'ENGINE_FAILED', message: 'The verifier refused the program.' } }),
  ],
};

const open = (staged: StagedRollout, path = '/rollouts/rollout-1', intents: readonly IntentRow[] = []): TestBridge => {
  const bridge = new TestBridge();
  bridge.staged = [staged];
  bridge.intents = intents;
  const pages = (
    <Routes>
      <Route path="/rollouts" element={<StagedListPage />} />
      <Route path="/rollouts/:id" element={<StagedPage />} />
    </Routes>
  );
  renderView(pages, bridge, path);
  return bridge;
};

describe('the page of a staged rollout', () => {
  it('shows waves, gates with figures against thresholds, and why a host failed', async () => {
    open(rollout);
    expect((await screen.findAllByTestId('staged-host')).map((cell) => cell.dataset['state'])).toEqual(['kept', 'soaking', 'failed']);
    expect(screen.getAllByTestId('staged-wave')).toHaveLength(2);
    const gates = screen.getAllByTestId('staged-gate');
    expect(gates.map((gate) => [gate.textContent, gate.className])).toEqual([
      ['Drops POLICY_DENY: 150 of at most 110 pps', 'crit'],
      ['Health: good', 'dim'],
    ]);
    expect(screen.getByText('ENGINE_FAILED')).toBeDefined();
  });

  it.each([
    ['Pause', {}, 'rollouts.pause', 'paused'],
    ['Abort…', {}, 'rollouts.abort', 'aborted'],
    ['Resume', { conducted: 'idle' }, 'rollouts.resume', 'running'],
    ['Take over', { conducted: 'elsewhere' }, 'rollouts.takeOver', 'running'],
  ] as const)('%s does so', async (...[name, change, method, phase]) => {
    const user = userEvent.setup();
    const bridge = open({ ...rollout, ...change });
    await user.click(await screen.findByRole('button', { name }));
    if (name === 'Abort…') {
      expect(bridge.calls.some((call) => call.method === method)).toBe(false);
      await user.click(screen.getByTestId('confirm'));
    }
    await waitFor(() => expect(bridge.calls).toContainEqual({ method, input: { rolloutId: 'rollout-1' } }));
    await waitFor(() => expect(screen.getByTestId('staged-phase').dataset['phase']).toBe(phase));
  });

  it('offers nothing when it has ended', async () => {
    open({ ...rollout, phase: 'stopped', reason: { code: 'ROLLOUT_STOPPED', message: 'edge-b drops more.' } });
    expect((await screen.findByRole('alert')).textContent).toContain('edge-b drops more.');
    expect(screen.queryAllByRole('button').filter(({ textContent }) => /Pause|Resume|Abort|Take/.test(textContent))).toEqual([]);
  });
});

describe('the list of rollouts', () => {
  it('shows rollouts and the queue of intents, and cancels one that waits', async () => {
    const user = userEvent.setup();
    const intent: IntentRow = {
      intentId: 'intent-1',
      hostId: 'edge-d',
      hostName: 'edge-d',
      operator: 'spiffe://fleet/operator/olga',
      comment: '',
      baseRevision: 7,
      createdAt: now,
      expiresAt: now + 86_400_000,
      state: 'waiting',
      problem: null,
    };
    const bridge = open(rollout, '/rollouts', [intent]);
    expect((await screen.findByRole('link', { name: 'web.json' })).getAttribute('href')).toBe('/rollouts/rollout-1');
    await user.click(await screen.findByRole('button', { name: 'Withdraw…' }));
    expect(bridge.calls.some(({ method }) => method === 'intents.cancel')).toBe(false);
    await user.click(screen.getByTestId('confirm'));
    await waitFor(() => expect(screen.getByTestId('intent-state').dataset['state']).toBe('cancelled'));
    expect(bridge.calls).toContainEqual({ method: 'intents.cancel', input: { intentId: 'intent-1' } });
  });

  it('says what to do when there are none', async () => {
    const bridge = new TestBridge();
    renderView(<StagedListPage />, bridge, '/rollouts');
    expect(await screen.findByText('No rollouts yet')).toBeDefined();
    expect(await screen.findByText('Nothing waits')).toBeDefined();
  });
});
