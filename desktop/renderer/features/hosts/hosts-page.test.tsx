import { cleanup, screen, waitFor, within } from '@testing-library/react';
import { userEvent } from '@testing-library/user-event';
import { afterEach, describe, expect, it } from 'vitest';
import { hostAddressFault } from '../../../bridge/host-address.ts';
import { TestBridge } from '../../client/test-bridge.ts';
import { renderView } from '../../client/test-view.tsx';
import { hostNameFault } from './host-faults.ts';
import { HostsPage } from './hosts-page.tsx';

afterEach(cleanup);

describe('the hosts page', () => {
  it('shows every host with its state in words and leads to it', () => {
    renderView(<HostsPage />, new TestBridge(), '/hosts');
    const table = screen.getByRole('table', { name: 'Hosts' });
    expect(table.getAttribute('aria-rowcount')).toBe('25');
    const row = within(table).getByRole('link', { name: 'edge-lon-013' }).closest<HTMLElement>('[role=row]');
    if (row === null) throw new Error('the link stands in no row');
    expect(within(row).getByText('Degraded')).toBeDefined();
    expect(within(row).getByRole('link', { name: 'edge-lon-013' }).getAttribute('href')).toBe('/hosts/01J00000000000000000000002/overview');
  });

  it('shows how old the numbers of an offline host are, and a dash for what was never measured', () => {
    renderView(<HostsPage />, new TestBridge(), '/hosts?filter=state:offline');
    expect(screen.getByText(/· 12 min ago$/)).toBeDefined();
    cleanup();
    renderView(<HostsPage />, new TestBridge(), '/hosts?filter=state:connecting');
    const cells = screen.getAllByRole('cell').map((cell) => cell.textContent);
    expect(cells.filter((text) => text === '–').length).toBeGreaterThanOrEqual(5);
    expect(cells).not.toContain('0');
  });

  it('filters while typing, keeps the filter in the address and says what it does not understand', async () => {
    const user = userEvent.setup();
    const view = renderView(<HostsPage />, new TestBridge(), '/hosts');
    await user.type(screen.getByLabelText('Filter hosts'), 'label:lon1 colour>3');
    expect(screen.getByRole('table', { name: 'Hosts' }).getAttribute('aria-rowcount')).toBe('9');
    expect(screen.getByRole('alert').textContent).toContain('colour>3 “colour” cannot be compared');
    expect(screen.getByLabelText('Filter hosts').closest('.search')?.getAttribute('data-invalid')).toBe('true');
    expect(new URLSearchParams(view.address().split('?')[1]).get('filter')).toBe('label:lon1 colour>3');
  });

  it('takes selected hosts to the policy editor', async () => {
    const user = userEvent.setup();
    const view = renderView(<HostsPage />, new TestBridge(), '/hosts');
    await user.click(screen.getByLabelText('Select edge-lon-013'));
    await user.click(screen.getByRole('button', { name: 'Plan policy' }));
    expect(view.address()).toBe('/policy?hosts=selected');
    expect(view.store.getState().window.selectedHosts).toEqual(['01J00000000000000000000002']);
  });

  it('invites to add the first host when there is none', () => {
    renderView(<HostsPage />, new TestBridge({ hosts: [] }), '/hosts');
    expect(screen.getByRole('heading', { name: 'No hosts yet' })).toBeDefined();
  });
});

describe('adding a host', () => {
  it('goes from the description over the token and the fingerprint to the host', async () => {
    const user = userEvent.setup();
    const bridge = new TestBridge();
    renderView(<HostsPage />, bridge, '/hosts?add=1');
    await user.type(await screen.findByLabelText('Name', {}, { timeout: 5_000 }), 'edge-ams-099');
    await user.type(screen.getByLabelText('Address'), '198.18.0.11');
    await user.type(screen.getByLabelText('Labels'), 'edge,ams1,');
    await user.click(screen.getByRole('button', { name: 'Make token' }));
    expect((await screen.findByTestId('join-command')).textContent).toBe('nest-agent join nest1-8G4KQ-7ZT2M-VYX0D-51RWA-HN3CJ');
    expect(bridge.calls.find(({ method }) => method === 'enrollment.begin')?.input).toEqual({
      name: 'edge-ams-099',
      address: '198.18.0.11',
      port: 50_051,
      labels: ['edge', 'ams1'],
    });

    if (bridge.enrollment === null) throw new Error('no enrolment was begun');
    bridge.enrollment = { ...bridge.enrollment, state: 'fingerprint', fingerprint: '9a41c02e77' };
    bridge.emit();
    expect((await screen.findByTestId('fingerprint')).getAttribute('aria-label')).toBe('Fingerprint 9a41 c02e 77');
    await user.click(screen.getByRole('button', { name: 'The fingerprints are the same' }));
    await waitFor(() => expect(screen.getByTestId('enrollment-state').dataset['state']).toBe('enrolled'));
    expect(screen.queryByTestId('join-token')).toBeNull();
  });

  it('shows why the core refuses, with the code', async () => {
    const user = userEvent.setup();
    const refuse = () =>
      Promise.reject(Object.assign(new Error('A host is already called so: choose another name.'), { code: 'NAME_TAKEN' }));
    renderView(<HostsPage />, new TestBridge({ answers: { 'enrollment.begin': refuse } }), '/hosts?add=1');
    await user.type(await screen.findByLabelText('Name', {}, { timeout: 5_000 }), 'twice');
    await user.type(screen.getByLabelText('Address'), '198.18.0.11');
    await user.click(screen.getByRole('button', { name: 'Make token' }));
    expect((await screen.findByRole('alert')).textContent).toContain('NAME_TAKENA host is already called so');
  });
});

describe('a host as typed', () => {
  it('is judged while typing, and an empty field is only unfinished', () => {
    const taken = [{ name: 'edge-1' }];
    expect(['', 'edge-2', 'edge ams', '-x', 'edge-1'].map((name) => hostNameFault(name, taken) === null)).toEqual([
      true,
      true,
      false,
      false,
      false,
    ]);
    expect(
      ['', '198.18.0.11', '2001:db8::11', 'edge-1.example', '198.18.0.300', '198.18.0.0/24', '198.18.0.1:50051', 'a b', '-x'].map(
        (address) => hostAddressFault(address) === null,
      ),
    ).toEqual([true, true, true, true, false, false, false, false, false]);
  });

  it('keeps the button closed and says why', async () => {
    const user = userEvent.setup();
    renderView(<HostsPage />, new TestBridge(), '/hosts?add=1');
    await user.type(await screen.findByLabelText('Name', {}, { timeout: 5_000 }), 'edge-ams-011');
    await user.type(screen.getByLabelText('Address'), '198.18.0.1:50');
    expect(screen.getByText('A host of this name is in the fleet already.')).toBeDefined();
    expect(screen.getByText('The port has a field of its own.')).toBeDefined();
    expect(screen.getByTestId<HTMLButtonElement>('make-token').disabled).toBe(true);
  });
});
