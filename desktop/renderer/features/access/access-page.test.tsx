import { cleanup, screen, waitFor, within } from '@testing-library/react';
import { userEvent } from '@testing-library/user-event';
import { afterEach, describe, expect, it } from 'vitest';
import type { AccessView } from '../../../bridge/model.ts';
import { TestBridge } from '../../client/test-bridge.ts';
import { renderView } from '../../client/test-view.tsx';
import { AccessPage } from './access-page.tsx';

afterEach(cleanup);

const now = 1_700_000_000_000;
const host = { hostId: '01J00000000000000000000001', name: 'edge-1', epoch: 1, revision: 7, checkedAt: now - 3_000, problem: null };
const testAccess = (change: Partial<AccessView> = {}): AccessView => ({
  head: { epoch: 1, revision: 7, hash: 'ab'.repeat(32), author: 'operator/olga', issuedAt: now, notAfter: now + 86_400_000, stale: false },
  self: { subject: 'operator/olga', keyId: 'cd'.repeat(32), isOwner: true },
  owners: [{ subject: 'operator/olga', keyId: 'cd'.repeat(32) }],
  ownerThreshold: 1,
  roles: [
    { name: 'admin', title: 'Everything', scopes: ['*:*'], builtIn: true },
    { name: 'viewer', title: 'Looks', scopes: ['flows:read'], builtIn: true },
  ],
  operators: [
    { subject: 'operator/olga', title: 'Olga Petrov', locked: false },
    { subject: 'operator/bob', title: '', locked: true },
  ],
  clients: [{ subject: 'client/backup', title: '', locked: false, keys: [{ keyId: '0a1b2c3d', createdAt: now, expiresAt: null }] }],
  clusters: [],
  bindings: [{ id: 'b1', subject: 'operator/olga', role: 'admin', level: '*' }],
  locks: [{ id: 'l1', target: 'operator/bob', reason: 'lost laptop', since: now }],
  dangerousScopes: [],
  forks: [],
  hosts: [{ ...host, state: 'current' }],
  proposal: null,
  ...change,
});

const show = (view: AccessView | null, answers: TestBridge['answers'] = {}): TestBridge => {
  const bridge = new TestBridge({ answers: { 'access.change': () => ({ view: view ?? testAccess(), clientKey: null }), ...answers } });
  bridge.access = view;
  renderView(<AccessPage />, bridge, '/access');
  return bridge;
};
/** The card of the second factor asks by itself. */
const lastCall = (bridge: TestBridge): unknown => bridge.calls.filter(({ method }) => method !== 'mfa.get').at(-1);

describe('the access page', () => {
  it('shows who may do what, and which hosts have it', async () => {
    show(testAccess());
    const people = await screen.findByTestId('access-people');
    expect(within(people).getByRole('cell', { name: 'admin' })).toBeDefined();
    expect(within(people).getAllByRole('cell', { name: 'none: may do nothing' })).toHaveLength(2);
    expect(within(screen.getByTestId('access-hosts')).getByRole('cell', { name: 'has it' })).toBeDefined();
    expect(screen.getByTestId('access-bundle').textContent).toContain('7 in epoch 1');
  });

  it('locks, unlocks and binds, and shows a new key once', async () => {
    const user = userEvent.setup();
    const bridge = show(testAccess(), { 'access.change': () => ({ view: testAccess(), clientKey: 'nestkey1.secret' }) });
    await user.click(await screen.findByRole('button', { name: 'Lock client/backup' }));
    await user.click(screen.getByTestId('confirm'));
    expect(lastCall(bridge)).toEqual({ method: 'access.change', input: { change: { kind: 'lock', target: 'client/backup', reason: '' } } });
    await waitFor(() => expect(screen.getByRole('button', { name: 'Unlock' })).toHaveProperty('disabled', false));
    await user.click(screen.getByRole('button', { name: 'Unlock' }));
    expect(lastCall(bridge)).toEqual({ method: 'access.change', input: { change: { kind: 'unlock', id: 'l1' } } });
    await user.selectOptions(screen.getByTestId('binding-subject'), 'operator/bob');
    await user.click(screen.getByTestId('binding-add'));
    expect(lastCall(bridge)).toEqual({
      method: 'access.change',
      input: { change: { kind: 'binding.add', subject: 'operator/bob', role: 'viewer', level: '*' } },
    });
    expect((await screen.findByTestId('client-key')).textContent).toContain('nestkey1.secret');
    expect(screen.getByRole('button', { name: 'Lock operator/olga' })).toHaveProperty('disabled', true);
  });

  it('takes a role away only after the question', async () => {
    const user = userEvent.setup();
    const bridge = show(testAccess());
    await user.click(await screen.findByRole('button', { name: 'Take admin from operator/olga' }));
    expect(screen.getByTestId('confirm-dialog').textContent).toContain('That is you');
    await user.click(screen.getByRole('button', { name: 'Cancel' }));
    expect(bridge.calls.some(({ method }) => method === 'access.change')).toBe(false);
    await user.click(screen.getByRole('button', { name: 'Take admin from operator/olga' }));
    await user.click(screen.getByTestId('confirm'));
    expect(lastCall(bridge)).toEqual({ method: 'access.change', input: { change: { kind: 'binding.remove', id: 'b1' } } });
  });

  it('says why a change was refused', async () => {
    const user = userEvent.setup();
    show(testAccess(), {
      'access.change': () => {
        throw Object.assign(new Error('operator/olga may not do that.'), { code: 'ACCESS_INVALID' });
      },
    });
    await user.click(await screen.findByRole('button', { name: 'Unlock' }));
    expect((await screen.findByRole('alert')).textContent).toContain('operator/olga may not do that.');
  });

  it('shows a fork and what ends it, and a bundle that is too old', async () => {
    const user = userEvent.setup();
    const forks = [
      { revision: 7, kept: 'aa'.repeat(32), refused: 'bb'.repeat(32), refusedAuthor: 'operator/bob', refusedAt: now, seenAt: now },
    ];
    const head = testAccess().head;
    if (head === null) throw new Error('no head');
    const bridge = show(testAccess({ forks, head: { ...head, stale: true }, hosts: [{ ...host, state: 'forked' }] }), {
      'access.merge': () => ({ view: testAccess(), clientKey: null }),
    });
    expect((await screen.findByTestId('access-fork')).textContent).toContain('Two updates claim number 7');
    expect(screen.getByTestId('access-bundle').textContent).toContain('too old');
    await user.click(screen.getByRole('button', { name: 'Merge, keep the other side' }));
    expect(lastCall(bridge)).toEqual({ method: 'access.merge', input: { keep: 'theirs' } });
  });

  it('only shows, on a console without an owner key, and offers to begin where there is no bundle', async () => {
    show(testAccess({ self: { subject: 'operator/bob', keyId: null, isOwner: false } }));
    expect(await screen.findByRole('button', { name: 'Lock client/backup' })).toHaveProperty('disabled', true);
    cleanup();
    const user = userEvent.setup();
    const bridge = show(testAccess({ head: null }));
    await user.click(await screen.findByTestId('access-begin'));
    expect(lastCall(bridge)).toEqual({ method: 'access.change', input: { change: { kind: 'begin' } } });
  });

  it('waits for the first word of the console', () => {
    show(null);
    expect(screen.getByRole('status', { name: 'Loading who may do what' })).toBeDefined();
  });
});
