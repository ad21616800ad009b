/** The console and real agents over real TLS: renewal, change of keys, revocation, and fleets from before there were authorities. */
import { X509Certificate } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
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

  it('cut off a revoked device within a second, and refuse it from then on', async () => {
    const { agent, hostId } = await fleet.enroll('edge-1');
    await expect.poll(() => agent.identity.revocation().isChecked, { timeout: 15_000 }).toBe(true);
    const { rows } = await fleet.core.handlers['certificate.list']({}, never);
    const own = rows.find(({ kind }) => kind === 'operator');
    const reason = async () => (await fleet.core.handlers['hosts.list']({}, never)).find((row) => row.hostId === hostId)?.stateReason ?? '';
    await fleet.core.handlers['certificate.revoke']({ serial: own?.serial ?? '' }, never);
    expect(
      agent.identity.isCertificateRevoked({
        issuer: `CN=operators\nOU=issuing\nO=${agent.identity.identity()?.fleetId ?? ''}`,
        serial: own?.serial ?? '',
      }),
    ).toBe(true);
    await expect.poll(reason, { timeout: 12_000 }).toContain('revoked');
  });

  it('list all that ends, what ends first comes first, and revoke only what has a serial number', async () => {
    await fleet.enroll('edge-1');
    const { rows } = await fleet.core.handlers['certificate.list']({}, never);
    expect(rows.map(({ kind, name }) => `${kind} ${name}`).toSorted()).toEqual(
      [
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
