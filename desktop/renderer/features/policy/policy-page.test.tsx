import { cleanup, fireEvent, screen, waitFor, within } from '@testing-library/react';
import { userEvent } from '@testing-library/user-event';
import { afterEach, describe, expect, it } from 'vitest';
import { validatePolicy } from '../../../../native/image/api.ts';
import type { DenyListDraft, PolicyDraft } from '../../client/policy-document.ts';
import { TestBridge } from '../../client/test-bridge.ts';
import { testPolicy } from '../../client/test-fleet.ts';
import { renderView } from '../../client/test-view.tsx';
import { PolicyPage } from './policy-page.tsx';

afterEach(cleanup);

const hostId = '01J00000000000000000000002';
const draft = { policy: testPolicy, hostIds: [hostId], savedAt: 1 };
const savedPolicy = (bridge: TestBridge) =>
  JSON.parse(bridge.draft?.policy ?? '{}') as {
    readonly mappings: readonly { readonly name: string; readonly action: string; readonly ports: readonly string[] }[];
    readonly services: readonly { readonly name: string }[];
  };

const lists = (bridge: TestBridge): readonly DenyListDraft[] => (JSON.parse(bridge.draft?.policy ?? '{}') as PolicyDraft).denyLists ?? [];
const plainPolicy = JSON.stringify({
  apiVersion: 'nest/v1',
  kind: 'Policy',
  defaultAction: 'deny',
  services: [],
  mappings: [{ name: 'web', sources: ['any'], destinations: ['any'], protocols: ['tcp'], ports: ['443'], action: 'allow', priority: 100 }],
});

describe('the policy editor', () => {
  it('writes a mapping with the form and keeps it as draft', async () => {
    const user = userEvent.setup();
    const bridge = new TestBridge();
    renderView(<PolicyPage />, bridge, '/policy');
    await user.click(await screen.findByRole('button', { name: 'Add mapping' }));
    const form = within(screen.getByTestId('mapping-form'));
    await user.clear(form.getByLabelText('Name'));
    await user.type(form.getByLabelText('Name'), 'deny-web');
    await user.type(form.getByLabelText('Ports'), '80,443,');
    await waitFor(() => expect(savedPolicy(bridge).mappings).toMatchObject([{ name: 'deny-web', action: 'deny', ports: ['80', '443'] }]), {
      timeout: 3_000,
    });
  });

  it('shows a problem at its field, leads to it, and does not let it through to review', async () => {
    const user = userEvent.setup();
    renderView(<PolicyPage />, new TestBridge({ draft }), '/policy');
    await user.type(within(await screen.findByTestId('mapping-form')).getByLabelText('Ports'), '70000,');
    const problem = await screen.findByTestId('problem');
    expect(screen.getByRole<HTMLButtonElement>('button', { name: 'Review effect' }).disabled).toBe(true);
    await user.click(screen.getByRole('tab', { name: 'Services' }));
    await user.click(problem);
    const field = within(screen.getByTestId('mapping-form')).getByLabelText('Ports');
    expect(document.activeElement).toBe(field);
    expect(field.getAttribute('aria-invalid')).toBe('true');
  });

  it('renames a service in the mappings that name it, and takes it back with one undo', async () => {
    const user = userEvent.setup();
    renderView(<PolicyPage />, new TestBridge({ draft }), '/policy');
    await user.click(await screen.findByRole('tab', { name: 'Services' }));
    const name = within(screen.getByTestId('service-form')).getByLabelText('Name');
    await user.type(name, '-v2');
    await user.click(screen.getByRole('tab', { name: 'JSON' }));
    const text = () => screen.getByLabelText<HTMLTextAreaElement>('Policy as JSON').value;
    expect(text().match(/"payments-v2"/g)).toHaveLength(3);
    await user.click(screen.getByRole('button', { name: 'Undo' }));
    expect(JSON.parse(text())).toEqual(JSON.parse(testPolicy));
  });

  it('keeps half-typed JSON as text and names the mistake', async () => {
    const user = userEvent.setup();
    renderView(<PolicyPage />, new TestBridge({ draft }), '/policy');
    await user.click(await screen.findByRole('tab', { name: 'JSON' }));
    await user.type(screen.getByLabelText('Policy as JSON'), 'x');
    expect((await screen.findByTestId('problem')).textContent).toContain('The text is not JSON');
    expect(screen.queryByRole('tab', { name: 'Mappings' })).toBeNull();
  });

  it('chooses hosts by label and plans for them', async () => {
    const user = userEvent.setup();
    const bridge = new TestBridge({ draft: { ...draft, hostIds: [] } });
    const view = renderView(<PolicyPage />, bridge, '/policy');
    await user.type(await screen.findByTestId('policy-hosts'), 'label:lon1,');
    const review = screen.getByRole<HTMLButtonElement>('button', { name: 'Review effect' });
    await waitFor(() => expect(review.disabled).toBe(false));
    await user.click(review);
    await waitFor(() => expect(view.address()).toBe('/policy/review/plan-5c1e'));
    const planned = bridge.calls.find(({ method }) => method === 'policy.plan')?.input as { readonly hostIds: readonly string[] };
    expect(planned.hostIds).toHaveLength(8);
  });

  it('turns a mapping into a balancer with backends, health check, limit and mark, and back with undo', async () => {
    const user = userEvent.setup();
    const bridge = new TestBridge({ draft: { ...draft, policy: plainPolicy } });
    renderView(<PolicyPage />, bridge, '/policy');
    const form = () => within(screen.getByTestId('mapping-form'));
    await user.click(within(await screen.findByTestId('mapping-action')).getByLabelText('Balance'));
    await user.clear(form().getByTestId('mapping-backends-0-name'));
    await user.type(form().getByTestId('mapping-backends-0-name'), 'web-1');
    await user.type(form().getByTestId('mapping-backends-0-address'), '198.18.9.21');
    await user.type(form().getByTestId('mapping-backends-0-port'), '8443');
    await user.click(form().getByTestId('add-backend'));
    await user.type(form().getByTestId('mapping-backends-1-address'), '2001:db8::22');
    await user.selectOptions(form().getByTestId('mapping-backends-1-state'), 'drain');
    await user.selectOptions(form().getByTestId('mapping-nat'), 'full');
    await user.click(within(form().getByTestId('mapping-affinity')).getByLabelText('the same backend'));
    await user.selectOptions(form().getByTestId('mapping-healthCheck'), 'http');
    await user.type(form().getByTestId('mapping-healthCheck-path'), 'health');
    await user.type(form().getByTestId('mapping-healthCheck-intervalMs'), '2000');
    await user.click(form().getByTestId('mapping-limited'));
    await user.clear(form().getByTestId('mapping-rateLimit-packetsPerSecond'));
    await user.type(form().getByTestId('mapping-rateLimit-packetsPerSecond'), '20000');
    await user.click(form().getByLabelText('each source'));
    await user.selectOptions(form().getByTestId('mapping-dscp'), 'P1');
    expect(form().queryByTestId('mapping-sourceNat-kind')).toBeNull();
    await user.click(screen.getByRole('tab', { name: 'JSON' }));
    const text = () => screen.getByLabelText<HTMLTextAreaElement>('Policy as JSON').value;
    const [mapping] = (JSON.parse(text()) as PolicyDraft).mappings;
    expect(mapping).toEqual({
      name: 'web',
      sources: ['any'],
      destinations: ['any'],
      protocols: ['tcp'],
      ports: ['443'],
      action: 'balance',
      priority: 100,
      backends: [
        { name: 'web-1', address: '198.18.9.21', port: 8443 },
        { name: 'server-1', address: '2001:db8::22', state: 'drain' },
      ],
      nat: 'full',
      affinity: 'source',
      healthCheck: { kind: 'http', path: '/health', intervalMs: 2000 },
      rateLimit: { packetsPerSecond: 20_000, per: 'source' },
      dscp: 'P1',
    });
    expect(validatePolicy(JSON.parse(text())).filter(({ severity }) => severity === 'error')).toEqual([]);
    while (!screen.getByTestId<HTMLButtonElement>('undo-edit').disabled) await user.click(screen.getByTestId('undo-edit'));
    expect(JSON.parse(text())).toEqual(JSON.parse(plainPolicy));
  });

  it('gives an allowing mapping the address of the way out or one of its own as source', async () => {
    const user = userEvent.setup();
    const bridge = new TestBridge({ draft: { ...draft, policy: plainPolicy } });
    renderView(<PolicyPage />, bridge, '/policy');
    await user.selectOptions(await screen.findByTestId('mapping-sourceNat-kind'), 'masquerade');
    await waitFor(() => expect(savedPolicy(bridge).mappings[0]).toMatchObject({ sourceNat: 'masquerade' }), { timeout: 3_000 });
    await user.selectOptions(screen.getByTestId('mapping-sourceNat-kind'), 'address');
    await user.type(screen.getByTestId('mapping-sourceNat'), '198.18.0.13');
    await waitFor(() => expect(savedPolicy(bridge).mappings[0]).toMatchObject({ sourceNat: '198.18.0.13' }), { timeout: 3_000 });
    await user.selectOptions(screen.getByTestId('mapping-sourceNat-kind'), 'none');
    await waitFor(() => expect(savedPolicy(bridge).mappings[0]).not.toHaveProperty('sourceNat'), { timeout: 3_000 });
  });

  it('drops what only the old action has, and undo brings it back', async () => {
    const user = userEvent.setup();
    renderView(<PolicyPage />, new TestBridge({ draft }), '/policy');
    await user.click(await screen.findByRole('button', { name: 'web-vip' }));
    await user.click(within(screen.getByTestId('mapping-action')).getByLabelText('Deny'));
    expect(screen.queryByTestId('mapping-backends')).toBeNull();
    expect(screen.queryByTestId('mapping-rateLimit')).toBeNull();
    await user.click(screen.getByRole('button', { name: 'Undo' }));
    expect(within(screen.getByTestId('mapping-backends')).getAllByRole('group')).toHaveLength(3);
  });

  it('leads from a problem of a backend to its field', async () => {
    const user = userEvent.setup();
    const problem = {
      code: 'BACKEND_ADDRESS_INVALID',
      severity: 'error' as const,
      path: 'mappings[3].backends[1].address',
      message: '"web" is not an address: write the address of one server.',
    };
    const bridge = new TestBridge({ draft, answers: { 'policy.validate': () => ({ valid: false, problems: [problem], tables: null }) } });
    renderView(<PolicyPage />, bridge, '/policy');
    await user.click(await screen.findByTestId('problem'));
    const field = screen.getByTestId('mapping-backends-1-address');
    expect(document.activeElement).toBe(field);
    expect(field.getAttribute('aria-invalid')).toBe('true');
    expect(screen.getByTestId('mapping-backends-0-address').getAttribute('aria-invalid')).toBe('false');
  });

  it('writes a deny list with its prefixes or a file, and when it ends', async () => {
    const user = userEvent.setup();
    const bridge = new TestBridge({ draft });
    renderView(<PolicyPage />, bridge, '/policy');
    await user.click(await screen.findByRole('tab', { name: 'Deny lists' }));
    expect(screen.getByTestId('deny-lists-grid').textContent).toContain('scanners198.18.66.0/24, 198.18.70.9');
    await user.click(screen.getByRole('button', { name: 'Add deny list' }));
    await user.type(screen.getByTestId('denyList-prefixes'), '198.18.80.0/24\n198.18.81.1');
    fireEvent.change(screen.getByTestId('denyList-expires'), { target: { value: '2030-01-31T18:00' } });
    await waitFor(() => expect(lists(bridge)[1]?.prefixes).toEqual(['198.18.80.0/24', '198.18.81.1']), { timeout: 3_000 });
    expect(Date.parse(lists(bridge)[1]?.expires ?? '')).toBe(new Date(2030, 0, 31, 18).getTime());
    expect(lists(bridge)[1]?.expires).toMatch(/^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$/);
    await user.click(screen.getByLabelText('in a file on the host'));
    await waitFor(() => expect(lists(bridge)[1]).toMatchObject({ name: 'deny-list', file: 'deny-list.txt' }), { timeout: 3_000 });
    expect(lists(bridge)[1]?.prefixes).toBeUndefined();
    await user.click(screen.getByTestId('delete-deny-list'));
    await waitFor(() => expect(lists(bridge)).toHaveLength(1), { timeout: 3_000 });
  });

  it('names the formats it reads when an import is refused, and takes a policy of its own without asking', async () => {
    const user = userEvent.setup();
    const refused = () => Promise.reject(Object.assign(new Error('This is not a MarchProxy file.'), { code: 'IMPORT_INVALID' }));
    renderView(<PolicyPage />, new TestBridge({ answers: { 'policy.import': refused } }), '/policy?import=1');
    const field = await screen.findByTestId('import-text');
    fireEvent.change(field, { target: { value: 'a,b,c' } });
    await user.click(screen.getByTestId('read-import'));
    expect((await screen.findByTestId('import-formats')).textContent).toMatch(/MarchProxy export.*Nest policy/);
    fireEvent.change(field, { target: { value: testPolicy } });
    await user.click(screen.getByTestId('read-import'));
    await waitFor(() => expect(screen.queryByTestId('import-dialog')).toBeNull());
    expect(screen.getByTestId('mappings-grid').textContent).toContain('block-legacy-smtp');
  });
});
