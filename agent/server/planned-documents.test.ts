import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { errorCodeOf } from '../../proto/model/error.ts';
import { planLifeMs } from '../../proto/model/limits.ts';
import { createManualClock } from '../lib/manual-clock.ts';
import { createPlannedDocuments } from './planned-documents.ts';

const sha256 = (text: string): Buffer => createHash('sha256').update(text, 'utf8').digest();
const codeOf = (work: () => unknown): unknown => {
  try {
    return work();
  } catch (error) {
    return errorCodeOf(error);
  }
};

describe('documents of plans', () => {
  it('are given to who knows their hash, until the plan is too old', () => {
    const clock = createManualClock();
    const documents = createPlannedDocuments(clock);
    expect(documents.put('plan', '{"name":"größer"}')).toBe(true);
    expect(documents.take('plan', sha256('{"name":"größer"}'))).toBe('{"name":"größer"}');
    clock.advance(planLifeMs - 1);
    expect(documents.take('plan', sha256('{"name":"größer"}'))).toBe('{"name":"größer"}');
    clock.advance(1);
    expect(codeOf(() => documents.take('plan', sha256('{"name":"größer"}')))).toBe('PLAN_EXPIRED');
  });

  it('are not given for another hash, a cut one, or another plan', () => {
    const documents = createPlannedDocuments(createManualClock());
    documents.put('plan', '{}');
    expect(
      [
        () => documents.take('plan', sha256('{} ')),
        () => documents.take('plan', sha256('{}').subarray(0, 31)),
        () => documents.take('plan', new Uint8Array(0)),
        () => documents.take('other', sha256('{}')),
      ].map(codeOf),
    ).toEqual(['PLAN_MISMATCH', 'PLAN_MISMATCH', 'PLAN_MISMATCH', 'PLAN_EXPIRED']);
  });

  it('are the latest four, and no more than a mebibyte together', () => {
    const documents = createPlannedDocuments(createManualClock());
    const isKept = (name: string, text: string): boolean => codeOf(() => documents.take(name, sha256(text))) === text;
    for (const name of ['a', 'b', 'c', 'd', 'e']) documents.put(name, name);
    expect(['a', 'b', 'c', 'd', 'e'].map((name) => isKept(name, name))).toEqual([false, true, true, true, true]);
    const long = 'x'.repeat((1 << 20) - 1);
    expect([documents.put('long', long), isKept('long', long), isKept('d', 'd'), isKept('e', 'e')]).toEqual([true, true, false, true]);
    expect([documents.put('longer', `${long}xx`), isKept('long', long)]).toEqual([false, true]);
  });
});
