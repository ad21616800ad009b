import { cleanup, screen, waitFor, within } from '@testing-library/react';
import { userEvent } from '@testing-library/user-event';
import { afterEach, describe, expect, it } from 'vitest';
import type { FleetPlan, PolicyMerge } from '../../../bridge/model.ts';
import { TestBridge } from '../../client/test-bridge.ts';
import { testPlan, testPolicy } from '../../client/test-fleet.ts';
import { renderView } from '../../client/test-view.tsx';
import { PolicyPage } from './policy-page.tsx';

const now = 1_700_000_000_000;
const conflict = { baseRevision: 117, revision: 118, author: 'grace', createdAt: now, comment: 'more web' };

afterEach(cleanup);

describe('the merge in the policy editor', () => {
  const open = () => {
    const bridge = new TestBridge();
    const [host] = bridge.hosts;
    if (host === undefined) throw new Error('there is a host');
    bridge.draft = { policy: testPolicy, hostIds: [host.hostId], bases: { [host.hostId]: 117 }, savedAt: now };
    const merged = JSON.stringify({ ...(JSON.parse(testPolicy) as object), defaultAction: 'allow' });
    bridge.answers['policy.plan'] = ({ bases = {} }): FleetPlan => {
      const plan = testPlan([host], now);
      const isStale = bases[host.hostId] === 117;
      return { ...plan, hosts: plan.hosts.map((each) => ({ ...each, conflict: isStale ? conflict : null, canApply: !isStale })) };
    };
    bridge.answers['policy.merge'] = ({ choices = {} }): PolicyMerge => ({
      hostId: host.hostId,
      hostName: host.name,
      theirs: conflict,
      policy: merged,
      taken: [{ list: 'mappings', name: 'hers', change: 'added', fields: [] }],
      conflicts: [
        {
          key: 'mappings/web/priority',
          list: 'mappings',
          name: 'web',
          field: 'priority',
          base: '1',
          ours: '2',
          theirs: '3',
          choice: choices['mappings/web/priority'] ?? null,
        },
      ],
      unresolved: choices['mappings/web/priority'] === undefined ? 1 : 0,
      problems: [],
    });
    return { bridge, hostId: host.hostId, view: renderView(<PolicyPage />, bridge, '/policy') };
  };
  const review = async (user: ReturnType<typeof userEvent.setup>): Promise<void> => {
    const button = await screen.findByTestId<HTMLButtonElement>('review-effect');
    await waitFor(() => expect(button.disabled).toBe(false), { timeout: 3_000 });
    await user.click(button);
  };

  it('opens when a host has moved on, asks for what both have changed, and plans on top of the other change', async () => {
    const user = userEvent.setup();
    const { bridge, hostId, view } = open();
    await review(user);
    expect((await screen.findByTestId('merge-who', {}, { timeout: 5_000 })).textContent).toContain('Revision 118 by grace');
    expect((await screen.findByTestId('merge-taken')).textContent).toContain('mappings hers added');
    expect(screen.getByTestId<HTMLButtonElement>('merge-use').disabled).toBe(true);
    await user.click(within(screen.getByTestId('merge-conflict')).getByLabelText('theirs: 3'));
    await waitFor(() => expect(screen.getByTestId<HTMLButtonElement>('merge-use').disabled).toBe(false));
    await user.click(screen.getByTestId('merge-use'));
    await waitFor(() => expect(screen.queryByTestId('merge-dialog')).toBeNull());
    await review(user);
    await waitFor(() => expect(view.address()).toBe('/policy/review/plan-5c1e'));
    const plans = bridge.calls
      .filter(({ method }) => method === 'policy.plan')
      .map(({ input }) => input as { bases: object; policy: string });
    expect(plans.map(({ bases }) => bases)).toEqual([{ [hostId]: 117 }, { [hostId]: 118 }]);
    expect(JSON.parse(plans[1]?.policy ?? '')).toMatchObject({ defaultAction: 'allow' });
  });

  it('keeps only mine when that is wanted', async () => {
    const user = userEvent.setup();
    const { bridge, hostId, view } = open();
    await review(user);
    await user.click(await screen.findByTestId('merge-overwrite'));
    await review(user);
    await waitFor(() => expect(view.address()).toBe('/policy/review/plan-5c1e'));
    const last = bridge.calls.filter(({ method }) => method === 'policy.plan').at(-1)?.input as { bases: object; policy: string };
    expect([last.bases, JSON.parse(last.policy)]).toEqual([{ [hostId]: 118 }, JSON.parse(testPolicy)]);
  });

  it('tells who else edits the hosts of the draft', async () => {
    const { bridge, hostId } = open();
    bridge.editors = [{ hostId, hostName: 'edge-ams-001', editors: [{ leaseId: 'l', operator: 'grace', device: 'ab', since: now }] }];
    bridge.emit();
    expect((await screen.findByTestId('editors')).textContent).toContain('grace is editing edge-ams-001');
  });
});
