import { generateKeyPairSync } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AccessBody } from '../../gen/nest/v1/access.ts';
import { sealEnvelope } from '../envelope.ts';
import { errorCodeOf } from '../error.ts';
import { emptyChain, isRolledBack, isStale, revisionJumpMax, takeUpdate, updatesKeptMax } from './chain.ts';
import type { AccessChain } from './chain.ts';
import { bodyOf, deltaOf, makeOwner, put, signerOf, stepOf, TestBundle } from './test-bundle.ts';
import { readUpdate } from './update.ts';
import type { SignedEnvelope } from './update.ts';

const fleetId = '01jz000000000000000000000a';
const root = signerOf(generateKeyPairSync('ec', { namedCurve: 'P-256' }));
const fleet = { fleetId, root };
const now = 1_800_000_000_000;
const day = 86_400_000;
const bundle = (options: ConstructorParameters<typeof TestBundle>[1] = {}): TestBundle => new TestBundle(fleet, { atMs: now, ...options });
const fresh = (marks?: ReadonlyMap<number, number>): AccessChain => emptyChain(fleetId, { keys: [root.publicKey], vouched: '' }, marks);
const take = (chain: AccessChain, ...envelopes: readonly SignedEnvelope[]): AccessChain =>
  envelopes.reduce((at, envelope) => takeUpdate(at, envelope, now).chain, chain);
const refusal = (chain: AccessChain, envelope: SignedEnvelope): string => {
  try {
    return takeUpdate(chain, envelope, now).result;
  } catch (error) {
    return `${errorCodeOf(error)} ${(error as Error).message}`;
  }
};
const operator = (name: string) => ({ subject: `operator/${name}`, title: '' });

describe('the beginning', () => {
  it('is signed by the root and by its owners', () => {
    const { updates } = bundle();
    const chain = take(fresh(), ...updates);
    expect(chain.head).toMatchObject({ epoch: 1, revision: 1, author: 'operator/ada' });
  });

  it('is refused without either, from another fleet, and changed by one bit', () => {
    const owner = makeOwner('operator/ada');
    const step = { body: bodyOf([owner]), author: owner.subject, revision: 1, previous: [], atMs: now };
    expect(refusal(fresh(), stepOf(fleetId, { ...step, by: [owner.signer] }))).toMatch(/^ACCESS_INVALID .*root has not signed/);
    expect(refusal(fresh(), stepOf(fleetId, { ...step, by: [root] }))).toMatch(/^ACCESS_INVALID .*too few of its owners/);
    const stranger = signerOf(generateKeyPairSync('ec', { namedCurve: 'P-256' }));
    expect(refusal(fresh(), stepOf(fleetId, { ...step, by: [stranger, owner.signer] }))).toMatch(/^ACCESS_INVALID .*root/);
    expect(refusal(fresh(), stepOf('01jz000000000000000000000b', { ...step, by: [root, owner.signer] }))).toMatch(
      /^ACCESS_INVALID .*another fleet/,
    );
    const good = stepOf(fleetId, { ...step, by: [root, owner.signer] });
    const changed = Buffer.from(good.payload);
    changed[changed.length - 3] = (changed.at(-3) ?? 0) ^ 1;
    expect(refusal(fresh(), { ...good, payload: changed })).toMatch(/^ACCESS_INVALID/);
    expect(refusal(fresh(), sealEnvelope('nest.intent.v1', good.payload, [root, owner.signer]))).toMatch(/^INPUT_INVALID/);
  });

  it('of a new epoch takes over after a leak, and the old epoch is gone', () => {
    const old = bundle();
    old.change(put({ operators: [operator('eve')] }));
    const chain = take(fresh(), ...old.updates);
    const owner = makeOwner('operator/ada');
    const next = stepOf(fleetId, {
      body: bodyOf([owner]),
      by: [root, owner.signer],
      author: owner.subject,
      epoch: 2,
      revision: 1,
      previous: [],
      atMs: now,
    });
    const renewed = take(chain, next);
    expect(renewed.head).toMatchObject({ epoch: 2, revision: 1 });
    expect(refusal(renewed, old.change(put({ operators: [operator('mallory')] })))).toMatch(/^ACCESS_INVALID .*epoch 1/);
    expect([...renewed.marks]).toEqual([
      [1, 2],
      [2, 1],
    ]);
  });
});

describe('a step', () => {
  it('follows the one before, is known the second time, and leads every reader to the same body', () => {
    const made = bundle();
    for (let index = 0; index < 5; index++) made.change(put({ operators: [operator(`p${String(index)}`)] }));
    const chain = take(fresh(), ...made.updates);
    expect(chain.body).toEqual(made.body);
    expect(refusal(chain, made.updates[2])).toBe('known');
    expect(take(chain, ...made.updates)).toEqual(chain);
  });

  it('is refused from a wrong signer, from too few, and from an owner who is locked', () => {
    const [ada, bob] = [makeOwner('operator/ada'), makeOwner('operator/bob')];
    const body = bodyOf([ada, bob], { ownerThreshold: 2 });
    const first = stepOf(fleetId, { body, by: [root, ada.signer, bob.signer], author: ada.subject, revision: 1, previous: [], atMs: now });
    const chain = take(fresh(), first);
    const wanted = { ...body, operators: [...body.operators, operator('zoe')] };
    const next = { body: wanted, author: ada.subject, revision: 2, previous: [first], atMs: now };
    const mallory = makeOwner('operator/ada');
    expect(refusal(chain, stepOf(fleetId, { ...next, by: [mallory.signer, bob.signer] }))).toMatch(/^ACCESS_INVALID .*1 of the owners/);
    expect(refusal(chain, stepOf(fleetId, { ...next, by: [ada.signer, ada.signer] }))).toMatch(/^ACCESS_INVALID .*1 of the owners/);
    expect(refusal(chain, stepOf(fleetId, { ...next, by: [root, ada.signer] }))).toMatch(/^ACCESS_INVALID .*1 of the owners/);
    expect(refusal(chain, stepOf(fleetId, { ...next, author: 'operator/zoe', by: [ada.signer, bob.signer] }))).toMatch(
      /^ACCESS_INVALID .*author/,
    );
    expect(refusal(chain, stepOf(fleetId, { ...next, by: [ada.signer, bob.signer] }))).toBe('accepted');
    const single = bundle({ owner: ada, body: { locks: [{ id: 'l', target: 'operator/ada', reason: 'lost laptop', sinceMs: 1n }] } });
    expect(refusal(take(fresh(), ...single.updates), single.change(put({ operators: [operator('zoe')] })))).toMatch(
      /^ACCESS_INVALID .*0 of the owners/,
    );
  });

  it('never goes back, and never leaps out of reach', () => {
    const made = bundle();
    for (let index = 0; index < 3; index++) made.change(put({ operators: [operator(`p${String(index)}`)] }));
    const chain = take(fresh(), ...made.updates);
    const leap = (revision: number): SignedEnvelope =>
      stepOf(fleetId, { body: made.body, by: [made.owner.signer], author: made.owner.subject, revision, previous: [], atMs: now });
    expect(refusal(chain, leap(4 + revisionJumpMax + 1))).toMatch(/^ACCESS_INVALID .*ahead/);
    expect(take(chain, leap(4 + revisionJumpMax)).head?.revision).toBe(4 + revisionJumpMax);
    const delta = stepOf(fleetId, {
      body: made.body,
      delta: deltaOf({}),
      by: [made.owner.signer],
      author: made.owner.subject,
      revision: 9,
      previous: [made.head],
      atMs: now,
    });
    expect(refusal(chain, delta)).toMatch(/^ACCESS_INVALID .*missing/);
    expect(refusal(chain, leap(2))).toBe('forked');
  });

  it('shows when an older state was put in the place of a newer one', () => {
    const made = bundle();
    made.change(put({ operators: [operator('eve')] }));
    made.change({ removeOperators: ['operator/eve'] });
    const marks = take(fresh(), ...made.updates).marks;
    const restored = take(fresh(marks), ...made.updates.slice(0, 2));
    expect({ back: isRolledBack(restored), stale: isStale(restored, now) }).toEqual({ back: true, stale: true });
    const again = take(restored, ...made.updates);
    expect({ back: isRolledBack(again), stale: isStale(again, now), late: isStale(again, now + 31 * day) }).toEqual({
      back: false,
      stale: false,
      late: true,
    });
  });

  it('may leave steps out only when its author holds everything', () => {
    const bob = makeOwner('operator/bob');
    const made = bundle();
    const owners = [...made.body.owners, bob.entry];
    made.replace(
      {
        ...made.body,
        owners,
        operators: [...made.body.operators, operator('bob')],
        bindings: [...made.body.bindings, { id: 'b', subject: 'operator/bob', role: 'maintainer', level: '*' }],
      },
      [made.owner.signer, bob.signer],
    );
    const chain = take(fresh(), ...made.updates);
    const body = { ...made.body, bindings: [...made.body.bindings, { id: 'own', subject: 'operator/bob', role: 'admin', level: '*' }] };
    const leap = stepOf(fleetId, { body, by: [bob.signer], author: 'operator/bob', revision: 7, previous: [], atMs: now });
    expect(refusal(chain, leap)).toMatch(/^ACCESS_INVALID .*does not hold everything/);
    const next = stepOf(fleetId, { body, by: [bob.signer], author: 'operator/bob', revision: 3, previous: [made.head], atMs: now });
    expect(refusal(chain, next)).toMatch(/^ACCESS_INVALID .*operator\/bob may not/);
  });

  it('changes owners only when the new ones have signed too', () => {
    const made = bundle();
    const chain = take(fresh(), ...made.updates);
    const bob = makeOwner('operator/bob');
    const body = bodyOf([made.owner, bob], { ownerThreshold: 2 });
    const step = { body, author: 'operator/ada', revision: 2, previous: [made.head], atMs: now };
    expect(refusal(chain, stepOf(fleetId, { ...step, by: [made.owner.signer] }))).toMatch(/^ACCESS_INVALID .*new owners/);
    expect(refusal(chain, stepOf(fleetId, { ...step, by: [made.owner.signer, bob.signer] }))).toBe('accepted');
  });

  it('is found out when it lies about where it leads', () => {
    const made = bundle();
    const chain = take(fresh(), ...made.updates);
    const step = { by: [made.owner.signer], author: 'operator/ada', revision: 2, previous: [made.head], atMs: now };
    const lie = stepOf(fleetId, { ...step, body: made.body, delta: deltaOf(put({ operators: [operator('eve')] })) });
    expect(refusal(chain, lie)).toMatch(/^ACCESS_INVALID .*does not lead/);
    const owners = deltaOf({ put: AccessBody.fromPartial({ ownerThreshold: 1 }) });
    expect(refusal(chain, stepOf(fleetId, { ...step, body: made.body, delta: owners }))).toMatch(/^ACCESS_INVALID .*whole/);
  });
});

describe('a fork', () => {
  const forked = () => {
    const [left, right] = [bundle(), bundle()];
    right.updates.splice(0, 1, left.updates[0]);
    Object.assign(right, { owner: left.owner, body: left.body });
    left.change(put({ operators: [operator('left')] }));
    right.change(put({ operators: [operator('right')] }));
    return { left, right };
  };

  it('keeps the first seen and shows the other, from both sides', () => {
    const { left, right } = forked();
    for (const [first, second] of [
      [left, right],
      [right, left],
    ] as const) {
      const chain = take(fresh(), ...first.updates);
      const taken = takeUpdate(chain, second.head, now);
      expect(taken.result).toBe('forked');
      expect(taken.chain.head).toEqual(chain.head);
      expect(taken.chain.forks).toMatchObject([{ revision: 2, kept: chain.head?.hash, refused: readUpdate(second.head, fleetId).hash }]);
      expect(take(taken.chain, second.head).forks).toHaveLength(1);
    }
  });

  it('is not raised by who may not sign', () => {
    const { left, right } = forked();
    const chain = take(fresh(), ...left.updates);
    expect(refusal(chain, { ...right.head, signatures: [] })).toMatch(/^ACCESS_INVALID/);
  });

  it('ends with a merge that names both, on either side and for who saw neither', () => {
    const { left, right } = forked();
    const body = { ...left.body, operators: [...left.body.operators, operator('right')] };
    const merge = stepOf(fleetId, {
      body,
      by: [left.owner.signer],
      author: 'operator/ada',
      revision: 3,
      previous: [left.head, right.head],
      atMs: now,
    });
    const onLeft = take(take(fresh(), ...left.updates), right.head);
    const onRight = take(take(fresh(), ...right.updates), left.head);
    const onNeither = take(fresh(), left.updates[0]);
    for (const chain of [onLeft, onRight, onNeither]) {
      const merged = take(chain, merge);
      expect(merged).toMatchObject({ head: { revision: 3 }, forks: [] });
      expect(merged.body?.operators.map(({ subject }) => subject)).toEqual(['operator/ada', 'operator/left', 'operator/right']);
      expect(refusal(merged, right.head)).toBe('known');
    }
  });
});

describe('a long chain', () => {
  it('keeps what a newcomer needs', { timeout: 60_000 }, () => {
    const made = bundle();
    let chain = take(fresh(), ...made.updates);
    for (let index = 2; index <= updatesKeptMax + 70; index++) {
      const envelope = index % 64 === 0 ? made.replace(made.body) : made.change(put({ operators: [operator(`p${String(index % 5)}`)] }));
      chain = take(chain, envelope);
    }
    expect(chain.updates.length).toBeLessThan(updatesKeptMax);
    const newcomer = take(fresh(), ...chain.updates.map(({ envelope }) => envelope));
    expect({ hash: newcomer.head?.hash, body: newcomer.body }).toEqual({ hash: chain.head?.hash, body: made.body });
    expect(refusal(chain, made.updates[5])).toBe('known');
    expect(refusal(newcomer, made.updates[5])).toBe('known');
  });
});

describe('any bytes', () => {
  it('are refused with a code and change nothing', () => {
    const made = bundle();
    const chain = take(fresh(), ...made.updates);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.boolean(), (bytes, isSigned) => {
        const envelope = sealEnvelope('nest.access-update.v1', bytes, isSigned ? [made.owner.signer] : []);
        expect(refusal(chain, envelope)).toMatch(/^ACCESS_INVALID/);
      }),
    );
  });
});
