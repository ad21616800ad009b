import { cleanup, screen, waitFor, within } from '@testing-library/react';
import { userEvent } from '@testing-library/user-event';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { AuditHeadRow, AuditRow, AuditTimeline } from '../../../bridge/model.ts';
import { TestBridge } from '../../client/test-bridge.ts';
import type { TestBridgeOptions } from '../../client/test-bridge.ts';
import { renderView } from '../../client/test-view.tsx';
import { AuditPage } from './audit-page.tsx';

afterEach(cleanup);

const now = 1_700_000_000_000;
const head = (more: Partial<AuditHeadRow> = {}): AuditHeadRow => ({
  hostId: 'a',
  hostName: 'edge-a',
  state: 'sound',
  number: 1204,
  hash: 'ab'.repeat(32),
  signedAt: now - 4_000,
  checkedAt: now - 3_000,
  firstNumber: 1,
  alarm: null,
  gap: null,
  problem: null,
  ...more,
});
const row = (number: number, more: Partial<AuditRow> = {}): AuditRow => ({
  hostId: 'a',
  hostName: 'edge-a',
  number,
  at: now - number,
  actor: 'spiffe://01j/operator/ada',
  device: 'cd'.repeat(32),
  source: '198.18.0.7',
  action: '/nest.v1.ConfigService/ApplyConfig',
  target: 'transactionId=t1',
  requestHash: 'ef'.repeat(32),
  result: 'OK',
  revisionBefore: 118,
  revisionAfter: 119,
  opening: 3,
  count: 1,
  detail: '',
  ...more,
});
const timeline = (rows: readonly AuditRow[], hosts: AuditTimeline['hosts'] = []): AuditTimeline => ({ at: now, rows, hosts });

const show = (answers: TestBridgeOptions['answers'], more: TestBridgeOptions = {}): TestBridge => {
  const bridge = new TestBridge({
    answers: { 'audit.heads': () => [head()], 'audit.list': () => timeline([row(4)]), ...answers },
    ...more,
  });
  renderView(<AuditPage />, bridge, '/audit');
  return bridge;
};

describe('the audit page', () => {
  it('shows every log with its state, and entries of all hosts with what they mean', async () => {
    const user = userEvent.setup();
    show({
      'audit.list': () => timeline([row(4), row(9, { hostName: 'edge-b', actor: '', result: 'SCOPE_MISSING', count: 40, opening: null })]),
    });
    expect((await screen.findByTestId('audit-head-state')).textContent).toBe('Whole');
    const grid = await screen.findByTestId('audit-rows');
    expect(grid.textContent).toContain('operator/ada');
    expect(grid.textContent).toContain('118 → 119');
    expect(grid.textContent).toContain('SCOPE_MISSING × 40');
    expect(grid.textContent).toContain('a stranger');
    await user.click(within(grid).getAllByTestId('audit-entry')[0] as HTMLElement);
    const dialog = await screen.findByTestId('audit-entry-dialog');
    expect(dialog.textContent).toContain('ef'.repeat(32));
    expect(dialog.textContent).toContain('Ends entry3');
  });

  it('raises the alarm, and accepts a log only after a question', async () => {
    const user = userEvent.setup();
    const alarm = { at: now, number: 21, message: 'The audit log ends with entry 20, but entry 42 was signed for.' };
    const bridge = show({ 'audit.heads': () => [head({ state: 'alarm', alarm })], 'audit.accept': () => head() });
    expect((await screen.findByTestId('audit-alarm')).textContent).toContain('entry 42 was signed for');
    await user.click(screen.getByTestId('audit-accept'));
    expect(bridge.calls.some(({ method }) => method === 'audit.accept')).toBe(false);
    await user.click(await screen.findByTestId('audit-accept-confirm'));
    await waitFor(() => expect(bridge.calls).toContainEqual({ method: 'audit.accept', input: { hostId: 'a' } }));
  });

  it('says what verifying found', async () => {
    const user = userEvent.setup();
    const problem = { number: 7, message: 'Entry 7 is missing.' };
    show({ 'audit.verify': () => ({ hostId: 'a', hostName: 'edge-a', first: 1, last: 6, entries: 6, durationMs: 3, problem }) });
    await user.click(await screen.findByTestId('audit-verify'));
    expect((await screen.findByText(/Entry 7: Entry 7 is missing/)).className).toBe('crit');
  });

  it('asks for what the filter says', async () => {
    const user = userEvent.setup();
    const bridge = show({});
    await user.selectOptions(await screen.findByTestId('audit-outcome'), 'refused');
    await user.type(screen.getByTestId('audit-actor'), 'ada');
    await waitFor(() =>
      expect(bridge.calls).toContainEqual({ method: 'audit.list', input: { outcome: 'refused', actor: 'ada', limit: 500 } }),
    );
  });

  it('has words for no entries, for a host that is gone, for a failure and for no host', async () => {
    const gone = {
      hostId: 'a',
      hostName: 'edge-a',
      live: false,
      searchedTo: null,
      hasMore: false,
      problem: { code: 'HOST_UNREACHABLE', message: 'It does not answer.' },
    };
    show({ 'audit.list': () => timeline([], [gone]) });
    expect((await screen.findByTestId('audit-absent')).textContent).toContain('edge-a could not be read: It does not answer.');
    expect(screen.getByText('No entry fits')).toBeDefined();
    cleanup();
    const refuse = () => Promise.reject(Object.assign(new Error('Unlock the fleet first.'), { code: 'FLEET_LOCKED' }));
    show({ 'audit.list': refuse, 'audit.heads': refuse });
    expect((await screen.findAllByText('Unlock the fleet first.')).length).toBe(2);
    cleanup();
    show({}, { hosts: [] });
    expect(await screen.findByText('No host, no log')).toBeDefined();
  });

  it('saves an export piece by piece', async () => {
    const user = userEvent.setup();
    const saved: Blob[] = [];
    vi.stubGlobal(
      'URL',
      Object.assign(URL, { createObjectURL: (blob: Blob) => `blob:${String(saved.push(blob))}`, revokeObjectURL: () => undefined }),
    );
    const click = vi.spyOn(HTMLAnchorElement.prototype, 'click').mockImplementation(() => undefined);
    const bridge = show({
      'audit.exportHeader': () => ({ text: 'header\n', next: 0 }),
      'audit.export': ({ after }) => (after === 0 ? { text: 'one\n', next: 1000 } : { text: 'two\n', next: null }),
    });
    await user.click(await screen.findByTestId('audit-export'));
    await waitFor(() => expect(saved).toHaveLength(1));
    const hosts = bridge.hosts.filter(({ state }) => state === 'healthy' || state === 'degraded').length;
    expect(saved[0]?.size).toBe('header\n'.length + hosts * 'one\ntwo\n'.length);
    expect(click).toHaveBeenCalledOnce();
    vi.unstubAllGlobals();
    click.mockRestore();
  });
});
