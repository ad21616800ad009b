import { cleanup, screen, waitFor } from '@testing-library/react';
import { userEvent } from '@testing-library/user-event';
import { Route, Routes } from 'react-router';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { SnapshotFile, SnapshotInfo } from '../../../bridge/snapshot-model.ts';
import { TestBridge } from '../../client/test-bridge.ts';
import type { TestBridgeOptions } from '../../client/test-bridge.ts';
import { testDetail, testHosts, testTrace } from '../../client/test-fleet.ts';
import { renderView } from '../../client/test-view.tsx';
import { ComparePage } from './compare-page.tsx';
import { SnapshotPage } from './snapshot-page.tsx';
import { SnapshotsPage } from './snapshots-page.tsx';

afterEach(cleanup);

const now = 1_700_000_000_000;
const info = (more: Partial<SnapshotInfo> = {}): SnapshotInfo => ({
  fleetId: '01j00000000000000000000000',
  fleetName: 'Amsterdam fleet',
  createdAt: now - 3 * 86_400_000,
  author: 'operator/olga',
  device: 'cd'.repeat(32),
  rootSha256: 'ab'.repeat(32),
  trust: 'own',
  standing: 'good',
  profile: 'diagnostic',
  hosts: 4,
  consoleVersion: '0.0.0',
  accessRevision: 2,
  hasPassphrase: true,
  keyHolders: 0,
  maskKeyId: '0102030405060708',
  ...more,
});
const file = (more: Partial<SnapshotFile> = {}): SnapshotFile => ({
  snapshotId: '01J00000000000000000000001',
  fileName: 'ams.nestsnap',
  bytes: 4_100,
  received: 4_100,
  info: info(),
  isOpen: true,
  left: { flows: 12, images: 0, documents: 0 },
  ...more,
});
const hosts = testHosts(now);
const [host] = hosts;
if (host === undefined) throw new Error('the test fleet is empty');

const show = (path: string, answers: TestBridgeOptions['answers']): TestBridge => {
  const bridge = new TestBridge({ answers: { 'snapshot.recipients': () => [], ...answers } });
  renderView(
    <Routes>
      <Route path="/snapshots" element={<SnapshotsPage />} />
      <Route path="/snapshots/:id" element={<SnapshotPage />} />
      <Route path="/snapshots/:id/compare" element={<ComparePage />} />
    </Routes>,
    bridge,
    path,
  );
  return bridge;
};
const opened = `/snapshots/${file().snapshotId}`;
const inside: TestBridgeOptions['answers'] = {
  'snapshot.list': () => [file()],
  'snapshot.hosts': ({ where = '' }) => {
    const rows = hosts.filter(({ name }) => name.includes(where));
    return { rows, matched: rows.length, total: hosts.length, problems: [] };
  },
  'snapshot.host': ({ hostId }) => {
    const row = hosts.find((one) => one.hostId === hostId) ?? host;
    return {
      ...testDetail(row, now),
      port: 50_051,
      cluster: 'ams',
      documents: [{ kind: 'policy', at: now }],
      hasPolicy: true,
      hasImage: true,
    };
  },
};

describe('the page of snapshot files', () => {
  it('makes one with a profile and recipients, and hands it over', async () => {
    const user = userEvent.setup();
    vi.stubGlobal('URL', Object.assign(URL, { createObjectURL: () => 'blob:1', revokeObjectURL: () => undefined }));
    const click = vi.spyOn(HTMLAnchorElement.prototype, 'click').mockImplementation(() => undefined);
    const bridge = show('/snapshots', {
      'snapshot.list': () => [],
      'snapshot.recipients': () => [{ name: 'field', recipient: 'nestrcpt1.x' }],
      'snapshot.create': () => file({ isOpen: false }),
      'snapshot.read': ({ offset }) => (offset === 0 ? { data: btoa('NEST'), next: 4 } : { data: btoa('SNAP'), next: null }),
    });
    expect(await screen.findByText('No snapshot is open')).toBeDefined();
    const make = screen.getByTestId<HTMLButtonElement>('snapshot-make');
    expect(make.disabled).toBe(true);
    await user.selectOptions(screen.getByTestId('snapshot-profile'), 'diagnostic');
    await user.type(screen.getByTestId('snapshot-passphrase'), 'too short');
    await user.type(screen.getByTestId('snapshot-passphrase-again'), 'too short');
    expect(make.disabled).toBe(true);
    await user.clear(screen.getByTestId('snapshot-passphrase'));
    await user.clear(screen.getByTestId('snapshot-passphrase-again'));
    await user.click(await screen.findByLabelText('field'));
    await user.click(make);
    expect((await screen.findByTestId('snapshot-made')).textContent).toContain('ab'.repeat(32));
    expect(bridge.calls).toContainEqual({ method: 'snapshot.create', input: { profile: 'diagnostic', recipients: ['field'] } });
    expect(click).toHaveBeenCalledOnce();
    vi.unstubAllGlobals();
    click.mockRestore();
  });

  it('takes a file in, and opens a foreign one only after its root was compared', async () => {
    const user = userEvent.setup();
    const foreign = file({ isOpen: false, left: null, info: info({ trust: 'foreign', standing: 'locked' }) });
    const bridge = show('/snapshots', {
      ...inside,
      'snapshot.list': () => [],
      'snapshot.begin': () => file({ info: null, isOpen: false, received: 0 }),
      'snapshot.append': () => foreign,
      'snapshot.inspect': () => foreign,
      'snapshot.open': () => file({ info: foreign.info }),
    });
    await user.upload(await screen.findByTestId('snapshot-choose'), new File(['NESTSNAP'], 'ams.nestsnap'));
    expect((await screen.findByTestId('snapshot-whose')).textContent).toContain('of a fleet this console does not know: 4 hosts, made 3 d');
    expect(bridge.calls).toContainEqual({
      method: 'snapshot.append',
      input: { snapshotId: foreign.snapshotId, offset: 0, data: btoa('NESTSNAP') },
    });
    await user.type(screen.getByTestId('snapshot-secret'), 'correct horse battery');
    const confirm = screen.getByTestId<HTMLButtonElement>('snapshot-open-confirm');
    expect(confirm.disabled).toBe(true);
    await user.click(screen.getByLabelText('I compared the root'));
    expect(confirm.disabled).toBe(true);
    await user.click(screen.getByLabelText('I believe its author all the same'));
    await user.click(confirm);
    await waitFor(() =>
      expect(bridge.calls).toContainEqual({
        method: 'snapshot.open',
        input: { snapshotId: foreign.snapshotId, passphrase: 'correct horse battery', rootSha256: 'ab'.repeat(32), acceptAuthor: true },
      }),
    );
  });

  it('says what is wrong with a file, and with the list', async () => {
    const user = userEvent.setup();
    const refuse = () =>
      Promise.reject(Object.assign(new Error('The snapshot file is refused: it is cut short.'), { code: 'SNAPSHOT_INVALID' }));
    show('/snapshots', { 'snapshot.list': refuse, 'snapshot.begin': refuse });
    expect((await screen.findAllByText(/cut short/)).length).toBe(1);
    await user.upload(screen.getByTestId('snapshot-choose'), new File(['x'], 'x.nestsnap'));
    await waitFor(() => expect(screen.getAllByText('SNAPSHOT_INVALID').length).toBe(2));
  });
});

describe('an open snapshot', () => {
  it('says whose it is and how old, lists what fits a search, and shows a host', async () => {
    const user = userEvent.setup();
    const bridge = show(`${opened}?host=${host.hostId}`, { ...inside, 'snapshot.trace': () => testTrace(false) });
    const banner = await screen.findByTestId('snapshot-banner');
    expect(banner.textContent).toContain('Snapshot of Amsterdam fleet, 3 d old.');
    expect(banner.textContent).toContain('by operator/olga, of this fleet');
    expect(banner.textContent).toContain('Read-only');
    expect(banner.textContent).toContain('12 older flows were left out');
    expect((await screen.findByTestId('snapshot-host')).textContent).toContain(host.name);
    await user.type(screen.getByTestId('snapshot-search'), host.name);
    await waitFor(() =>
      expect(bridge.calls).toContainEqual({
        method: 'snapshot.hosts',
        input: { snapshotId: file().snapshotId, where: host.name, limit: 200 },
      }),
    );
    await user.click(await screen.findByTestId('tab-trace'));
    await user.type(await screen.findByTestId('snapshot-trace-source'), '198.18.3.4');
    await user.type(screen.getByTestId('snapshot-trace-destination'), '198.19.1.9');
    await user.type(screen.getByTestId('snapshot-trace-port'), '443');
    await user.click(screen.getByTestId('snapshot-trace-run'));
    expect(await screen.findByTestId('snapshot-trace-verdict')).toBeDefined();
    expect(bridge.calls.find(({ method }) => method === 'snapshot.trace')?.input).toMatchObject({
      hostId: host.hostId,
      packet: { protocol: 'tcp', source: '198.18.3.4', destination: '198.19.1.9', destinationPort: 443, tcpFlags: 'syn' },
    });
  });

  it('is compared with the fleet as it is now, down to the lines of a policy', async () => {
    const user = userEvent.setup();
    const fields = [
      { field: 'revision', before: '4', after: '5' },
      { field: 'policy', before: 'aa'.repeat(32), after: 'bb'.repeat(32) },
    ];
    const side = { snapshotId: 'live', title: 'now', at: now, hosts: 4 };
    show(`${opened}/compare`, {
      ...inside,
      'snapshot.compare': () => ({
        before: side,
        after: side,
        added: 0,
        removed: 0,
        changed: 1,
        same: 3,
        differences: [{ hostId: host.hostId, name: host.name, kind: 'changed', fields }],
        isMaskShared: false,
      }),
      'snapshot.compare.policy': () => ({ lines: [{ kind: 'added', text: '- name: new-one' }], hidden: 0 }),
    });
    expect((await screen.findByTestId('snapshot-compare-sum')).textContent).toBe('0 added, 0 removed, 1 changed, 3 the same.');
    expect(screen.getByText(/masked values were not compared/)).toBeDefined();
    await user.click(screen.getByTestId('snapshot-policy-diff'));
    expect((await screen.findByTestId('diff')).textContent).toContain('name: new-one');
  });

  it('that was closed has a page that says so', async () => {
    show(opened, { 'snapshot.list': () => [file({ isOpen: false })] });
    expect(await screen.findByText('This snapshot is not open')).toBeDefined();
  });
});
