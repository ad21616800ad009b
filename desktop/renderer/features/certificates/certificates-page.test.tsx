import { cleanup, screen, waitFor, within } from '@testing-library/react';
import { userEvent } from '@testing-library/user-event';
import { afterEach, describe, expect, it } from 'vitest';
import { TestBridge } from '../../client/test-bridge.ts';
import { renderView } from '../../client/test-view.tsx';
import { CertificatesPage } from './certificates-page.tsx';

afterEach(cleanup);

describe('the certificates page', () => {
  it('shows what ends first on top, says how soon and what renews it, and counts the alerts', async () => {
    renderView(<CertificatesPage />, new TestBridge(), '/certificates');
    const rows = await screen.findAllByTestId('certificate');
    expect(rows.map((row) => within(row).getAllByRole('cell')[0]?.textContent)).toEqual([
      'ada (this device)Operator device',
      'edge-ams-01Host',
      'agentsIssuing authority',
      'Test fleet rootFleet root',
    ]);
    expect(rows[0]?.textContent).toContain('ends within 7 days');
    expect(screen.getByTestId('certificates').textContent).toContain('2 alerts');
    expect(within(rows[3] ?? document.body).queryByTestId('revoke')).toBeNull();
  });

  it('renews a host and revokes a device only after the question', async () => {
    const user = userEvent.setup();
    const bridge = new TestBridge();
    renderView(<CertificatesPage />, bridge, '/certificates');
    await user.click(await screen.findByTestId('renew'));
    await user.click(screen.getAllByTestId('revoke')[0] ?? document.body);
    await user.click(await screen.findByTestId('revoke-confirm'));
    await waitFor(() => expect(screen.queryByTestId('revoke-dialog')).toBeNull());
    expect(bridge.calls.filter(({ method }) => /renew|revoke/.test(method)).map(({ method, input }) => ({ method, input }))).toEqual([
      { method: 'certificate.renew', input: { hostId: '01J00000000000000000000001' } },
      { method: 'certificate.revoke', input: { serial: 'ab01' } },
    ]);
    await waitFor(() => expect(screen.getAllByTestId('certificate')[0]?.textContent).toContain('revoked'));
  });

  it('goes to the last step of a change of the root only after the question, and past a host on the old root only when it is left behind', async () => {
    const user = userEvent.setup();
    const bridge = new TestBridge();
    renderView(<CertificatesPage />, bridge, '/certificates');
    expect((await screen.findByTestId('root-phase')).textContent).toContain('Re-issue');
    expect(screen.getAllByTestId('root-hold')[0]?.textContent).toContain('edge-ams-01, away');
    await user.click(screen.getByTestId('root-advance'));
    expect((await screen.findByTestId('root-confirm')).hasAttribute('disabled')).toBe(true);
    await user.click(screen.getByRole('checkbox'));
    await user.click(screen.getByTestId('root-confirm'));
    await waitFor(() => expect(screen.queryByTestId('root-dialog')).toBeNull());
    expect(bridge.calls.filter(({ method }) => method === 'root-change.advance').map(({ input }) => input)).toEqual([
      { leaveBehind: true },
    ]);
  });
});
