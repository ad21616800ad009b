import { cleanup, screen, within } from '@testing-library/react';
import { userEvent } from '@testing-library/user-event';
import { Route, Routes } from 'react-router';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { HostSample } from '../../../bridge/model.ts';
import { TestBridge } from '../../client/test-bridge.ts';
import { testDetail, testHosts, testRevisions, testSample } from '../../client/test-fleet.ts';
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
      'web-vip',
      'ping',
    ]);
    expect(rows[4]?.textContent).toContain('––');
  });

  it('leads from a denied flow to the tracer, filled in', async () => {
    open(`/hosts/${idOf(2)}/flows?q=verdict%3Adenied`);
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

  it('says "no policy yet" of a host that never had one, in the facts and in the history', async () => {
    const [first, ...others] = testHosts(1_700_000_000_000);
    if (first === undefined) throw new Error('there is no host');
    const row = { ...first, revision: 0 };
    const sample = testSample(row, 1_700_000_000_000);
    const none: HostSample = { ...sample, policy: { ...sample.policy, revision: 0, generation: '' } };
    const revisions = () =>
      testRevisions(row, 0)
        .slice(0, 1)
        .map((revision) => ({ ...revision, revision: 0, generation: '', createdAt: 0 }));
    const answers = {
      'host.get': () => ({ ...testDetail(row, 1_700_000_000_000), sample: none }),
      'policy.revisions': revisions,
    };
    const bridge = new TestBridge({ hosts: [row, ...others], answers });
    vi.spyOn(bridge, 'subscribe').mockImplementation(async function* () {});
    open(`/hosts/${idOf(0)}/overview`, bridge);
    expect(await screen.findByRole('link', { name: 'no policy yet' })).toBeDefined();
    cleanup();
    open(`/hosts/${idOf(0)}/history`, bridge);
    const history = await screen.findByTestId('history');
    await within(history).findByText('everything passes');
    expect(history.textContent).toContain('Historyno policy yet');
    expect(history.textContent).not.toContain('rev 0');
  });
});
