import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { generateAgentKey } from './agent-key.ts';
import { createSigningRequest } from './bootstrap-certificate.ts';
import { checkChain } from './certificate-chain.ts';
import { openIdentityStore } from './identity-store.ts';
import type { IdentityStore } from './identity-store.ts';
import { createTestFleet, testAgentId } from './test-fleet.ts';

const fleetId = '01jz000000000000000000000a';
const nowMs = Date.UTC(2026, 5, 1);

describe('identity directory', () => {
  let stateDir: string;
  const path = (name: string): string => join(stateDir, 'identity', name);
  beforeEach(async () => {
    stateDir = await mkdtemp(join(tmpdir(), 'nest-identity-'));
  });
  afterEach(() => rm(stateDir, { recursive: true }));

  const enrolled = async (): Promise<IdentityStore> => {
    const store = await openIdentityStore(stateDir);
    const fleet = await createTestFleet(fleetId, nowMs);
    const certificateChain = await fleet.signAgent(await createSigningRequest(store.key));
    const offer = { certificateChain, fleetRoot: fleet.root.certificateDer, fleetId };
    await store.saveIdentity(checkChain(offer, { rootSpkiHash: fleet.root.spkiHash, agentSpkiHash: store.key.spkiHash, nowMs }), nowMs);
    return store;
  };

  it('keeps key and identity over a restart, closed to everybody else', async () => {
    const before = await enrolled();
    const after = await openIdentityStore(stateDir);
    expect(after.identity).toEqual(before.identity);
    expect([after.identity?.agentId, after.key.fingerprint]).toEqual([testAgentId, before.key.fingerprint]);
    expect((await stat(join(stateDir, 'identity'))).mode & 0o777).toBe(0o700);
    for (const name of await readdir(join(stateDir, 'identity')))
      expect([name, (await stat(path(name))).mode & 0o777]).toEqual([name, 0o600]);
  });

  it('has no identity when a crash came before the last file', async () => {
    await enrolled();
    await rm(path('identity.json'));
    expect((await openIdentityStore(stateDir)).identity).toBeNull();
  });

  it.each(['identity.json', 'key.pem', 'tokens.json'])('refuses a damaged %s instead of guessing', async (name) => {
    const store = await enrolled();
    await store.spendToken(Buffer.alloc(16, 1), 'used');
    const content = await readFile(path(name));
    await writeFile(path(name), content.subarray(0, content.length / 2));
    await expect(openIdentityStore(stateDir)).rejects.toMatchObject({ code: 'STATE_CORRUPT' });
  });

  it('reads what the first version wrote, checks it, and keeps it in one file from the next change on', async () => {
    const { identity } = await enrolled();
    if (identity === null) throw new Error('not enrolled');
    const { chain, root, rootNames: _names, authorities: _known, revocationLists: _lists, keyFile: _file, ...others } = identity;
    const { rootChange: _change, rootStep: _step, ...rest } = others;
    const hash = (text: string): string => createHash('sha256').update(text).digest('hex');
    const first = JSON.stringify({ version: 1, ...rest, chainSha256: hash(chain), rootSha256: hash(root) });
    await writeFile(path('identity.json'), first);
    await writeFile(path('chain.pem'), chain);
    await writeFile(path('root.pem'), root);
    const store = await openIdentityStore(stateDir);
    expect(store.identity).toEqual(identity);
    await store.replaceIdentity({ ...identity, endsAtMs: 7 });
    expect((await openIdentityStore(stateDir)).identity).toEqual({ ...identity, endsAtMs: 7 });
    expect((await readdir(join(stateDir, 'identity'))).sort()).toEqual(['identity.json', 'key.pem']);
    await writeFile(path('identity.json'), first);
    await writeFile(path('chain.pem'), chain.slice(1));
    await writeFile(path('root.pem'), root);
    await expect(openIdentityStore(stateDir)).rejects.toMatchObject({ code: 'STATE_CORRUPT' });
  });

  it('changes key and certificate as one, and forgets both', async () => {
    const store = await enrolled();
    const { identity } = store;
    if (identity === null) throw new Error('not enrolled');
    const [old, fresh] = [store.key.fingerprint, generateAgentKey()];
    await store.replaceIdentity(identity, fresh);
    const after = await openIdentityStore(stateDir);
    expect([after.key.fingerprint, after.identity?.fingerprint]).toEqual([fresh.fingerprint, fresh.fingerprint]);
    await after.forgetIdentity();
    const empty = await openIdentityStore(stateDir);
    expect(empty.identity).toBeNull();
    expect([old, fresh.fingerprint]).not.toContain(empty.key.fingerprint);
    expect(await readdir(join(stateDir, 'identity'))).toEqual(['key.pem']);
  });

  it('never writes the secret of a token, and remembers how tokens ended', async () => {
    const store = await openIdentityStore(stateDir);
    const [id, key] = [Buffer.alloc(16, 1), Buffer.alloc(32, 2)];
    await store.savePending({ id, key, rootSpkiHash: Buffer.alloc(32, 3), expiresAtMs: nowMs });
    expect((await openIdentityStore(stateDir)).pending).toEqual({ id, key, rootSpkiHash: Buffer.alloc(32, 3), expiresAtMs: nowMs });
    await store.spendToken(id, 'expired');
    const after = await openIdentityStore(stateDir);
    expect([after.pending, after.tokenEnd(id), after.tokenEnd(Buffer.alloc(16, 9))]).toEqual([null, 'expired', null]);
  });

  it('remembers a bounded number of spent tokens, the latest', async () => {
    const store = await openIdentityStore(stateDir);
    const id = (number: number): Buffer => Buffer.from(number.toString(16).padStart(32, '0'), 'hex');
    for (let number = 0; number < 260; number++) await store.spendToken(id(number), 'used');
    expect([store.tokenEnd(id(3)), store.tokenEnd(id(4)), store.tokenEnd(id(259))]).toEqual([null, 'used', 'used']);
  });

  it('says what to do when the directory cannot be used', async () => {
    await writeFile(join(stateDir, 'identity'), 'a file in the way');
    await expect(openIdentityStore(stateDir)).rejects.toMatchObject({ code: 'STATE_FAILED' });
  });
});
