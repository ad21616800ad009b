import { cleanup, screen, waitFor, within } from '@testing-library/react';
import { userEvent } from '@testing-library/user-event';
import { afterEach, describe, expect, it } from 'vitest';
import { TestBridge } from '../../client/test-bridge.ts';
import { testPolicy } from '../../client/test-fleet.ts';
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
    expect(within(screen.getByTestId('trace-steps')).getAllByRole('listitem')).toHaveLength(5);
    expect(bridge.calls.filter(({ method }) => method === 'trace.run')).toHaveLength(1);
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
