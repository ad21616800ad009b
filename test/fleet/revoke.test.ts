/** A lost laptop: its certificate is revoked, its key locked, its running streams cut, and every host says so in its log. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ServiceError } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { describeRefusal, dial } from '../../agent/server/test-console.ts';
import type { FleetKeys } from '../../desktop/core/authority/fleet-authority.ts';
import { HostServiceClient } from '../../proto/gen/nest/v1/host.ts';
import { decodeAuditEntry } from '../../proto/model/audit.ts';
import { rootTrustOf } from '../../proto/model/root-change.ts';
import { AccessBook } from '../../desktop/core/access/access-book.ts';
import { systemClock, systemRandom } from '../../desktop/lib/api.ts';
import { openTestFleet } from '../support/identity-fleet.ts';
import type { TestAgent, TestConsole, TestFleet } from '../support/identity-fleet.ts';

const never = new AbortController().signal;
const passphrase = 'words of a lost laptop';

let folder: string;
let fleet: TestFleet;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nest-revoke-'));
  fleet = await openTestFleet(folder, { isGuarded: true });
});
afterEach(async () => {
  await fleet.close();
  await rm(folder, { recursive: true, force: true });
});

const keysOf = async ({ vault }: TestConsole): Promise<FleetKeys> =>
  JSON.parse(new TextDecoder().decode(await vault.reread())) as FleetKeys;
const actions = async ({ audit }: TestAgent): Promise<readonly string[]> => {
  const found: string[] = [];
  for await (const piece of audit.entries(0, 10_000))
    for (const bytes of piece) {
      const { actor, action, target } = decodeAuditEntry(bytes);
      if (action.startsWith('access.')) found.push(`${actor.replace(/^.*\/operator\//, '')} ${action} ${target}`);
    }
  return found;
};

describe('a revoked device', () => {
  it('is locked, its streams end with the reason, the other device of the operator goes on, and each host notes it', async () => {
    const { agent } = await fleet.enroll('edge-1');
    const laptop = fleet.openConsole('laptop');
    const change = (one: Parameters<(typeof fleet.core.handlers)['access.change']>[0]['change']) =>
      fleet.core.handlers['access.change']({ change: one }, never);
    await change({ kind: 'operator.put', subject: 'operator/grace', title: '' });
    await change({ kind: 'binding.add', subject: 'operator/grace', role: 'viewer', level: '*' });
    const request = await laptop.core.handlers['device.request']({ operatorName: 'grace', passphrase }, never);
    const admit = () => fleet.core.handlers['device.admit']({ file: request.file, fingerprint: request.fingerprint }, never);
    const { file } = await admit();
    const { root } = await fleet.core.handlers['certificate.list']({}, never);
    await laptop.core.handlers['device.join']({ file, rootFingerprint: root.fingerprint, storage: 'passphrase', passphrase }, never);
    const { operator } = await keysOf(laptop);
    const certificate = {
      certificatePem: operator.certificate,
      keyPem: operator.privateKey,
      certificateDer: Buffer.alloc(0),
      spkiHash: Buffer.alloc(0),
    };
    const client = dial(HostServiceClient, { port: agent.port, certificate });
    const stream = client.watchStatus({ deltas: false, knownDescription: undefined });
    const ended = new Promise<string>((resolve) => stream.on('error', (error: ServiceError) => resolve(describeRefusal(error).reason)));
    await new Promise((resolve) => stream.once('data', resolve));

    const startedMs = performance.now();
    const { rows } = await fleet.core.handlers['certificate.list']({}, never);
    const row = rows.find(({ name }) => name === 'grace');
    const revoking = fleet.core.handlers['certificate.revoke']({ serial: row?.serial ?? '' }, never);
    expect(await ended).toBe('REVOKED');
    console.log(`revoke: a running stream of the device was cut ${(performance.now() - startedMs).toFixed(0)} ms after the click`);
    const after = (await revoking).rows.find(({ name }) => name === 'grace');
    expect(after).toMatchObject({ isRevoked: true, note: expect.stringContaining('its device is locked') as string });
    client.close();
    expect(await actions(agent)).toContain(`ada access.locked device/${request.fingerprint}`);
    await expect(admit()).rejects.toMatchObject({ code: 'REVOKED' });
    expect(
      agent.access.isLocked({
        subject: `spiffe://${agent.identity.identity()?.fleetId ?? ''}/operator/grace`,
        kind: 'operator',
        device: '',
      }),
    ).toBe(false);
    await change({ kind: 'unlock', id: `device/${request.fingerprint}` });
    await expect.poll(() => actions(agent), { timeout: 5_000 }).toContain(`ada access.unlocked device/${request.fingerprint}`);
  });
});

describe('a change that another console delivers', () => {
  it('is noticed by the status of a host, long before it would be asked again', async () => {
    const { agent } = await fleet.enroll('edge-1');
    await expect.poll(() => agent.access.head().revision, { timeout: 10_000 }).toBeGreaterThan(0);
    const head = async () => (await fleet.core.handlers['access.get']({}, never)).head?.revision ?? 0;
    const before = await head();
    const keys = await keysOf(fleet);
    const values = new Map<string, unknown>();
    const cache = {
      value: <Content>(name: string) => (values.get(name) ?? null) as Content | null,
      putValue: (name: string, content: unknown) => void values.set(name, content),
      dropValue: (name: string) => void values.delete(name),
    };
    const trust = rootTrustOf(keys.root.certificate, null);
    const options = { cache, clock: systemClock(), random: systemRandom, fleetId: keys.fleetId, rootKey: () => null, trust: () => trust };
    const other = new AccessBook({ ...options, subject: 'operator/ada', ownerKey: keys.owner ?? null });
    other.take(agent.access.updates({ epoch: 0, revision: 0 }).updates);
    other.change({ kind: 'operator.put', subject: 'operator/zoe', title: '' });
    const startedMs = performance.now();
    await agent.access.push(other.chain.updates.map(({ envelope }) => envelope));
    await expect.poll(head, { timeout: 8_000, interval: 20 }).toBe(before + 1);
    console.log(`access: another console's change was taken over ${(performance.now() - startedMs).toFixed(0)} ms after it reached a host`);
    other.close();
  });
});
