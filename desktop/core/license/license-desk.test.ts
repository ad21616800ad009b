import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { NestError, toErrorShape } from '../../../proto/model/error.ts';
import { systemClock } from '../../lib/api.ts';
import type { Clock } from '../../lib/api.ts';
import { createManualClock, settle } from '../../lib/manual-clock.ts';
import type { ManualClock } from '../../lib/manual-clock.ts';
import { fakeKey, grantedAnswer, startFakeLicenseServer } from './fake-license-server.ts';
import type { FakeLicenseServer, LicenseMode } from './fake-license-server.ts';
import { LicenseDesk, pollJitter, pollMs } from './license-desk.ts';
import type { LicenseDeskOptions } from './license-desk.ts';
import { emptyMemory } from './license-memory.ts';
import type { LicenseMemory, LicenseStore } from './license-memory.ts';
import { createLicenseServer } from './license-server.ts';
import type { LicenseReply, LicenseServer } from './license-server.ts';
import { developmentSettings, readLicenseSettings } from './license-settings.ts';

const never = new AbortController().signal;
const hour = 3_600_000;
const start = 1_750_000_000_000;

const memoryStore = (): LicenseStore => {
  let memory: LicenseMemory = emptyMemory;
  return { read: () => memory, write: (next) => (memory = next) };
};

const openDesk = (part: Partial<LicenseDeskOptions>): LicenseDesk =>
  new LicenseDesk({
    settings: { ...developmentSettings, isRelease: true },
    server: null,
    store: memoryStore(),
    fleetId: 'fleet-1',
    storedKey: () => fakeKey,
    use: () => ({ hosts: 2, clusters: new Set(['ams']) }),
    clock: systemClock(),
    random: (count) => new Uint8Array(count).fill(0x80),
    version: '0.0.0',
    hostName: 'desk',
    report: () => undefined,
    ...part,
  });

describe('what the licence server does', () => {
  let server: FakeLicenseServer;
  let now: number;
  let desk: LicenseDesk;
  const clock: Clock = { ...systemClock(), now: () => now };
  const open = async (tls?: { readonly key: string; readonly cert: string }): Promise<void> => {
    server = await startFakeLicenseServer(() => now, tls);
    // Only a server that never answers is worth a short wait.
    const client = (): LicenseServer =>
      createLicenseServer({ serverUrl: server.url, product: 'nest', clock, timeoutMs: server.mode === 'slow' ? 100 : 20_000 });
    desk = openDesk({
      server: {
        validate: (...call) => client().validate(...call),
        feature: (...call) => client().feature(...call),
        keepalive: (...call) => client().keepalive(...call),
      },
      clock,
    });
  };

  beforeEach(() => {
    now = start;
  });
  afterEach(async () => {
    await desk.close();
    await server.stop();
  });

  const bought = { hosts: { used: 2, max: 10 }, clusters: { used: 1, max: null }, features: [{ name: 'sso', isOn: true }] };
  const community = { hosts: { used: 2, max: 3 }, clusters: { used: 1, max: 1 }, features: [{ name: 'sso', isOn: false }] };
  const kept = { state: 'grace', ...bought };
  it.each<[LicenseMode, string | null, object]>([
    ['valid', null, { state: 'valid', ...bought }],
    ['unknown-fields', null, { state: 'valid', ...bought }],
    ['ahead', null, { state: 'valid', ...bought }],
    ['behind', null, { state: 'valid', ...bought }],
    ['feature-off', null, { state: 'valid', ...bought, features: [{ name: 'sso', isOn: false }] }],
    ['expired', null, { state: 'expired', ...community }],
    ['revoked', 'LICENSE_INVALID', { state: 'invalid', ...community }],
    ['wrong-product', 'LICENSE_INVALID', { state: 'invalid', ...community }],
    ['wrong-key', 'LICENSE_INVALID', { state: 'invalid', ...community }],
    ['http-401', 'LICENSE_INVALID', { state: 'invalid', ...community }],
    ['http-429', 'LICENSE_UNREACHABLE', kept],
    ['http-500', 'LICENSE_UNREACHABLE', kept],
    ['redirect', 'LICENSE_UNREACHABLE', kept],
    ['slow', 'LICENSE_UNREACHABLE', kept],
    ['truncated', 'LICENSE_UNREACHABLE', kept],
    ['not-json', 'LICENSE_UNREACHABLE', kept],
    ['endless', 'LICENSE_UNREACHABLE', kept],
  ])('%s: raises %s and leaves what it should', async (mode, code, view) => {
    await open();
    await desk.check(undefined, never);
    now += 3 * hour;
    server.mode = mode;
    const raised = await desk.check(undefined, never).then(
      () => null,
      (error: unknown) => toErrorShape(error),
    );
    expect(raised?.code ?? null).toBe(code);
    expect(desk.view()).toMatchObject(view);
    expect(JSON.stringify([raised, desk.view()])).not.toContain(fakeKey);
    expect(server.requests.at(-1)).toEqual({ path: '/api/v2/validate', key: fakeKey, body: { product: 'nest' } });
  });

  it('of another authority is not believed', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'nest-license-'));
    try {
      const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
      const subject = ['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1', '-days', '2'];
      const made = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', key, '-out', cert];
      execFileSync('openssl', [...made, ...subject], { stdio: 'pipe' });
      now = Date.now();
      await open({ key: readFileSync(key, 'utf8'), cert: readFileSync(cert, 'utf8') });
      const refusal = desk.check(undefined, never);
      await expect(refusal).rejects.toMatchObject({ code: 'LICENSE_UNREACHABLE', message: expect.stringContaining('authority') });
      expect(desk.view()).toMatchObject({ state: 'unchecked', ...community });
      expect(server.requests).toEqual([]);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('about one feature is read by its name', async () => {
    await open();
    expect((await desk.check('SSO', never)).feature).toEqual({ name: 'sso', isEntitled: true });
    expect((await desk.check('reports', never)).feature).toEqual({ name: 'reports', isEntitled: false });
    expect(server.requests.at(-1)).toMatchObject({ path: '/api/v2/features', body: { product: 'nest', feature: 'reports' } });
  });

  it('remembers a refusal over an outage that follows', async () => {
    await open();
    await desk.check(undefined, never);
    server.mode = 'revoked';
    await expect(desk.check(undefined, never)).rejects.toMatchObject({ code: 'LICENSE_INVALID' });
    server.mode = 'http-500';
    await expect(desk.check(undefined, never)).rejects.toMatchObject({ code: 'LICENSE_UNREACHABLE' });
    expect(desk.view()).toMatchObject({ state: 'invalid', ...community });
  });

  it('counts for nothing when the clock is set back', async () => {
    await open();
    await desk.check(undefined, never);
    now += 15 * 24 * hour;
    server.mode = 'http-500';
    await expect(desk.check(undefined, never)).rejects.toMatchObject({ code: 'LICENSE_UNREACHABLE' });
    now = start + hour;
    expect(desk.view().state).toBe('lapsed');
  });
});

describe('asking by itself', () => {
  let clock: ManualClock;
  let calls: { readonly what: string; readonly at: number }[];
  let answer: () => LicenseReply;
  let desk: LicenseDesk | undefined;

  const server: LicenseServer = {
    validate: () => {
      calls.push({ what: 'validate', at: clock.now() - start });
      return Promise.resolve().then(answer);
    },
    feature: () => Promise.reject(new Error('not asked')),
    keepalive: () => {
      calls.push({ what: 'keepalive', at: clock.now() - start });
      return Promise.resolve();
    },
  };
  const begin = (part: Partial<LicenseDeskOptions> = {}): LicenseDesk => {
    desk = openDesk({ server, clock, ...part });
    desk.start();
    return desk;
  };

  beforeEach(() => {
    clock = createManualClock(start);
    calls = [];
    answer = () => ({ answer: grantedAnswer(), skewMs: 0 });
  });
  afterEach(async () => {
    await desk?.close();
    desk = undefined;
  });

  it('asks at once, then each hour within its jitter, and tells of itself in release mode', async () => {
    begin({ random: (count) => new Uint8Array(count).map((_byte, index) => (calls.length * 37 + index * 11) % 256) });
    await clock.advance(6 * hour);
    const asked = calls.filter(({ what }) => what === 'validate').map(({ at }) => at);
    expect(asked[0]).toBe(0);
    expect(asked.length).toBeGreaterThanOrEqual(6);
    const pauses = asked.slice(1).map((at, index) => at - (asked[index] ?? 0));
    for (const pause of pauses) expect(Math.abs(pause - pollMs)).toBeLessThanOrEqual(pollMs * pollJitter);
    expect(new Set(pauses).size).toBeGreaterThan(1);
    expect(calls.filter(({ what }) => what === 'keepalive').length).toBe(asked.length);
  });

  it('sends nothing without a key, whatever the mode', async () => {
    const development = begin({ settings: developmentSettings, storedKey: () => null });
    await clock.advance(72 * hour);
    await development.settle();
    await development.close();
    begin({ storedKey: () => null });
    await clock.advance(72 * hour);
    await desk?.settle();
    expect(calls).toEqual([]);
  });

  it('outside of release mode asks with a key, gates nothing and tells nothing of itself', async () => {
    answer = () => ({ answer: { kind: 'refused', message: 'revoked' }, skewMs: 0 });
    const open = begin({ settings: developmentSettings });
    await clock.advance(2 * hour);
    expect(calls.map(({ what }) => what)).toContain('validate');
    expect(calls.map(({ what }) => what)).not.toContain('keepalive');
    expect(open.view()).toMatchObject({ state: 'development', hosts: { max: null } });
    open.admit({ beside: Array.from({ length: 500 }, () => ({})) });
  });

  it('pauses longer after each failure, and as long as the server asks for', async () => {
    answer = () => {
      throw new NestError('LICENSE_UNREACHABLE', 'away', { details: calls.length > 6 ? { retryAfterMs: 2 * hour } : {} });
    };
    begin();
    await clock.advance(3 * hour);
    const minutes = calls.map(({ at }) => Math.round(at / 60_000));
    expect(minutes.slice(0, 7)).toEqual([0, 1, 3, 7, 15, 31, 63]);
    expect(calls.length).toBe(7);
    await clock.advance(hour);
    expect(Math.round((calls[7]?.at ?? 0) / 60_000)).toBe(63 + 120);
  });

  it('asks once for all enrolments that begin together, and not again for an hour', async () => {
    const open = openDesk({ server, clock });
    desk = open;
    await Promise.all(Array.from({ length: 64 }, () => open.settle()));
    await clock.advance(hour - 1);
    await open.settle();
    expect(calls.length).toBe(1);
    await clock.advance(2);
    await open.settle();
    expect(calls.length).toBe(2);
  });

  it('takes a new key at once', async () => {
    let key: string | null = null;
    const open = begin({ storedKey: () => key });
    await clock.advance(hour);
    key = fakeKey;
    open.keyChanged(null);
    await clock.advance(1);
    await settle();
    expect(open.view()).toMatchObject({ state: 'valid', key: { origin: 'vault', ending: 'IJ90' } });
  });
});

describe('admission', () => {
  const openCommunity = (hosts: number, clusters: readonly string[] = []): LicenseDesk =>
    openDesk({ storedKey: () => null, use: () => ({ hosts, clusters: new Set(clusters) }) });

  it('counts those that are being enrolled, and refuses the fourth host with its figures', () => {
    openCommunity(2).admit({ beside: [] });
    const refusal = { code: 'QUOTA_EXCEEDED', details: { quota: 'hosts', limit: 3, used: 3, state: 'community' } };
    expect(() => openCommunity(2).admit({ beside: [{}] })).toThrow(expect.objectContaining(refusal));
    expect(() => openCommunity(3).admit({ beside: [] })).toThrow(expect.objectContaining(refusal));
  });

  it('takes hosts into the one cluster, and refuses a second', () => {
    openCommunity(1).admit({ cluster: 'ams', beside: [] });
    openCommunity(1, ['ams']).admit({ cluster: 'ams', beside: [] });
    openCommunity(1, ['ams']).admit({ beside: [] });
    const refusal = { code: 'QUOTA_EXCEEDED', details: { quota: 'clusters', limit: 1, used: 1, state: 'community' } };
    expect(() => openCommunity(1, ['ams']).admit({ cluster: 'fra', beside: [] })).toThrow(expect.objectContaining(refusal));
    expect(() => openCommunity(0).admit({ cluster: 'fra', beside: [{ cluster: 'ams' }] })).toThrow(expect.objectContaining(refusal));
  });

  it('refuses to set single sign-on up that nobody bought', () => {
    expect(() => openCommunity(0).require('sso', 'Single sign-on')).toThrow(expect.objectContaining({ code: 'QUOTA_EXCEEDED' }));
    openDesk({ settings: developmentSettings }).require('sso', 'Single sign-on');
  });
});

describe('the environment', () => {
  it('is read with its defaults, and what is wrong in it is said, not raised', () => {
    expect(readLicenseSettings({})).toEqual(developmentSettings);
    expect(readLicenseSettings({ RELEASE_MODE: 'true', LICENSE_KEY: fakeKey.toLowerCase(), PRODUCT_NAME: 'other' })).toMatchObject({
      isRelease: true,
      key: fakeKey,
      product: 'other',
      problem: null,
    });
    expect(readLicenseSettings({ LICENSE_KEY: 'PENG-1', LICENSE_SERVER_URL: 'http://198.18.0.1' })).toMatchObject({
      key: null,
      serverUrl: null,
      problem: expect.stringContaining('LICENSE_SERVER_URL'),
    });
  });

  it('names a key for entitlement files only outside of release mode', () => {
    expect(readLicenseSettings({ LICENSE_PUBLIC_KEY: 'abc' }).publicKeys).toContain('abc');
    expect(readLicenseSettings({ LICENSE_PUBLIC_KEY: 'abc', RELEASE_MODE: 'true' }).publicKeys).not.toContain('abc');
  });
});
