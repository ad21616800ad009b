/** The console and real agents over real TLS: renewal, change of keys, revocation, and fleets from before there were authorities. */
import { X509Certificate } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openFleetCache } from '../../desktop/core/cache/sqlite-fleet-cache.ts';
import type { HostRecord } from '../../desktop/core/cache/fleet-cache.ts';
import { openTestFleet } from '../support/identity-fleet.ts';
import type { TestFleet } from '../support/identity-fleet.ts';

let folder: string;
let fleet: TestFleet;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nest-certificates-'));
  fleet = await openTestFleet(folder);
});
afterEach(async () => {
  await fleet.close();
  await rm(folder, { recursive: true, force: true });
});

const never = new AbortController().signal;

describe('certificates of a fleet', () => {
  it('reach an agent with its lists, and are renewed on demand with the key kept, then with a new key', async () => {
    const { hostId, agent } = await fleet.enroll('edge-1');
    await expect.poll(() => agent.identity.revocation().isChecked, { timeout: 15_000 }).toBe(true);
    const first = agent.identity.identity();
    await fleet.core.handlers['certificate.renew']({ hostId }, never);
    const second = agent.identity.identity();
    expect([second?.fingerprint, second?.certificate === first?.certificate]).toEqual([first?.fingerprint, false]);
    await fleet.core.handlers['certificate.renew']({ hostId, freshKey: true }, never);
    const third = agent.identity.identity();
    expect(third?.fingerprint).not.toBe(first?.fingerprint);
    expect(new X509Certificate(third?.certificate ?? '').issuer).toContain('CN=agents');
    await fleet.reconnect(hostId);
    expect((await fleet.core.handlers['host.get']({ hostId }, never)).certificate?.fingerprint).toBe(third?.fingerprint);
  });

  it('refuse what was revoked; a device that revokes itself, as after a restored backup, goes on with a fresh key', async () => {
    const { agent, hostId } = await fleet.enroll('edge-1');
    await expect.poll(() => agent.identity.revocation().isChecked, { timeout: 15_000 }).toBe(true);
    const own = async () => {
      const { rows } = await fleet.core.handlers['certificate.list']({}, never);
      return rows.find(({ kind, name }) => kind === 'operator' && name.includes('this device'));
    };
    const lost = await own();
    await fleet.core.handlers['certificate.revoke']({ serial: lost?.serial ?? '' }, never);
    const issuer = `CN=operators\nOU=issuing\nO=${agent.identity.identity()?.fleetId ?? ''}`;
    expect(agent.identity.isCertificateRevoked({ issuer, serial: lost?.serial ?? '' })).toBe(true);
    const state = async () => (await fleet.core.handlers['hosts.list']({}, never)).find((row) => row.hostId === hostId)?.state;
    await expect.poll(state, { timeout: 15_000 }).toBe('healthy');
    const fresh = await own();
    expect([fresh?.fingerprint === lost?.fingerprint, fresh?.isRevoked]).toEqual([false, false]);
  });

  it('under a stolen authority for operators are worth nothing once it is revoked; the console that holds the root goes on with a fresh one', async () => {
    const { agent, hostId } = await fleet.enroll('edge-1');
    const thief = fleet.openConsole('thief');
    const passphrase = 'words of somebody else';
    const request = await thief.core.handlers['device.request']({ operatorName: 'ada', passphrase }, never);
    const grant = await fleet.core.handlers['device.admit']({ file: request.file, fingerprint: request.fingerprint, share: 'all' }, never);
    const { root, rows } = await fleet.core.handlers['certificate.list']({}, never);
    const join = { file: grant.file, rootFingerprint: root.fingerprint, storage: 'passphrase', passphrase } as const;
    await thief.core.handlers['device.join'](join, never);
    const states = async (): Promise<unknown> => [
      (await fleet.core.handlers['hosts.list']({}, never))[0]?.state,
      (await thief.core.handlers['hosts.list']({}, never))[0]?.stateReason,
    ];
    await expect.poll(states, { timeout: 10_000 }).toEqual(['healthy', null]);
    await expect.poll(() => agent.identity.revocation().isChecked, { timeout: 15_000 }).toBe(true);
    const authority = rows.find(({ kind, name }) => kind === 'authority' && name === 'operators');
    await fleet.core.handlers['certificate.revoke']({ serial: authority?.serial ?? '' }, never);
    await expect.poll(states, { timeout: 20_000 }).toEqual(['healthy', expect.stringMatching(/revoked/)]);
    // A certificate that the thief makes with the authority it has is refused as well.
    const own = (await thief.core.handlers['certificate.list']({}, never)).rows.find(({ name }) => name === 'ada (this device)');
    await thief.core.handlers['certificate.revoke']({ serial: own?.serial ?? '' }, never);
    await thief.core.handlers['fleet.lock']({}, never);
    await thief.core.handlers['fleet.unlock']({ passphrase }, never);
    await expect.poll(states, { timeout: 20_000 }).toEqual(['healthy', expect.stringMatching(/revoked/)]);
    const agents = rows.find(({ kind, name }) => kind === 'authority' && name === 'agents');
    await expect(fleet.core.handlers['certificate.revoke']({ serial: agents?.serial ?? '' }, never)).rejects.toMatchObject({
      code: 'INPUT_INVALID',
    });
    expect(hostId).not.toBe('');
  }, 60_000);

  it('of agents are renewed by themselves when a third is used, and when the root had signed them', async () => {
    const { agent, hostId } = await fleet.enroll('edge-1');
    const cache = openFleetCache(join(folder, 'first.sqlite'), Date.now()).cache;
    const change = (part: (record: HostRecord) => HostRecord): void => {
      const record = cache.hosts().find((known) => known.hostId === hostId);
      if (record !== undefined) cache.putHost(part(record));
    };
    const serial = () => new X509Certificate(agent.identity.identity()?.certificate ?? '').serialNumber;
    const first = serial();
    change((record) => ({ ...record, certificateEndsAt: Date.now() + 200 * 86_400_000 }));
    await expect.poll(serial, { timeout: 15_000 }).not.toBe(first);
    const second = serial();
    // As the inventory of a console from before there were authorities has it.
    await expect.poll(() => cache.hosts()[0]?.certificateSerial, { timeout: 5_000 }).toBe(second.toLowerCase());
    change(({ issuedBy: _issuer, ...record }) => record);
    await expect.poll(serial, { timeout: 15_000 }).not.toBe(second);
    // As a console that died in the middle of a change of keys has it.
    await expect.poll(() => cache.hosts()[0]?.issuedBy, { timeout: 5_000 }).toBe('agents');
    change((record) => ({ ...record, nextSpkiSha256: record.spkiSha256, spkiSha256: 'ab'.repeat(32) }));
    await expect.poll(() => cache.hosts()[0]?.nextSpkiSha256 ?? null, { timeout: 15_000 }).toBeNull();
    expect(cache.hosts()[0]?.spkiSha256).toBe(agent.identity.fingerprint());
    cache.close();
  }, 60_000);

  it('list all that ends, what ends first comes first, and revoke only what has a serial number', async () => {
    await fleet.enroll('edge-1');
    const { rows } = await fleet.core.handlers['certificate.list']({}, never);
    expect(rows.map(({ kind, name }) => `${kind} ${name}`).toSorted()).toEqual(
      [
        'access-bundle access bundle, epoch 1, revision 1',
        'operator ada (this device)',
        'revocation-list revoked by agents',
        'revocation-list revoked by operators',
        'revocation-list revoked by root',
        'agent edge-1',
        'authority operators',
        'authority agents',
        'root Test fleet root',
      ].toSorted(),
    );
    expect(rows.map(({ endsAt }) => endsAt)).toEqual(rows.map(({ endsAt }) => endsAt).toSorted((a, b) => a - b));
    expect(rows.every(({ alert }) => alert === 'none')).toBe(true);
    await expect(fleet.core.handlers['certificate.revoke']({ serial: 'abc' }, never)).rejects.toMatchObject({ code: 'NOT_FOUND' });
    const root = rows.find(({ kind }) => kind === 'root');
    await expect(fleet.core.handlers['certificate.revoke']({ serial: root?.serial ?? '' }, never)).rejects.toMatchObject({
      code: 'INPUT_INVALID',
    });
  });
});
