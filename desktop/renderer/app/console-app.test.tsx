import { act, cleanup, screen, within } from '@testing-library/react';
import { userEvent } from '@testing-library/user-event';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { BridgeStatus } from '../../bridge/client.ts';
import { TestBridge } from '../client/test-bridge.ts';
import { startConsole } from './start.tsx';

interface Opened {
  readonly setStatus: (status: BridgeStatus) => void;
}

const opened: (() => void)[] = [];

afterEach(() => {
  for (const close of opened.splice(0)) close();
  cleanup();
  window.location.hash = '';
});

/** Starts the whole console as the page does, with a link whose status the test moves. */
const open = (bridge: TestBridge, path = '/hosts'): Opened => {
  window.location.hash = path;
  let status: BridgeStatus = 'open';
  const listeners = new Set<(status: BridgeStatus) => void>();
  const link = {
    get status() {
      return status;
    },
    onStatus: (listener: (status: BridgeStatus) => void) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
  const element = document.createElement('div');
  document.body.append(element);
  act(() => {
    const root = startConsole({ bridge, link, element, nonce: undefined, now: bridge.now });
    opened.push(() => {
      act(() => root.unmount());
      element.remove();
    });
  });
  return {
    setStatus: (next) =>
      act(() => {
        status = next;
        for (const listener of listeners) listener(next);
      }),
  };
};

describe('the console', () => {
  it('shows the form before the fleet and, once unlocked, the pages with their counts', async () => {
    const user = userEvent.setup();
    open(new TestBridge({ state: { phase: 'locked' } }));
    await user.type(await screen.findByLabelText('Passphrase', {}, { timeout: 5_000 }), 'correct horse');
    await user.click(screen.getByRole('button', { name: 'Unlock' }));
    const pages = within(await screen.findByRole('navigation', { name: 'Pages' }));
    expect(pages.getAllByRole('link').map((link) => link.textContent)).toEqual([
      'Hosts24',
      'Groups',
      'Policy',
      'Flows',
      'Packet tracer',
      'Rollouts',
      'Approvals',
      'Audit',
      'Snapshots',
      'Access',
      'Certificates',
      'Settings',
    ]);
    await user.click(screen.getByRole('button', { name: 'Lock the console' }));
    expect(await screen.findByRole('heading', { name: 'Unlock Amsterdam fleet' })).toBeDefined();
  });

  it('says so on every page while the core is away, and stops saying it', async () => {
    const { setStatus } = open(new TestBridge());
    await screen.findByRole('heading', { name: 'Hosts' });
    expect(screen.queryByTestId('lost-banner')).toBeNull();
    setStatus('waiting');
    expect(screen.getByTestId('lost-banner').textContent).toContain('Hosts keep enforcing');
    setStatus('open');
    expect(screen.queryByTestId('lost-banner')).toBeNull();
  });

  it('reminds of a change that waits for its confirmation and leads to it', async () => {
    const bridge = new TestBridge();
    bridge.rollout = {
      rolloutId: 'r1',
      planId: 'p1',
      startedAt: bridge.now(),
      confirmWithinSeconds: 60,
      state: 'pending',
      rollbackAt: bridge.now() + 42_000,
      hosts: [],
    };
    open(bridge);
    const banner = await screen.findByTestId('rollout-banner');
    expect(banner.textContent).toContain('taken back in 0:42');
    expect(within(banner).getByRole('link').getAttribute('href')).toBe('#/rollout/r1');
  });

  it('shows at the next frame that a host waits, whoever began the change, and asks for the rollout at once', async () => {
    const bridge = new TestBridge();
    open(bridge);
    await screen.findByRole('heading', { name: 'Hosts' });
    const asked = () => bridge.calls.filter(({ method }) => method === 'rollout.current').length;
    await vi.waitFor(() => expect(asked()).toBe(1));
    bridge.hosts = bridge.hosts.map((host, index) => (index === 3 ? { ...host, pendingUntil: bridge.now() + 30_000 } : host));
    act(() => bridge.emit());
    const banner = await screen.findByTestId('rollout-banner');
    expect(banner.textContent).toContain('A change waits on 1 host.It is taken back in 0:30');
    expect(within(banner).getByRole('link').getAttribute('href')).toBe('#/hosts/01J00000000000000000000003/policy');
    await vi.waitFor(() => expect(asked()).toBe(2));
  });

  it('finds hosts by a few letters with Ctrl K, by keyboard alone', async () => {
    const user = userEvent.setup();
    open(new TestBridge());
    await screen.findByRole('heading', { name: 'Hosts' });
    await user.keyboard('{Control>}k{/Control}');
    await user.type(await screen.findByTestId('palette-input', {}, { timeout: 5_000 }), 'lon-01');
    await user.keyboard('{ArrowDown}{Enter}');
    expect(window.location.hash).toBe('#/hosts/01J00000000000000000000005/overview');
  });
});
