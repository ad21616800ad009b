import { cleanup, screen, waitFor, within } from '@testing-library/react';
import { userEvent } from '@testing-library/user-event';
import { afterEach, describe, expect, it } from 'vitest';
import { TestBridge } from '../client/test-bridge.ts';
import type { TestBridgeOptions } from '../client/test-bridge.ts';
import { testFlows, testHosts } from '../client/test-fleet.ts';
import { renderView } from '../client/test-view.tsx';
import { FlowExplorer } from './flow-explorer.tsx';
import { sortFlows } from './flow-table.tsx';

afterEach(cleanup);

const hostId = '01J00000000000000000000002';
const open = (search = '', options: TestBridgeOptions = {}, id = hostId) => {
  const bridge = new TestBridge(options);
  const view = renderView(<FlowExplorer hostId={id} />, bridge, `/flows${search}`);
  return { bridge, view };
};
const lastQuery = (bridge: TestBridge, method = 'host.flows'): unknown => bridge.calls.findLast((call) => call.method === method)?.input;

describe('the flow explorer', () => {
  it('asks for what the filter of the address says, flows and sums alike', async () => {
    const { bridge } = open('?q=src%3A198.18.0.0%2F16+port%3A443+last%3A15m');
    await screen.findByTestId('flows-table');
    const filter = { hostId, source: '198.18.0.0/16', port: 443, windowSeconds: 900 };
    expect(lastQuery(bridge)).toEqual({ ...filter, limit: 500 });
    expect(lastQuery(bridge, 'host.flowSums')).toEqual({ ...filter, by: 'source', limit: 6 });
  });

  it('takes a typed filter over with Enter, and keeps a faulty one out of the question but says why', async () => {
    const user = userEvent.setup();
    const { bridge, view } = open();
    const field = await screen.findByTestId<HTMLInputElement>('flow-filter');
    await user.type(field, 'verdict:denied{Enter}');
    await waitFor(() => expect(view.address()).toBe('/flows?q=verdict%3Adenied'));
    await waitFor(() => expect(lastQuery(bridge)).toMatchObject({ verdict: 'denied' }));
    await user.type(field, ' port:70000 ');
    expect(screen.getByTestId('flow-problem').textContent).toBe('port:70000 “70000” is no port: write 1 to 65535.');
    expect(field.getAttribute('aria-invalid')).toBe('true');
    expect(view.address()).toBe('/flows?q=verdict%3Adenied');
  });

  it('completes keys and values by keyboard', async () => {
    const user = userEvent.setup();
    const { view } = open();
    const field = await screen.findByTestId<HTMLInputElement>('flow-filter');
    await user.type(field, 'ver{ArrowDown}{Enter}');
    expect(field.value).toBe('verdict:');
    await user.type(field, 'd{ArrowDown}{Enter}');
    await waitFor(() => expect(view.address()).toBe('/flows?q=verdict%3Adenied'));
    expect(screen.getByLabelText<HTMLSelectElement>('Verdict').value).toBe('denied');
  });

  it('narrows to a top talker that is pressed', async () => {
    const user = userEvent.setup();
    const { bridge, view } = open();
    const talkers = within(await screen.findByTestId('top-talkers'));
    await user.click(talkers.getByLabelText('Mapping'));
    await user.click(await talkers.findByRole('button', { name: 'web-vip' }));
    expect(view.address()).toBe('/flows?q=mapping%3Aweb-vip');
    await waitFor(() => expect(lastQuery(bridge, 'host.flowSums')).toMatchObject({ by: 'mapping', mapping: 'web-vip' }));
    expect(talkers.getByText('default action')).toBeDefined();
  });

  it('shows where a flow was sent on to, no ICMP identifier as a port, and no green for what ended', async () => {
    open();
    const table = await screen.findByTestId('flows-table');
    expect(
      within(table)
        .getAllByTestId('sent-to')
        .map(({ textContent }) => textContent),
    ).toEqual(['web-2 198.18.9.22:8443']);
    expect(table.textContent).not.toContain('4711');
    expect(within(table).getByText('Ended').className).not.toContain('ok');
    expect(within(table).getAllByText('Allowed')[0]?.className).toContain('ok');
  });

  it('sorts by a column and turns the order round', async () => {
    const user = userEvent.setup();
    open();
    const table = await screen.findByTestId('flows-table');
    const bytes = () =>
      within(table)
        .getAllByRole('row')
        .slice(1)
        .map((row) => within(row).getAllByRole('cell')[6]?.textContent);
    await user.click(within(table).getByTestId('sort-bytes'));
    expect(bytes()).toEqual(['1.77 GiB', '296 MiB', '3.81 MiB', '5 KiB', '3.83 KiB']);
    await user.click(within(table).getByTestId('sort-bytes'));
    expect(bytes().at(-1)).toBe('1.77 GiB');
  });

  it('keeps the order of the host among equals', () => {
    const [host] = testHosts(0, 1);
    if (host === undefined) throw new Error('there is no host');
    const { flows } = testFlows(host, 1_000, undefined);
    expect(sortFlows(flows, { column: 'packets', isDescending: true }).slice(0, 3)).toEqual(flows.slice(0, 3));
  });

  it('waits, says when nothing matches, and shows a failure', async () => {
    const user = userEvent.setup();
    open('', { answers: { 'host.flows': () => new Promise<never>(() => undefined) } });
    expect(await screen.findByRole('status', { name: 'Loading flows' })).toBeDefined();
    cleanup();
    const [host] = testHosts(0, 1);
    if (host === undefined) throw new Error('there is no host');
    const nothing = { ...testFlows(host, 1, undefined), flows: [], matched: 0 };
    const { view } = open('?q=port%3A9', { answers: { 'host.flows': () => nothing } });
    await user.click(await screen.findByRole('button', { name: 'Clear the filter' }));
    expect(view.address()).toBe('/flows');
    cleanup();
    const refuse = () => Promise.reject(Object.assign(new Error('Not now.'), { code: 'HOST_UNREACHABLE' }));
    open('', { answers: { 'host.flows': refuse } });
    expect(await screen.findByText('HOST_UNREACHABLE')).toBeDefined();
  });

  it('never says "now" of a host that is offline', async () => {
    open('', {}, '01J00000000000000000000006');
    const table = await screen.findByTestId('flows-table');
    expect(within(table).queryByText('now')).toBeNull();
    expect(within(table).getAllByText(/ago$/)).toHaveLength(5);
  });
});
