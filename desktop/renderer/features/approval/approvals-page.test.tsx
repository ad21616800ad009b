import { cleanup, screen, waitFor, within } from '@testing-library/react';
import { userEvent } from '@testing-library/user-event';
import { afterEach, describe, expect, it } from 'vitest';
import { TestBridge } from '../../client/test-bridge.ts';
import { renderView } from '../../client/test-view.tsx';
import { ApprovalsPage } from './approvals-page.tsx';

afterEach(cleanup);

describe('the page of approvals and drift', () => {
  it('approves what another has asked for, after a question, and not what one asked for oneself', async () => {
    const user = userEvent.setup();
    const bridge = new TestBridge({
      answers: { 'approval.approve': () => Promise.reject(Object.assign(new Error('It has moved on.'), { code: 'REVISION_CONFLICT' })) },
    });
    renderView(<ApprovalsPage />, bridge, '/approvals');
    const [first, second] = await screen.findAllByTestId('approval');
    expect(first?.textContent).toContain('waits, not in force');
    expect(within(second ?? document.body).getByTestId<HTMLButtonElement>('approve').disabled).toBe(true);
    await user.click(within(first ?? document.body).getByTestId('approve'));
    await user.click(screen.getByTestId('approve-confirm'));
    expect(await within(screen.getByTestId('approve-dialog')).findByText(/It has moved on\./)).toBeTruthy();
    expect(bridge.calls.find(({ method }) => method === 'approval.approve')?.input).toMatchObject({ mapping: 'web-in-1', revision: 118 });
  });

  it('shows drift with what it is, looks on request and changes the mode', async () => {
    const user = userEvent.setup();
    const bridge = new TestBridge();
    renderView(<ApprovalsPage />, bridge, '/approvals');
    const [row] = await screen.findAllByTestId('drift-row');
    expect(row?.textContent).toContain('interface wan0: Taken off.');
    await user.selectOptions(within(row ?? document.body).getByTestId('drift-mode'), 'heal');
    await user.click(within(row ?? document.body).getByTestId('drift-check'));
    await waitFor(() => expect(bridge.calls.some(({ method }) => method === 'drift.check')).toBe(true));
    expect(bridge.calls.find(({ method }) => method === 'drift.mode')?.input).toMatchObject({ mode: 'heal' });
  });

  it('calls no kernel sound that nobody has looked at', async () => {
    const row = (hostId: string, checkedAt: number | null) => ({
      hostId,
      hostName: hostId,
      live: true,
      drift: { mode: 'report' as const, checkedAt, findings: [], healed: 0 },
    });
    let rows = [row('one', null), row('two', null)];
    const bridge = new TestBridge({ answers: { 'drift.list': () => Promise.resolve(rows) } });
    const view = renderView(<ApprovalsPage />, bridge, '/approvals');
    await waitFor(() => expect(screen.getByTestId('drift').textContent).toContain('Not looked at yet'));
    for (const line of await screen.findAllByTestId('drift-row')) expect(line.textContent).toContain('not looked at yet');
    view.unmount();
    rows = [row('one', 1_700_000_000_000), row('two', null)];
    renderView(<ApprovalsPage />, new TestBridge({ answers: { 'drift.list': () => Promise.resolve(rows) } }), '/approvals');
    await waitFor(() => expect(screen.getByTestId('drift').textContent).toContain('No drift on 1 of 2 hosts'));
    const [first, second] = await screen.findAllByTestId('drift-row');
    expect(first?.textContent).toContain('as it should be');
    expect(second?.textContent).toContain('not looked at yet');
  });

  it('is complete when nothing asks for an approval and there are no hosts', async () => {
    renderView(<ApprovalsPage />, new TestBridge({ hosts: [] }), '/approvals');
    expect(await screen.findByText('No mapping asks for an approval')).toBeTruthy();
    expect(await screen.findByText('No hosts')).toBeTruthy();
  });
});
