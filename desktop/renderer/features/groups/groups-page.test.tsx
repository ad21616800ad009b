import { cleanup, screen, waitFor, within } from '@testing-library/react';
import { userEvent } from '@testing-library/user-event';
import { afterEach, describe, expect, it } from 'vitest';
import { TestBridge } from '../../client/test-bridge.ts';
import { renderView } from '../../client/test-view.tsx';
import { GroupsPage } from './groups-page.tsx';

afterEach(cleanup);

const draft = { policy: '{}', hostIds: [], savedAt: 1_700_000_000_000 };

describe('the groups page', () => {
  it('makes a group by a rule, shows while typing who fits, and what is wrong', async () => {
    const user = userEvent.setup();
    const bridge = new TestBridge();
    renderView(<GroupsPage />, bridge, '/groups');
    expect(await screen.findByRole('heading', { name: 'No groups yet' })).toBeDefined();
    await user.click(screen.getAllByTestId('add-group')[0] as HTMLElement);
    await user.type(screen.getByLabelText('Name'), 'ams');
    await user.type(screen.getByLabelText('Rule'), 'kernl>=6');
    expect(screen.getByText(/Did you mean kernel>=6\?/)).toBeDefined();
    expect(screen.getByTestId<HTMLButtonElement>('save-group').disabled).toBe(true);
    await user.clear(screen.getByLabelText('Rule'));
    await user.type(screen.getByLabelText('Rule'), 'label:ams1 -state:offline');
    expect(screen.getByTestId('rule-members').textContent).toMatch(/^7 hosts now: edge-ams-011, .* and 1 more$/);
    await user.click(screen.getByTestId('save-group'));
    expect(bridge.calls.find(({ method }) => method === 'groups.put')?.input).toEqual({
      name: 'ams',
      about: '',
      members: { rule: 'label:ams1 -state:offline' },
    });
    expect((await screen.findByRole('link', { name: '7' })).getAttribute('href')).toBe('/hosts?filter=group%3Aams');
  });

  it('makes one of the selected hosts, and forgets it only when asked twice', async () => {
    const user = userEvent.setup();
    const bridge = new TestBridge();
    const view = renderView(<GroupsPage />, bridge, '/groups?new=rule&rule=site:x');
    expect((await screen.findByLabelText<HTMLInputElement>('Rule')).value).toBe('site:x');
    await user.type(screen.getByLabelText('Name'), 'two');
    await user.click(screen.getByLabelText('A list'));
    await user.type(screen.getByLabelText('Hosts'), 'edge-ams-011,edge-lon-013,nobody,');
    await user.click(screen.getByTestId('save-group'));
    await waitFor(() => expect(view.address()).toBe('/groups'));
    expect(bridge.groups).toMatchObject([
      { name: 'two', rule: null, hostIds: ['01J00000000000000000000000', '01J00000000000000000000002'] },
    ]);
    await user.click(await screen.findByRole('button', { name: 'Forget two' }));
    expect(bridge.groups).toHaveLength(1);
    await user.click(screen.getByTestId('forget-group-confirm'));
    await waitFor(() => expect(bridge.groups).toEqual([]));
  });

  it('tries the draft on every member and sums it up', async () => {
    const user = userEvent.setup();
    const bridge = new TestBridge({ draft });
    bridge.groups = [
      {
        name: 'all',
        about: '',
        rule: 'name:*',
        hostIds: bridge.hosts.map(({ hostId }) => hostId),
        missing: 0,
        problem: null,
        changedAt: 0,
      },
    ];
    renderView(<GroupsPage />, bridge, '/groups');
    await user.click(await screen.findByTestId('plan-all'));
    const summary = await screen.findByTestId('group-summary');
    expect(within(summary).getByText('23 can take it and change')).toBeDefined();
    expect(within(summary).getByText('1 do not answer')).toBeDefined();
    expect(summary.textContent).toContain('Of 10 flows 7 stay, 3 are cut (2 live now), 0 are newly allowed.');
    expect(bridge.calls.filter(({ method }) => method === 'groups.plan')).toMatchObject([{ input: { name: 'all', policy: '{}' } }]);
  });

  it('says why groups cannot be read, and that there is nothing to try without a draft', async () => {
    const user = userEvent.setup();
    const bridge = new TestBridge({
      answers: { 'groups.list': () => Promise.reject(Object.assign(new Error('The disk is full.'), { code: 'STATE_FAILED' })) },
    });
    renderView(<GroupsPage />, bridge, '/groups');
    expect((await screen.findByRole('alert')).textContent).toContain('STATE_FAILED');
    cleanup();
    const other = new TestBridge();
    other.groups = [
      { name: 'one', about: '', rule: null, hostIds: ['01J00000000000000000000000'], missing: 2, problem: null, changedAt: 0 },
    ];
    renderView(<GroupsPage />, other, '/groups');
    expect(await screen.findByText('2 hosts not in the fleet any more')).toBeDefined();
    await user.click(screen.getByTestId('plan-one'));
    expect(await screen.findByText('There is no draft to try')).toBeDefined();
  });
});
