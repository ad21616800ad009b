import { describe, expect, it } from 'vitest';
import { isDropped, reasonNames } from '../../../proto/model/reason.ts';
import { pathStages, stageOfReason } from './path-stages.ts';

describe('the stages of the packet path', () => {
  it('has a stage for every reason of the data path, and drops only where one is shown', () => {
    const stages = new Map(reasonNames.map((name) => [name, stageOfReason(name)]));
    expect([...stages.values()].every((stage) => pathStages.includes(stage))).toBe(true);
    expect(reasonNames.filter((name) => isDropped(name) && stages.get(name) === 'engine')).toEqual([
      'TRUNCATED',
      'MALFORMED',
      'TOO_MANY_TAGS',
      'TOO_MANY_HEADERS',
    ]);
    expect(new Set(stages.values())).toEqual(new Set(pathStages));
  });

  it('puts a reason it does not know where packets come in', () => {
    expect([stageOfReason('BRAND_NEW'), stageOfReason('toString')]).toEqual(['engine', 'engine']);
  });
});
