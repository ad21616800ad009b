import { X509Certificate } from 'node:crypto';
import { beforeAll, describe, expect, it } from 'vitest';
import { openRootChange, rootChangeBytes, rootChangeOf, rootsAfter, sealRootChange } from '../../../proto/model/root-change.ts';
import type { RootPhase, SignedEnvelope } from '../../../proto/model/root-change.ts';
import { createTestFleet } from './test-fleet.ts';
import type { TestFleet } from './test-fleet.ts';

const fleetId = '01jz000000000000000000000a';
const nowMs = Date.now();
let old: TestFleet;
let next: TestFleet;
let stranger: TestFleet;

beforeAll(async () => {
  [old, next, stranger] = [await createTestFleet(fleetId), await createTestFleet(fleetId), await createTestFleet(fleetId)];
});

const pair = ({ root }: TestFleet) => ({ certificate: root.certificatePem, privateKey: root.keyPem });
const rootOf = ({ root }: TestFleet): X509Certificate => new X509Certificate(root.certificatePem);
const authoritiesOf = ({ authorities }: TestFleet): readonly string[] =>
  [authorities.agents, authorities.operators].map(({ certificate }) => certificate.toString('pem'));
const seal = (
  phase: RootPhase = 'dual-trust',
  more: { readonly to?: TestFleet; readonly authorities?: TestFleet; readonly fleetId?: string } = {},
): SignedEnvelope =>
  sealRootChange(
    {
      fleetId: more.fleetId ?? fleetId,
      sequence: 7,
      phase,
      issuedAtMs: nowMs,
      accessBeginning: 'ab'.repeat(32),
      authorities: authoritiesOf(more.authorities ?? more.to ?? next),
    },
    { from: pair(old), to: pair(more.to ?? next) },
  );
const open = (envelope: SignedEnvelope, roots: readonly TestFleet[] = [old], at = nowMs) =>
  openRootChange(envelope, { fleetId, roots: roots.map(rootOf), nowMs: at });

describe('a step of a change of the root', () => {
  it('is believed by who believes either root, and survives being kept', () => {
    for (const phase of ['announced', 'dual-trust', 're-issue', 'dropped', 'cancelled'] as const)
      expect(open(rootChangeOf(rootChangeBytes(seal(phase))), [next])).toMatchObject({
        phase,
        sequence: 7,
        accessBeginning: 'ab'.repeat(32),
      });
    const names = (phase: RootPhase) =>
      rootsAfter(open(seal(phase))).map((root) => (root.raw.equals(old.root.certificateDer) ? 'old' : 'new'));
    expect(['announced', 'dual-trust', 're-issue', 'dropped', 'cancelled'].map((phase) => names(phase as RootPhase).join(' '))).toEqual([
      'old',
      'old new',
      'old new',
      'new',
      'old',
    ]);
  });

  it('is refused when a root has not signed it, when neither is believed, and when it was changed', () => {
    const good = seal();
    for (const kept of [0, 1])
      expect(() => open({ ...good, signatures: good.signatures.slice(kept, kept + 1) })).toThrow(/both roots must have signed/);
    expect(() => open(good, [stranger])).toThrow(/neither of its roots is believed/);
    const payload = Buffer.from(good.payload);
    payload[payload.length - 1] = (payload.at(-1) ?? 0) ^ 1;
    expect(() => open({ ...good, payload })).toThrow(expect.objectContaining({ code: 'CERTIFICATE_INVALID' }) as Error);
    expect(() => open({ ...good, payload: Buffer.from('no step') })).toThrow(
      expect.objectContaining({ code: 'CERTIFICATE_INVALID' }) as Error,
    );
    expect(() => open({ ...good, payloadType: 'nest.intent.v1' })).toThrow(expect.objectContaining({ code: 'INPUT_INVALID' }) as Error);
  });

  it('is refused for another fleet, a root to itself, foreign authorities, and a root that is not in date', () => {
    expect(() => open(seal('announced', { fleetId: '01jz000000000000000000000b' }))).toThrow(
      expect.objectContaining({ code: 'FLEET_MISMATCH' }) as Error,
    );
    expect(() => open(seal('announced', { to: old }))).toThrow(/both roots must have signed/);
    expect(() => open(seal('announced', { authorities: stranger }))).toThrow(/an authority is not signed by the new root/);
    expect(() => open(seal(), [old], nowMs + 4_000 * 86_400_000)).toThrow(/not in date/);
  });
});
