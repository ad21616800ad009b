/** A second operator joins a fleet by two signed files, and what goes wrong with them. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openTestFleet } from '../support/identity-fleet.ts';
import type { TestConsole, TestFleet } from '../support/identity-fleet.ts';

const never = new AbortController().signal;
const passphrase = 'a second set of words';

let folder: string;
let fleet: TestFleet;
let second: TestConsole;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nest-devices-'));
  fleet = await openTestFleet(folder);
  second = fleet.openConsole('second');
});
afterEach(async () => {
  await fleet.close();
  await rm(folder, { recursive: true, force: true });
});

const ask = (from: TestConsole, operatorName = 'grace') => from.core.handlers['device.request']({ operatorName, passphrase }, never);
const rootFingerprint = async (): Promise<string> => (await fleet.core.handlers['certificate.list']({}, never)).root.fingerprint;
const admit = (file: string, fingerprint: string, share: 'none' | 'agents' | 'all' = 'none') =>
  fleet.core.handlers['device.admit']({ file, fingerprint, share }, never);
const take = async (by: TestConsole, file: string) =>
  by.core.handlers['device.join']({ file, rootFingerprint: await rootFingerprint(), storage: 'passphrase', passphrase }, never);
const isLive = async (at: TestConsole, hostId: string): Promise<boolean> => {
  for await (const { live } of at.core.handlers['host.watch']({ hostId }, AbortSignal.timeout(15_000))) if (live) return true;
  return false;
};
/** Changes a field of the signed content and nothing else. */
const tampered = (file: string, change: (payload: Record<string, unknown>) => void): string => {
  const envelope = JSON.parse(file) as { payload: string };
  const payload = JSON.parse(Buffer.from(envelope.payload, 'base64').toString()) as Record<string, unknown>;
  change(payload);
  return JSON.stringify({ ...envelope, payload: Buffer.from(JSON.stringify(payload)).toString('base64') });
};

describe('a second device', () => {
  it('sees the hosts after request, admission and join, and renews agents when it was given their authority', async () => {
    const { hostId } = await fleet.enroll('edge-1');
    const request = await ask(second);
    expect(request.file).not.toContain('PRIVATE');
    await expect(fleet.core.handlers['device.inspect']({ file: request.file }, never)).resolves.toMatchObject({
      kind: 'request',
      operatorName: 'grace',
      fingerprint: request.fingerprint,
    });
    const grant = await admit(request.file, request.fingerprint, 'agents');
    expect(grant.file).not.toContain('PRIVATE');
    await expect(take(second, grant.file)).resolves.toMatchObject({ phase: 'open', operatorName: 'grace', hostCount: 1 });
    expect(await isLive(second, hostId)).toBe(true);
    await second.core.handlers['certificate.renew']({ hostId }, never);
    const { rows } = await fleet.core.handlers['certificate.list']({}, never);
    const device = rows.find(({ name }) => name === 'grace');
    expect(device).toMatchObject({ kind: 'operator', fingerprint: request.fingerprint });
    await expect(second.core.handlers['certificate.revoke']({ serial: device?.serial ?? '' }, never)).rejects.toMatchObject({
      code: 'SCOPE_MISSING',
    });
    await fleet.core.handlers['certificate.revoke']({ serial: device?.serial ?? '' }, never);
    const offline = async () => (await second.core.handlers['hosts.list']({}, never))[0]?.state;
    await expect.poll(offline, { timeout: 12_000 }).toBe('offline');
  });

  it('without the authority for agents uses hosts but certifies nothing, and renews its own certificate by the same way', async () => {
    const { hostId } = await fleet.enroll('edge-1');
    const request = await ask(second);
    await take(second, (await admit(request.file, request.fingerprint)).file);
    expect(await isLive(second, hostId)).toBe(true);
    await expect(second.core.handlers['certificate.renew']({ hostId }, never)).rejects.toMatchObject({ code: 'SCOPE_MISSING' });
    const own = async () =>
      (await second.core.handlers['certificate.list']({}, never)).rows.find(({ name }) => name.includes('this device'));
    const before = await own();
    const again = await ask(second);
    expect(again.fingerprint).toBe(request.fingerprint);
    await take(second, (await admit(again.file, again.fingerprint)).file);
    const after = await own();
    expect([after?.fingerprint, after?.serial === before?.serial]).toEqual([before?.fingerprint, false]);
  });

  it('is not admitted for another key, nor by a changed, old or foreign file', async () => {
    const request = await ask(second);
    await expect(admit(request.file, 'ab'.repeat(32))).rejects.toMatchObject({ code: 'IDENTITY_MISMATCH' });
    const renamed = tampered(request.file, (payload) => (payload['operatorName'] = 'ada'));
    await expect(admit(renamed, request.fingerprint)).rejects.toMatchObject({ code: 'PROOF_INVALID' });
    const other = await ask(fleet.openConsole('third'), 'mallory');
    const theirs = (
      JSON.parse(Buffer.from((JSON.parse(other.file) as { payload: string }).payload, 'base64').toString()) as { signingRequest: string }
    ).signingRequest;
    const swapped = tampered(request.file, (payload) => (payload['signingRequest'] = theirs));
    await expect(admit(swapped, other.fingerprint)).rejects.toMatchObject({ code: 'PROOF_INVALID' });
    const old = tampered(request.file, (payload) => (payload['at'] = 0));
    for (const file of ['', '{}', 'x'.repeat(100), JSON.stringify({ payload: '' })])
      await expect(admit(file, request.fingerprint)).rejects.toMatchObject({ code: 'INPUT_INVALID' });
    await expect(admit(old, request.fingerprint)).rejects.toMatchObject({ code: 'PROOF_INVALID' });
  });

  it('does not join with a changed grant, one for another device, another root, or another passphrase', async () => {
    const request = await ask(second);
    const grant = await admit(request.file, request.fingerprint, 'agents');
    await expect(
      take(
        second,
        tampered(grant.file, (payload) => (payload['fleetName'] = 'Other')),
      ),
    ).rejects.toMatchObject({ code: 'PROOF_INVALID' });
    const wrongRoot = { file: grant.file, rootFingerprint: 'ab'.repeat(32), storage: 'passphrase', passphrase } as const;
    await expect(second.core.handlers['device.join'](wrongRoot, never)).rejects.toMatchObject({ code: 'FLEET_MISMATCH' });
    const right = { ...wrongRoot, rootFingerprint: await rootFingerprint() };
    await expect(second.core.handlers['device.join']({ ...right, passphrase: 'other words here' }, never)).rejects.toMatchObject({
      code: 'PASSPHRASE_WRONG',
    });
    const third = fleet.openConsole('third');
    await expect(take(third, grant.file)).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await ask(third, 'mallory');
    await expect(take(third, grant.file)).rejects.toMatchObject({ code: 'PROOF_INVALID' });
    await expect(take(second, request.file)).rejects.toMatchObject({ code: 'INPUT_INVALID' });
    await expect(take(second, grant.file)).resolves.toMatchObject({ phase: 'open' });
  });
});
