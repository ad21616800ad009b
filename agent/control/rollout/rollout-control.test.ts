import { createPrivateKey, createPublicKey } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { keyIdOf, sealEnvelope } from '../../../proto/model/envelope.ts';
import { encodeIntent, intentType } from '../../../proto/model/intent.ts';
import type { Intent } from '../../../proto/model/intent.ts';
import type { Envelope } from '../../../proto/model/operator-signature.ts';
import { encodeRollout, rolloutPlanType, rolloutStateType } from '../../../proto/model/rollout.ts';
import type { RolloutPlan, RolloutState } from '../../../proto/model/rollout.ts';
import { silentLogger } from '../../lib/log.ts';
import { createManualClock } from '../../lib/manual-clock.ts';
import { createTestFleet, testAgentId } from '../identity/test-fleet.ts';
import type { TestCertificate, TestFleet } from '../identity/test-fleet.ts';
import type { IntentControl } from '../intent/api.ts';
import { createIntentControl } from '../intent/intent-control.ts';
import type { RolloutControl } from './api.ts';
import { createRolloutControl } from './rollout-control.ts';

const start = Date.now();
const fleetId = '01jz0000000000000000000000';
const ids = {
  rollout: '01JZ0000000000000000000010',
  second: '01JZ0000000000000000000011',
  ours: '01JZ0000000000000000000020',
  other: '01JZ0000000000000000000021',
};

let folder: string;
let fleet: TestFleet;
let ada: TestCertificate;
let clock: ReturnType<typeof createManualClock>;
let control: RolloutControl;
let intents: IntentControl;
let maySign: boolean;

const open = (): void => {
  const identity = { fleetId: fleet.fleetId, agentId: testAgentId, fleetRoot: fleet.root.certificatePem };
  const parts = {
    stateDir: folder,
    identity: { identity: () => identity as ReturnType<Parameters<typeof createRolloutControl>[0]['identity']['identity']> },
    maySign: () => maySign,
    clock,
    log: silentLogger,
  };
  control = createRolloutControl(parts);
  intents = createIntentControl(parts);
};

const seal = (type: string, payload: Uint8Array, by: TestCertificate = ada): Envelope => {
  const privateKey = createPrivateKey(by.keyPem);
  return sealEnvelope(type, payload, [{ privateKey, publicKey: createPublicKeyOf(by), certificateChain: [by.certificateDer] }]);
};

const planOf = (changes: Partial<RolloutPlan> = {}): RolloutPlan => ({
  rolloutId: ids.rollout,
  fleetId: fleet.fleetId,
  name: 'web',
  policy: '{}',
  createdAtMs: start,
  notAfterMs: start + 86_400_000,
  waves: [[testAgentId]],
  maxUnavailable: 1,
  failuresMax: 0,
  soakSeconds: 1,
  baselineSeconds: 1,
  gates: { dropFactor: 2, dropFloorPps: 10, flowFailureFactor: 2, flowFailureFloorPps: 1, health: true, drift: true },
  rollback: 'wave',
  offline: 'skip',
  ...changes,
});

const stateOf = (changes: Partial<RolloutState> = {}): RolloutState => ({
  rolloutId: ids.rollout,
  term: 1,
  sequence: 1,
  conductor: ids.ours,
  phase: 'running',
  wave: 0,
  reason: null,
  atMs: start,
  states: 'w',
  host: {
    hostId: testAgentId,
    state: 'waiting',
    attempt: 0,
    baseRevision: null,
    revision: null,
    generation: '',
    baseline: null,
    problem: null,
  },
  ...changes,
});

const put = (state: Partial<RolloutState>, plan: Partial<RolloutPlan> | null = null, by = ada): string => {
  try {
    control.put({
      plan: plan === null ? null : seal(rolloutPlanType, encodeRollout(planOf(plan)), by),
      state: seal(rolloutStateType, encodeRollout(stateOf(state)), by),
    });
    return 'stored';
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
};

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nest-rollout-'));
  fleet = await createTestFleet(fleetId);
  ada = await fleet.operator('ada');
  clock = createManualClock(start);
  maySign = true;
  open();
});

afterEach(async () => {
  control.close();
  intents.close();
  await rm(folder, { recursive: true, force: true });
});

describe('records of rollouts', () => {
  it('keeps plan and newest state across a restart, and needs the plan once', () => {
    expect([put({}), put({}, {}), put({ sequence: 2 })]).toEqual(['NOT_FOUND', 'stored', 'stored']);
    control.close();
    intents.close();
    open();
    const [record] = control.records();
    expect(JSON.parse(String(record?.state.payload))).toEqual(stateOf({ sequence: 2 }));
    expect(JSON.parse(String(record?.plan.payload))).toEqual(planOf());
    expect(record?.state.signatures[0]?.keyId).toEqual(keyIdOf(createPublicKeyOf(ada)));
  });

  it('refuses a console that lost its rollout to another, and an older state', () => {
    expect([
      put({}, {}),
      put({ sequence: 1 }),
      put({ sequence: 0 }),
      put({ conductor: ids.other, sequence: 5 }),
      put({ conductor: ids.other, term: 2, sequence: 0 }),
      put({ sequence: 9 }),
    ]).toEqual(['stored', 'stored', 'ROLLOUT_CONFLICT', 'ROLLOUT_CONFLICT', 'stored', 'ROLLOUT_CONFLICT']);
    expect(() => control.admit(ids.rollout, 1)).toThrow(expect.objectContaining({ code: 'ROLLOUT_CONFLICT' }));
    expect(() => control.admit(ids.second, 1)).toThrow(expect.objectContaining({ code: 'ROLLOUT_CONFLICT' }));
    control.admit(ids.rollout, 2);
  });

  it('lets one rollout be open at a time, until it is settled or its time is over', () => {
    const second = { rolloutId: ids.second };
    expect([put({}, {}), put(second, second), put({ sequence: 2, phase: 'aborted' }), put(second, second)]).toEqual([
      'stored',
      'ROLLOUT_CONFLICT',
      'stored',
      'stored',
    ]);
    clock.advance(86_400_001);
    expect(put({ rolloutId: ids.other }, { rolloutId: ids.other })).toBe('stored');
  });

  it('refuses what nobody of the fleet has signed, and what is not for this host', async () => {
    const stranger = await (await createTestFleet(fleetId)).operator('eve');
    const agent = await fleet.operator('x', { uris: [`spiffe://${fleet.fleetId}/agent/${testAgentId}`] });
    const late = await fleet.operator('late', { notBefore: start - 2_000, notAfter: start - 1_000 });
    expect([put({}, {}, stranger), put({}, {}, agent), put({}, {}, late)]).toEqual(Array(3).fill('CERTIFICATE_INVALID'));
    expect([put({}, { waves: [[ids.other]] }), put({}, { rolloutId: ids.second })]).toEqual(['INPUT_INVALID', 'INPUT_INVALID']);
    expect(put({ host: { ...stateOf().host, hostId: ids.other } }, {})).toBe('INPUT_INVALID');
    maySign = false;
    expect(put({}, {})).toBe('SCOPE_MISSING');
    maySign = true;
    const state = seal(rolloutStateType, encodeRollout(stateOf()));
    const forged = { ...state, payload: Buffer.from(encodeRollout(stateOf({ phase: 'finished' }))) };
    expect(() => control.put({ plan: seal(rolloutPlanType, encodeRollout(planOf())), state: forged })).toThrow(
      expect.objectContaining({ code: 'CERTIFICATE_INVALID' }),
    );
    expect(control.records()).toEqual([]);
  });

  it('keeps sixteen records', () => {
    for (let count = 0; count < 20; count++) {
      const rolloutId = `01JZ00000000000000000001${String(count).padStart(2, '0')}`;
      expect(put({ rolloutId, phase: 'finished' }, { rolloutId })).toBe('stored');
      clock.advance(1);
    }
    expect(control.records()).toHaveLength(16);
  });
});

describe('intents', () => {
  const intentOf = (changes: Partial<Intent>): Intent => ({
    intentId: ids.ours,
    fleetId: fleet.fleetId,
    hostId: testAgentId,
    baseRevision: 3,
    sequence: 100,
    notBeforeMs: start,
    expiresAtMs: start + 3_600_000,
    confirmWithinSeconds: 60,
    comment: '',
    policy: '{}',
    ...changes,
  });
  const take = (changes: Partial<Intent> = {}, by = ada, currentRevision = 3): string => {
    try {
      return intents.take(seal(intentType, encodeIntent(intentOf(changes)), by), currentRevision).subject;
    } catch (error) {
      return (error as { code?: string }).code ?? String(error);
    }
  };

  it('takes an intent once, repeats its answer, and after it only later ones', () => {
    const subject = `spiffe://${fleet.fleetId}/operator/ada`;
    expect([take(), take({}, ada, 4), take({ intentId: ids.other, sequence: 99 }), take({ intentId: ids.other, sequence: 101 })]).toEqual([
      subject,
      subject,
      'INTENT_STALE',
      subject,
    ]);
    clock.advance(86_400_000);
    expect(take({ expiresAtMs: start + 2 * 86_400_000 })).toBe('INTENT_STALE');
  });

  it('refuses intents out of their time, on another base, for another host, or without a right signature', async () => {
    const stranger = await (await createTestFleet(fleetId)).operator('eve');
    expect([
      take({ notBeforeMs: start - 2, expiresAtMs: start }),
      take({ notBeforeMs: start + 3_600_000, expiresAtMs: start + 7_200_000 }),
      take({ expiresAtMs: start + 8 * 86_400_000 }),
      take({ baseRevision: 2 }),
      take({ hostId: ids.other }),
      take({ fleetId: ids.other }),
      take({}, stranger),
    ]).toEqual([
      'INTENT_EXPIRED',
      'INTENT_EXPIRED',
      'INPUT_INVALID',
      'INTENT_STALE',
      'IDENTITY_MISMATCH',
      'FLEET_MISMATCH',
      'CERTIFICATE_INVALID',
    ]);
    maySign = false;
    expect(take()).toBe('SCOPE_MISSING');
    maySign = true;
    expect(take()).toContain('/operator/ada');
  });
});

const createPublicKeyOf = (certificate: TestCertificate): ReturnType<typeof createPublicKey> => createPublicKey(certificate.keyPem);
