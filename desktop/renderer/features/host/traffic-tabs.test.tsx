import { act, cleanup, screen, waitFor, within } from '@testing-library/react';
import { userEvent } from '@testing-library/user-event';
import { Route, Routes } from 'react-router';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { writePolicyText } from '../../client/policy-document.ts';
import type { PolicyDraft } from '../../client/policy-document.ts';
import { TestBridge } from '../../client/test-bridge.ts';
import type { TestBridgeOptions } from '../../client/test-bridge.ts';
import { testCounters, testHosts, testPolicy } from '../../client/test-fleet.ts';
import { testBalancers } from '../../client/test-traffic.ts';
import { renderView } from '../../client/test-view.tsx';
import { HostPage } from './host-page.tsx';

afterEach(() => {
  cleanup();
  vi.useRealTimers();
});

const epoch = 1_700_000_000_000;
const idOf = (index: number): string => `01J${String(index).padStart(23, '0')}`;
const open = (path: string, options: TestBridgeOptions = {}) => {
  const bridge = new TestBridge(options);
  const view = renderView(
    <Routes>
      <Route path="/hosts/:id/:tab" element={<HostPage />} />
      <Route path="*" element={null} />
    </Routes>,
    bridge,
    path,
  );
  return { bridge, view };
};
const refuse = () => Promise.reject(Object.assign(new Error('The host keeps its counters to itself.'), { code: 'FORBIDDEN' }));
const inputsOf = (bridge: TestBridge, method: string): readonly unknown[] =>
  bridge.calls.filter((call) => call.method === method).map(({ input }) => input);

/** Lets polling queries ask again: the fake clock drives both timers and readings. */
const pass = (milliseconds: number): Promise<void> =>
  act(async () => {
    await vi.advanceTimersByTimeAsync(milliseconds);
  });

const [host] = testHosts(epoch, 1);
if (host === undefined) throw new Error('there is no host');

describe.each([
  {
    tab: 'balancers',
    method: 'host.balancers',
    loading: 'Loading the balancers',
    empty: { title: 'No balancer yet', answers: { 'host.balancers': () => ({ ...testBalancers(host, epoch), balancers: [] }) } },
    offline: '12 min ago',
  },
  {
    tab: 'deny-lists',
    method: 'host.denyLists',
    loading: 'Loading the deny lists',
    empty: { title: 'No deny list', answers: { 'host.denyLists': () => ({ at: epoch, live: true, lists: [] }) } },
    offline: 'Add prefixes',
  },
  {
    tab: 'limits',
    method: 'host.counters',
    loading: 'Loading the rate limits',
    empty: { title: 'No mapping has a rate limit', answers: { 'host.counters': () => ({ ...testCounters(host, epoch), mappings: [] }) } },
    offline: 'as of',
  },
] as const)('the tab $tab', ({ tab, method, loading, empty }) => {
  it('waits with bones', async () => {
    open(`/hosts/${idOf(2)}/${tab}`, { answers: { [method]: () => new Promise<never>(() => undefined) } });
    expect(await screen.findByRole('status', { name: loading })).toBeDefined();
  });

  it('says what to do when there is nothing', async () => {
    open(`/hosts/${idOf(2)}/${tab}`, { answers: empty.answers });
    expect(await screen.findByText(empty.title)).toBeDefined();
  });

  it('shows why it failed and tries again', async () => {
    const user = userEvent.setup();
    const { bridge } = open(`/hosts/${idOf(2)}/${tab}`, { answers: { [method]: refuse } });
    expect(await screen.findByText('FORBIDDEN')).toBeDefined();
    delete bridge.answers[method];
    await user.click(screen.getByRole('button', { name: 'Try again' }));
    await waitFor(() => expect(screen.queryByText('FORBIDDEN')).toBeNull());
  });

  it('says how old it is when the host is offline, offers no change and invents no rate', async () => {
    vi.useFakeTimers({ now: epoch, shouldAdvanceTime: true });
    open(`/hosts/${idOf(6)}/${tab}`, { now: Date.now });
    expect((await screen.findByTestId('offline-banner')).textContent).toContain('12 min old');
    await pass(6_000);
    for (const name of [/^Drain/, /^Change web/, /Add prefixes/, /^Delete the list/])
      for (const button of screen.queryAllByRole<HTMLButtonElement>('button', { name }))
        expect(button.disabled, button.textContent).toBe(true);
    const table = screen.getAllByRole('table')[0];
    expect(table?.textContent).toContain('–');
  });
});

/** The button is off until the draft in work is known. */
const enabled = async (testId: string): Promise<HTMLElement> => {
  const button = await screen.findByTestId<HTMLButtonElement>(testId);
  await waitFor(() => expect(button.disabled).toBe(false));
  return button;
};

describe('balancers', () => {
  it('shows no share and no rate before the second reading, then what grew between readings', async () => {
    vi.useFakeTimers({ now: epoch, shouldAdvanceTime: true });
    open(`/hosts/${idOf(2)}/balancers`, { now: Date.now });
    const row = within(await screen.findByTestId('backend-web-1'));
    expect(row.getByRole('img', { name: 'New flows of web-1: –' })).toBeDefined();
    await pass(9_000);
    const grown = screen.getByTestId('backend-web-1').textContent;
    expect(grown).toMatch(/51 %|50 %/);
    expect(grown).toContain('2 k/s');
    expect(screen.getByTestId('backend-web-3').textContent).toContain('0/s');
  });

  it('says what is wanted, what is, and the last answer of the check', async () => {
    open(`/hosts/${idOf(2)}/balancers`);
    const down = await screen.findByTestId('backend-web-4');
    expect(down.textContent).toContain('Downwanted up');
    expect(down.textContent).toContain('connection refused by 198.18.9.24:8443down for 42 s');
    expect(screen.getByTestId('balancer-web-vip').textContent).toContain('2 of 4 backends up');
    expect(screen.getByTestId('backend-web-1').textContent).toContain('50 % wanted');
  });

  it('drains into the draft and opens the review; the host is not touched', async () => {
    const user = userEvent.setup();
    const { bridge, view } = open(`/hosts/${idOf(2)}/balancers`);
    await user.click(await screen.findByRole('button', { name: 'Drain web-2' }));
    await user.click(await enabled('backend-review'));
    await waitFor(() => expect(view.address()).toBe('/policy/review/plan-5c1e'));
    const written = JSON.parse(bridge.draft?.policy ?? '{}') as PolicyDraft;
    const before = JSON.parse(testPolicy) as PolicyDraft;
    expect(written.mappings.find(({ name }) => name === 'web-vip')?.backends).toMatchObject([
      { name: 'web-1', weight: 10 },
      { name: 'web-2', weight: 10, state: 'drain' },
      { name: 'web-3', state: 'drain' },
    ]);
    expect({ ...written, mappings: [] }).toEqual({ ...before, mappings: [] });
    expect(bridge.draft?.hostIds).toEqual([idOf(2)]);
    expect(inputsOf(bridge, 'policy.apply')).toEqual([]);
  });

  it('adds to a draft in work that fits, and says that it replaces one that does not', async () => {
    const user = userEvent.setup();
    const policy = JSON.parse(testPolicy) as PolicyDraft;
    const draft = { policy: writePolicyText({ ...policy, defaultAction: 'deny' }), hostIds: [idOf(2), idOf(3)], savedAt: 1 };
    const { bridge } = open(`/hosts/${idOf(2)}/balancers`, { draft });
    await user.click(await screen.findByRole('button', { name: 'Change web-2' }));
    const review = screen.getByTestId<HTMLButtonElement>('backend-review');
    expect(review.disabled).toBe(true);
    await user.clear(screen.getByLabelText('Weight'));
    await user.type(screen.getByLabelText('Weight'), '5000');
    expect(screen.getByText('A whole number from 0 to 1000.')).toBeDefined();
    await user.clear(screen.getByLabelText('Weight'));
    await user.type(screen.getByLabelText('Weight'), '3');
    await user.click(review);
    await waitFor(() => expect(inputsOf(bridge, 'policy.plan')).toHaveLength(1));
    expect(bridge.draft).toMatchObject({ hostIds: draft.hostIds, policy: expect.stringContaining('"defaultAction": "deny"') });
    cleanup();
    open(`/hosts/${idOf(2)}/balancers`, { draft: { ...draft, hostIds: [idOf(3)] } });
    await user.click(await screen.findByRole('button', { name: 'Drain web-2' }));
    expect((await screen.findByRole('note')).textContent).toContain('replaces it');
  });

  it('says when the backend has gone from the policy', async () => {
    const user = userEvent.setup();
    const { bridge } = open(`/hosts/${idOf(2)}/balancers`);
    await user.click(await screen.findByRole('button', { name: 'Drain dns-1' }));
    await user.click(await enabled('backend-review'));
    expect(await screen.findByText(/The policy has no backend dns-1 in resolver-vip any more/)).toBeDefined();
    expect(bridge.draft).toBeNull();
  });
});

describe('deny lists', () => {
  it('adds what can be read, named by line what cannot, and sends it only when asked to leave the rest out', async () => {
    const user = userEvent.setup();
    const { bridge } = open(`/hosts/${idOf(2)}/deny-lists?list=incident-41`);
    await user.click(await screen.findByTestId('deny-add'));
    const dialog = within(screen.getByTestId('deny-add-dialog'));
    expect(dialog.getByLabelText<HTMLInputElement>('List').value).toBe('incident-41');
    await user.type(dialog.getByTestId('deny-text'), '198.18.66.0/24\nbad\n2001:db8:66::/48');
    expect(dialog.getByTestId('deny-preview').textContent).toContain('2 prefixes: 1 IPv4, 1 IPv6');
    expect(dialog.getByTestId('deny-preview').textContent).toContain('line 2 “bad” is no address');
    const confirm = dialog.getByTestId<HTMLButtonElement>('deny-add-confirm');
    expect(confirm.disabled).toBe(true);
    await user.click(dialog.getByTestId('deny-leave-out'));
    await user.selectOptions(dialog.getByTestId('deny-lasts'), '3600');
    await user.click(confirm);
    await waitFor(() => expect(screen.queryByTestId('deny-add-dialog')).toBeNull());
    expect(inputsOf(bridge, 'host.denyList.update')).toEqual([
      { hostId: idOf(2), name: 'incident-41', add: ['198.18.66.0/24', '2001:db8:66::/48'], remove: [], expiresAt: epoch + 3_600_000 },
    ]);
  });

  it('sends a long list in calls of ten thousand, and refuses the name of a list of the policy', async () => {
    const user = userEvent.setup();
    const { bridge } = open(`/hosts/${idOf(2)}/deny-lists`);
    await user.click(await screen.findByTestId('deny-add'));
    const dialog = within(screen.getByTestId('deny-add-dialog'));
    const lines = Array.from({ length: 12_345 }, (_, index) => `198.18.${String(index >> 8)}.${String(index & 255)}`).join('\n');
    await user.upload(dialog.getByTestId('deny-file'), new File([lines], 'feed.txt', { type: 'text/plain' }));
    await dialog.findByText('12,345 prefixes');
    await user.type(dialog.getByLabelText('List'), 'scanners');
    expect(dialog.getByText('A list of the policy has this name: choose another.')).toBeDefined();
    await user.type(dialog.getByLabelText('List'), '-2');
    await user.click(dialog.getByTestId('deny-add-confirm'));
    await waitFor(() => expect(inputsOf(bridge, 'host.denyList.update')).toHaveLength(2));
    expect(inputsOf(bridge, 'host.denyList.update').map((input) => (input as { add: readonly string[] }).add.length)).toEqual([
      10_000, 2_345,
    ]);
  });

  it('answers whether an address is on a list from the tables in force', async () => {
    const user = userEvent.setup();
    const { bridge } = open(`/hosts/${idOf(2)}/deny-lists`);
    await user.type(await screen.findByLabelText('Address or CIDR'), '198.18.66.6{Enter}');
    await waitFor(() => expect(screen.getByTestId('deny-answer').textContent).toContain('Yes: in 198.18.66.0/24 of scanners'));
    expect(inputsOf(bridge, 'trace.run')).toMatchObject([{ interface: 'eth0', packet: { source: '198.18.66.6' } }]);
    await user.clear(screen.getByLabelText('Address or CIDR'));
    await user.type(screen.getByLabelText('Address or CIDR'), '198.18.99.9{Enter}');
    await waitFor(() => expect(screen.getByTestId('deny-answer').textContent).toContain('No, it is on none'));
    await user.clear(screen.getByLabelText('Address or CIDR'));
    await user.type(screen.getByLabelText('Address or CIDR'), '198.18.99.0/24{Enter}');
    await waitFor(() => expect(screen.getByTestId('deny-answer').textContent).toContain('Not among the prefixes shown'));
    await user.type(screen.getByLabelText('Address or CIDR'), 'x');
    expect(screen.getByText(/is no length/)).toBeDefined();
  });

  it('removes a prefix and, after asking, a whole list; a list of the policy only in the policy', async () => {
    const user = userEvent.setup();
    const { bridge } = open(`/hosts/${idOf(2)}/deny-lists?list=incident-41`);
    await user.click(await screen.findByRole('button', { name: 'Remove 198.19.0.0/24' }));
    await waitFor(() => expect(screen.queryByRole('button', { name: 'Remove 198.19.0.0/24' })).toBeNull());
    await user.click(screen.getByTestId('deny-delete'));
    expect(inputsOf(bridge, 'host.denyList.update')).toHaveLength(1);
    await user.click(screen.getByTestId('deny-delete-confirm'));
    await waitFor(() => expect(screen.queryByTestId('deny-list-incident-41')).toBeNull());
    await user.click(screen.getByTestId('deny-list-scanners'));
    const card = within(screen.getByTestId('deny-list-card'));
    expect(card.queryByRole('button', { name: /Remove/ })).toBeNull();
    expect(card.getByRole('link', { name: 'Change in the policy' }).getAttribute('href')).toBe(`/policy?from=${idOf(2)}`);
    expect(screen.getByText(/is not in the folder of deny lists/)).toBeDefined();
  });
});

describe('rate limits', () => {
  it('sets the use from two readings against the limit, and gives a limit per source no bar', async () => {
    vi.useFakeTimers({ now: epoch, shouldAdvanceTime: true });
    open(`/hosts/${idOf(2)}/limits`, { now: Date.now });
    expect((await screen.findByTestId('limit-registry-in')).textContent).toContain('–');
    await pass(5_000);
    expect(screen.getByTestId('limit-registry-in').textContent).toContain('25 %12.4 k packets/s');
    expect(screen.getByTestId('limit-api-public').textContent).toContain('99 %');
    expect(screen.getByTestId('limit-api-public').textContent).toContain('41.2 k/s');
    expect(within(screen.getByTestId('limit-resolver-vip')).queryByRole('img')).toBeNull();
  });
});

describe('interfaces and engines', () => {
  it('shows every engine with why not, and changes one only after saying what that does', async () => {
    const user = userEvent.setup();
    const { bridge } = open(`/hosts/${idOf(2)}/interfaces`);
    const dpdk = await screen.findByTestId('engine-dpdk');
    expect(dpdk.textContent).toContain('no hugepages are reserved');
    expect(within(dpdk).getByRole<HTMLButtonElement>('button').disabled).toBe(true);
    expect(screen.getByTestId('engine-auto').textContent).toContain('chosen');
    expect(screen.getByTestId('interface-card').textContent).toContain('2 functions of 63 in use');
    await user.click(screen.getByRole('button', { name: 'Choose AF_XDP' }));
    expect(screen.getByTestId('engine-dialog').textContent).toContain('Engines do not share flows');
    expect(screen.getByTestId('engine-dialog').textContent).toContain('falls back to XDP');
    expect(inputsOf(bridge, 'host.interface.engine')).toEqual([]);
    await user.click(screen.getByTestId('engine-confirm'));
    expect((await screen.findByTestId('engine-result')).textContent).toBe('Served by af_xdp now: af_xdp was chosen.');
    expect(screen.getByTestId('engine-warning').textContent).toContain('Put these interfaces on the same engine.');
    expect(inputsOf(bridge, 'host.interface.engine')).toEqual([{ hostId: idOf(2), interface: 'eth0', engine: 'af_xdp' }]);
  });

  it('warns that off lets everything pass unjudged, and shows a refusal in the dialog', async () => {
    const user = userEvent.setup();
    open(`/hosts/${idOf(2)}/interfaces?interface=eth1`, { answers: { 'host.interface.engine': refuse } });
    await user.click(await screen.findByRole('button', { name: 'Choose Off' }));
    expect(screen.getByTestId('engine-dialog').textContent).toContain('every packet on eth1 passes unjudged');
    await user.click(screen.getByTestId('engine-confirm'));
    expect(await within(screen.getByTestId('engine-dialog')).findByText('FORBIDDEN')).toBeDefined();
  });

  it('offers no choice while the host is offline', async () => {
    open(`/hosts/${idOf(6)}/interfaces`);
    expect((await screen.findByRole<HTMLButtonElement>('button', { name: 'Choose AF_XDP' })).disabled).toBe(true);
  });
});
