import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { certificatesIn } from '../../../proto/model/certificate-path.ts';
import { sealRootChange } from '../../../proto/model/root-change.ts';
import type { RootPhase, SignedEnvelope } from '../../../proto/model/root-change.ts';
import { createSigningRequest } from './bootstrap-certificate.ts';
import { checkChain } from './certificate-chain.ts';
import { openIdentityStore } from './identity-store.ts';
import type { IdentityStore } from './identity-store.ts';
import { takeRootStep } from './root-change.ts';
import { createTestFleet } from './test-fleet.ts';
import type { TestFleet } from './test-fleet.ts';

const fleetId = '01jz000000000000000000000a';
let stateDir: string;
let store: IdentityStore;
let old: TestFleet;
let next: TestFleet;

const chainUnder = async (fleet: TestFleet) => {
  const certificateChain = await fleet.signAgent(await createSigningRequest(store.key), { under: 'agents' });
  const offer = { certificateChain, fleetRoot: fleet.root.certificateDer, fleetId };
  return checkChain(offer, { rootSpkiHash: fleet.root.spkiHash, agentSpkiHash: store.key.spkiHash, nowMs: Date.now() });
};
const step = (phase: RootPhase, sequence: number, issuedAtMs = Date.now()): SignedEnvelope => {
  const authorities = [next.authorities.agents, next.authorities.operators].map(({ certificate }) => certificate.toString('pem'));
  const pair = ({ root }: TestFleet) => ({ certificate: root.certificatePem, privateKey: root.keyPem });
  return sealRootChange({ fleetId, sequence, phase, issuedAtMs, accessBeginning: '', authorities }, { from: pair(old), to: pair(next) });
};
/** Takes it and says how many roots are believed now; "known" when nothing changed. */
const take = async (envelope: SignedEnvelope): Promise<number | 'known'> => {
  const { identity } = store;
  if (identity === null) throw new Error('not enrolled');
  const changed = await takeRootStep(identity, envelope, Date.now());
  if (changed === null) return 'known';
  const stored = await store.replaceIdentity({ ...identity, ...changed });
  return certificatesIn(stored.root).length;
};
const reissue = async (fleet: TestFleet): Promise<void> => {
  const { identity } = store;
  const { leaf, chain, endsAtMs } = await chainUnder(fleet);
  if (identity !== null) await store.replaceIdentity({ ...identity, leaf, chain, endsAtMs });
};

beforeEach(async () => {
  stateDir = await mkdtemp(join(tmpdir(), 'nest-root-step-'));
  store = await openIdentityStore(stateDir);
  [old, next] = [await createTestFleet(fleetId), await createTestFleet(fleetId)];
  await store.saveIdentity(await chainUnder(old), Date.now() - 60_000);
});
afterEach(() => rm(stateDir, { recursive: true, force: true }));

describe('an agent', () => {
  it('follows the steps, takes each once and none that is older, and keeps them over a restart', async () => {
    const dual = step('dual-trust', 2);
    expect(await take(step('announced', 1))).toBe(1);
    expect(await take(dual)).toBe(2);
    expect(await take(dual)).toBe('known');
    await expect(take(step('announced', 1))).rejects.toMatchObject({ code: 'CERTIFICATE_INVALID' });
    expect(store.identity?.authorities).toHaveLength(2);
    store = await openIdentityStore(stateDir);
    expect([store.identity?.rootStep?.sequence, store.identity?.rootNames.length]).toEqual([2, 2]);
    await expect(take(step('dual-trust', 2, 5))).rejects.toMatchObject({ code: 'CERTIFICATE_INVALID' });
  });

  it('lets no root go that its own certificate hangs on, in either direction', async () => {
    expect(await take(step('re-issue', 3))).toBe(2);
    await expect(take(step('dropped', 4))).rejects.toThrow(/renew it first/);
    await reissue(next);
    await expect(take(step('cancelled', 5))).rejects.toThrow(/renew it first/);
    expect(await take(step('dropped', 6))).toBe(1);
    expect(certificatesIn(store.identity?.root ?? '')[0]?.raw.equals(next.root.certificateDer)).toBe(true);
    expect(store.identity?.authorities).toHaveLength(2);
  });

  it('that joined under the new root does not believe the old one again by a step from before', async () => {
    await store.forgetIdentity();
    await store.saveIdentity(await chainUnder(next), Date.now());
    expect(await take(step('re-issue', 3, Date.now() - 60_000))).toBe(1);
    expect(await take(step('dual-trust', 4, Date.now() + 1_000))).toBe(2);
  });
});
