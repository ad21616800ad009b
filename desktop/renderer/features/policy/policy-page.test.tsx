import { cleanup, screen, waitFor, within } from '@testing-library/react';
import { userEvent } from '@testing-library/user-event';
import { afterEach, describe, expect, it } from 'vitest';
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
});
