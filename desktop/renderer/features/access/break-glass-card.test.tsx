import { cleanup, screen, within } from '@testing-library/react';
import { userEvent } from '@testing-library/user-event';
import { afterEach, describe, expect, it } from 'vitest';
import type { GrantUse } from '../../../bridge/model.ts';
import { TestBridge } from '../../client/test-bridge.ts';
import { renderView } from '../../client/test-view.tsx';
import { BreakGlassCard } from './break-glass-card.tsx';

afterEach(cleanup);

const markOf = (bridge: TestBridge, operator: string, forMs: number) => ({
  grantId: operator,
  operator,
  reason: `${operator} has lost the phone`,
  since: bridge.now() - 60_000,
  until: bridge.now() + forMs,
});

describe('break glass on the access page', () => {
  it('lists the grants in force, what ends first on top, and says how to make one', async () => {
    const bridge = new TestBridge();
    bridge.hosts = bridge.hosts.map((host, index) => {
      if (index === 1) return { ...host, breakGlass: [markOf(bridge, 'operator/bob', 90_000), markOf(bridge, 'operator/old', -1_000)] };
      return index === 3 ? { ...host, breakGlass: [markOf(bridge, 'operator/ada', 30_000)] } : host;
    });
    renderView(<BreakGlassCard />, bridge);
    const rows = within(await screen.findByTestId('break-glass-uses'))
      .getAllByRole('row')
      .slice(1);
    expect(rows.map(({ textContent }) => textContent)).toEqual([
      expect.stringMatching(/operator\/ada.*0:30operator\/ada has lost the phone$/),
      expect.stringMatching(/operator\/bob.*1:30operator\/bob has lost the phone$/),
    ]);
    expect(within(rows[0] ?? document.body).getByRole('link').textContent).toBe(bridge.hosts[3]?.name);
    for (const command of ['nest break-glass seal', 'nest break-glass grant', 'nest break-glass cosign'])
      expect(screen.getByTestId('break-glass').textContent).toContain(command);
  });

  it('says of how many hosts nothing is known now', async () => {
    const bridge = new TestBridge();
    bridge.hosts = bridge.hosts.map((host, index) => ({ ...host, state: index < 2 ? 'offline' : 'healthy' }));
    renderView(<BreakGlassCard />, bridge);
    expect((await screen.findByTestId('grants-unheard')).textContent).toBe('2 hosts do not answer: shown is what was said last.');
    cleanup();
    bridge.hosts = bridge.hosts.map((host) => ({ ...host, state: 'healthy' }));
    renderView(<BreakGlassCard />, bridge);
    await screen.findByText('Nobody works under a grant now.');
    expect(screen.queryByTestId('grants-unheard')).toBeNull();
  });

  it('uses a grant after a question, and says what each host answered', async () => {
    const user = userEvent.setup();
    const uses: readonly GrantUse[] = [
      { hostId: '01J00000000000000000000001', hostName: 'edge-1', until: 1_700_000_000_000, problem: null },
      { hostId: '01J00000000000000000000002', hostName: 'edge-2', until: null, problem: { code: 'REVOKED', message: 'You are locked.' } },
    ];
    const bridge = new TestBridge({ answers: { 'breakGlass.use': () => uses } });
    renderView(<BreakGlassCard />, bridge);
    expect(await screen.findByText('Nobody works under a grant now.')).toBeDefined();
    const button = screen.getByRole('button', { name: 'Use it…' });
    expect(button.hasAttribute('disabled')).toBe(true);
    await user.type(screen.getByTestId('grant-text'), ' Grant ');
    await user.click(button);
    expect(bridge.calls.some(({ method }) => method === 'breakGlass.use')).toBe(false);
    await user.click(screen.getByTestId('confirm'));
    const answers = await screen.findByTestId('grant-answers');
    expect(bridge.calls.find(({ method }) => method === 'breakGlass.use')?.input).toEqual({ grant: 'Grant' });
    expect(answers.textContent).toMatch(/edge-1: in force until .*edge-2: You are locked\./);
  });
});
