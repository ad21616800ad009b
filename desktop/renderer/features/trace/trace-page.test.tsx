import { cleanup, screen, waitFor, within } from '@testing-library/react';
import { userEvent } from '@testing-library/user-event';
import { afterEach, describe, expect, it } from 'vitest';
import { TestBridge } from '../../client/test-bridge.ts';
import { testPolicy, testTrace } from '../../client/test-fleet.ts';
import type { Trace } from '../../../bridge/model.ts';
import { renderView } from '../../client/test-view.tsx';
import { TracePage } from './trace-page.tsx';

afterEach(cleanup);

const hostId = '01J00000000000000000000002';
const filled = `/trace?host=${hostId}&interface=eth0&protocol=tcp&source=198.18.31.17&destination=198.18.7.40&destinationPort=443`;

describe('the packet tracer', () => {
  it('traces a packet that a link brings, once, and says the verdict before the steps', async () => {
    const bridge = new TestBridge();
    renderView(<TracePage />, bridge, filled);
    expect((await screen.findByTestId('trace-verdict')).textContent).toBe('Allowedby registry-in');
    expect(within(screen.getByTestId('trace-steps')).getAllByRole('listitem')).toHaveLength(10);
    expect(bridge.calls.filter(({ method }) => method === 'trace.run')).toHaveLength(1);
  });

  it('links each matched entry to its place, says the way out, and marks rewritten bytes on both sides', async () => {
    renderView(<TracePage />, new TestBridge(), filled);
    const steps = within(await screen.findByTestId('trace-steps'));
    expect(steps.getAllByRole('link').map((link) => [link.textContent, link.getAttribute('href')])).toEqual([
      ['registry-in', `/hosts/${hostId}/policy?mapping=registry-in`],
      ['registry-in', `/hosts/${hostId}/limits`],
      ['web-2', `/hosts/${hostId}/balancers?mapping=registry-in`],
    ]);
    expect(screen.getByTestId('trace-outcome').textContent).toBe('sent out of another interface');
    const changed = (testId: string) =>
      within(screen.getByTestId(testId))
        .getAllByTitle(/destination(?: port)?, changed/)
        .map(({ textContent }) => textContent.trim());
    expect(changed('trace-bytes')).toEqual(['07', '28', '01', 'bb']);
    expect(changed('trace-output')).toEqual(['09', '16', '20', 'fb']);
  });

  it('shows no output for a dropped packet, and one view of bytes that leave as they came', async () => {
    const dropped: Trace = { ...testTrace(false), allowed: false, outcome: 'drop', outputHex: null, reason: 'DENY_LIST', mapping: null };
    renderView(<TracePage />, new TestBridge({ answers: { 'trace.run': () => dropped } }), filled);
    expect((await screen.findByTestId('trace-bytes-card')).textContent).toContain('arrives on eth0, nothing leaves');
    expect(screen.queryByTestId('trace-output')).toBeNull();
    expect(screen.getByTestId('trace-outcome').textContent).toBe('dropped');
    cleanup();
    const same: Trace = { ...testTrace(false), outcome: 'pass', outputHex: testTrace(false).hex };
    renderView(<TracePage />, new TestBridge({ answers: { 'trace.run': () => same } }), filled);
    expect((await screen.findByTestId('trace-bytes-card')).textContent).toContain('arrives on eth0, leaves as it came');
  });

  it('says when the host was not there to judge it', async () => {
    const away: Trace = { ...testTrace(false), live: false, durationNs: null };
    renderView(<TracePage />, new TestBridge({ answers: { 'trace.run': () => away } }), filled);
    expect((await screen.findByTestId('trace-offline')).textContent).toMatch(/does not answer.*by the policy it had .* ago/);
    expect(screen.getByTestId('trace-result').textContent).not.toContain(' ns');
    cleanup();
    renderView(<TracePage />, new TestBridge(), filled);
    expect((await screen.findByTestId('trace-result')).textContent).toContain('61 ns');
    expect(screen.queryByTestId('trace-offline')).toBeNull();
  });

  it('says whether the draft would change it', async () => {
    const bridge = new TestBridge({ draft: { policy: testPolicy, hostIds: [hostId], savedAt: 1 } });
    renderView(<TracePage />, bridge, filled);
    expect((await screen.findByTestId('draft-verdict')).textContent).toBe('Yes: denied by deny-db-from-edge');
    expect(bridge.calls.find(({ method }) => method === 'trace.run')?.input).toMatchObject({ draft: testPolicy });
  });

  it('does not call the host with a packet that cannot be made, and says what is missing', async () => {
    const user = userEvent.setup();
    const bridge = new TestBridge();
    renderView(<TracePage />, bridge, `/trace?host=${hostId}&interface=eth0`);
    await user.click(await screen.findByRole('button', { name: 'Trace' }));
    expect(screen.getAllByText('Needed.')).toHaveLength(2);
    expect(bridge.calls.some(({ method }) => method === 'trace.run')).toBe(false);
  });

  it('sends bytes as hex', async () => {
    const user = userEvent.setup();
    const bridge = new TestBridge();
    renderView(<TracePage />, bridge, `/trace?host=${hostId}&interface=eth0`);
    await user.click(await screen.findByRole('tab', { name: 'Hex' }));
    await user.type(screen.getByLabelText('Bytes from the Ethernet header on'), '02 00 00 00 00 01 02 00 00 00 00 0a 08 06');
    await user.click(screen.getByRole('button', { name: 'Trace' }));
    await waitFor(() =>
      expect(bridge.calls.find(({ method }) => method === 'trace.run')?.input).toEqual({
        hostId,
        interface: 'eth0',
        packet: { hex: '02000000000102000000000a0806' },
      }),
    );
  });
});
