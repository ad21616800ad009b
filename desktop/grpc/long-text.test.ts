import { describe, expect, it } from 'vitest';
import { ApplyConfigRequest, PlanConfigRequest } from '../../proto/gen/nest/v1/config.ts';
import { createSharedTexts, withLongText } from './long-text.ts';
import type { LongText } from './long-text.ts';

const long = `{"name":"größer ${'x'.repeat(40_000)}"}`;

describe('a long text at the end of a request', () => {
  it.each(['', '{}', 'ä'.repeat(100), long])('is read as its field, whatever its length', (policyJson) => {
    const plan = PlanConfigRequest.fromPartial({ baseRevision: 7n, flowWindowMinutes: 3 });
    const planned = withLongText(PlanConfigRequest.encode(plan).finish(), { field: 2, text: policyJson });
    expect(PlanConfigRequest.decode(planned)).toEqual({ ...plan, policyJson });
    const apply = ApplyConfigRequest.fromPartial({ planHash: 'ab', rolloutTerm: 2n, withoutDocument: true });
    const applied = withLongText(ApplyConfigRequest.encode(apply).finish(), { field: 5, text: policyJson });
    expect(ApplyConfigRequest.decode(applied)).toEqual({ ...apply, policyJson });
  });

  it('is made once for many requests, in memory that threads share', () => {
    const texts = createSharedTexts();
    const first = texts.bytes({ field: 5, text: long });
    expect(first?.buffer).toBeInstanceOf(SharedArrayBuffer);
    expect(ApplyConfigRequest.decode(Buffer.from(first ?? []))).toMatchObject({ policyJson: long });
    expect(texts.bytes({ field: 2, text: long })).not.toBe(first);
    expect(texts.bytes({ field: 5, text: long.slice() })).toBe(first);
  });

  it('is kept while it is one of the last two', () => {
    const texts = createSharedTexts();
    const named = (name: string): LongText => ({ field: 2, text: `${name}${long}` });
    const [a, b, c] = [named('a'), named('b'), named('c')];
    const first = texts.bytes(a);
    texts.bytes(b);
    expect(texts.bytes(a)).toBe(first);
    texts.bytes(c);
    expect(texts.bytes(a)).toBe(first);
    texts.bytes(b);
    texts.bytes(c);
    expect(texts.bytes(a)).not.toBe(first);
    expect(texts.bytes({ field: 2, text: 'short' })).toBeNull();
  });
});
