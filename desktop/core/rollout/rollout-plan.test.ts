import { describe, expect, it } from 'vitest';
import { encodeRollout, parseRolloutPlan } from '../../../proto/model/rollout.ts';
import { planOf, wavesOf } from './rollout-plan.ts';

const ids = (count: number): string[] =>
  Array.from({ length: count }, (_, index) => `01JZ00000000000000000${String(index).padStart(5, '0')}`);
const by = { rolloutId: '01JZ0000000000000000009999', fleetId: 'f', now: 1_750_000_000_000 };

describe('the waves of a rollout', () => {
  it('begin with one host, then 5, 25 and 100 percent, and hold each host once', () => {
    for (const [count, sizes] of [
      [1, [1]],
      [2, [1, 1]],
      [3, [1, 1, 1]],
      [100, [1, 4, 20, 75]],
      [1000, [1, 49, 200, 750]],
    ] as const) {
      const waves = wavesOf(ids(count));
      expect([count, waves.map(({ length }) => length)]).toEqual([count, sizes]);
      expect(waves.flat()).toEqual(ids(count));
    }
  });

  it.each([[[50, 20, 100]], [[5, 25]], [[0, 0, 100]], [[-1, 100]], [[]]])('are refused as %j', (shares) => {
    expect(() => wavesOf(ids(10), shares)).toThrow(expect.objectContaining({ code: 'INPUT_INVALID' }));
  });
});

describe('a plan', () => {
  it('takes its defaults, can be read again as it was signed, and refuses limits that contradict each other', () => {
    const plan = planOf({ name: 'web', policy: '{}', hostIds: ids(50), gates: { dropFactor: 3 } }, by);
    expect(plan).toMatchObject({
      maxUnavailable: 5,
      failuresMax: 0,
      soakSeconds: 60,
      rollback: 'wave',
      gates: { dropFactor: 3, dropFloorPps: 10 },
    });
    expect(parseRolloutPlan(encodeRollout(plan))).toEqual(plan);
    const request = { name: 'web', policy: '{}', hostIds: ids(5), maxUnavailable: 1, failuresMax: 1 };
    expect(() => planOf(request, by)).toThrow(expect.objectContaining({ code: 'INPUT_INVALID' }));
    expect(() => planOf({ ...request, hostIds: [] }, by)).toThrow(expect.objectContaining({ code: 'INPUT_INVALID' }));
    const twice = { ...plan, waves: [ids(1), ids(1)] };
    expect(() => parseRolloutPlan(encodeRollout(twice))).toThrow(expect.objectContaining({ code: 'INPUT_INVALID' }));
  });
});
