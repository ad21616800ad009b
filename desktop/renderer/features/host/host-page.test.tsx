import { cleanup, screen, within } from '@testing-library/react';
import { userEvent } from '@testing-library/user-event';
import { Route, Routes } from 'react-router';
import { afterEach, describe, expect, it } from 'vitest';
import { TestBridge } from '../../client/test-bridge.ts';
import { renderView } from '../../client/test-view.tsx';
import { HostPage } from './host-page.tsx';

afterEach(cleanup);

const idOf = (index: number): string => `01J${String(index).padStart(23, '0')}`;
const open = (path: string, bridge = new TestBridge()) =>
  renderView(
    <Routes>
      <Route path="/hosts/:id/:tab" element={<HostPage />} />
      <Route path="*" element={null} />
    </Routes>,
    bridge,
    path,
  );

describe('the host page', () => {
  it('opens with why the host is degraded and leads from a reason to its mapping', async () => {
    open(`/hosts/${idOf(2)}/overview`);
    expect((await screen.findByTestId('why')).textContent).toContain('The flow table is nearly full');
    const mapping = await within(screen.getByTestId('drops')).findByRole('link', { name: 'block-legacy-smtp' });
    expect(mapping.getAttribute('href')).toBe(`/hosts/${idOf(2)}/policy?mapping=block-legacy-smtp`);
  });

  it('says how old everything is when the host is offline', async () => {
    open(`/hosts/${idOf(6)}/overview`);
    expect((await screen.findByTestId('offline-banner')).textContent).toContain('Everything below is 12 min old');
    expect(screen.getByTestId('live-state').textContent).toBe('12 min ago');
  });

  it('shows mappings by priority with what each counted, and a dash where nothing is counted', async () => {
    open(`/hosts/${idOf(2)}/policy`);
    const table = await screen.findByTestId('policy-table');
    await within(table).findByText('2,204,118');
    const rows = within(table).getAllByRole('row').slice(1);
    expect(rows.map((row) => within(row).getByRole('link').textContent)).toEqual([
      'block-legacy-smtp',
      'payments-db',
      'registry-in',
      'ping',
    ]);
    expect(rows[3]?.textContent).toContain('––');
  });

  it('leads from a denied flow to the tracer, filled in', async () => {
    open(`/hosts/${idOf(2)}/flows?verdict=denied`);
    const link = await screen.findByRole('link', { name: 'Trace 198.18.66.6 to 198.18.9.25' });
    expect(link.getAttribute('href')).toContain('source=198.18.66.6&sourcePort=41812&destination=198.18.9.25&destinationPort=25');
  });

  it('goes back to an older revision only after asking', async () => {
    const user = userEvent.setup();
    const bridge = new TestBridge();
    open(`/hosts/${idOf(2)}/history`, bridge);
    const [first] = await screen.findAllByRole('button', { name: 'Go back to it…' });
    if (first === undefined) throw new Error('no revision can be gone back to');
    await user.click(first);
    expect(bridge.calls.some(({ method }) => method === 'policy.rollback')).toBe(false);
    await user.click(screen.getByRole('button', { name: 'Go back now' }));
    expect(bridge.calls).toContainEqual({ method: 'policy.rollback', input: { hostId: idOf(2), toRevision: 117 } });
  });

  it('shows the failure with its code and tries again', async () => {
    const user = userEvent.setup();
    const bridge = new TestBridge({
      answers: {
        'policy.revisions': () =>
          Promise.reject(Object.assign(new Error('The host does not answer: try later.'), { code: 'HOST_OFFLINE' })),
      },
    });
    open(`/hosts/${idOf(2)}/history`, bridge);
    await screen.findByText('HOST_OFFLINE');
    delete bridge.answers['policy.revisions'];
    await user.click(screen.getByRole('button', { name: 'Try again' }));
    expect(await screen.findByText('rev 118')).toBeDefined();
  });
});
