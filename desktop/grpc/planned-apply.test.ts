import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { ApplyConfigRequest, ApplyConfigResponse, PlanConfigRequest, PlanConfigResponse } from '../../proto/gen/nest/v1/config.ts';
import { NestError } from '../../proto/model/error.ts';
import { withLongText } from './long-text.ts';
import { createPlannedApply } from './planned-apply.ts';

const policyJson = '{"kind":"Policy"}';
const sha256 = createHash('sha256').update(policyJson).digest();
const options = { signal: new AbortController().signal };
const request = {
  planHash: 'p1',
  transactionId: 't',
  confirmWithinSeconds: 60,
  comment: '',
  policyJson,
  rolloutId: '',
  rolloutTerm: 0n,
  withoutDocument: true,
};

/** A host that keeps documents or not; `applied` is what each apply brought. */
const hostOf = ({ documentKept, refusal }: { readonly documentKept: boolean; readonly refusal?: NestError }) => {
  const applied: { readonly policyJson: string; readonly hash: string }[] = [];
  let plans = 0;
  const calls = createPlannedApply({
    unary: async (path, bytes, { ending }) => {
      const whole = withLongText(bytes, ending);
      if (path.endsWith('PlanConfig')) {
        plans += 1;
        expect(PlanConfigRequest.decode(whole).policyJson).toBe(policyJson);
        return PlanConfigResponse.encode(PlanConfigResponse.fromPartial({ planHash: `p${String(plans)}`, documentKept })).finish();
      }
      const brought = ApplyConfigRequest.decode(whole);
      applied.push({ policyJson: brought.policyJson, hash: Buffer.from(brought.policySha256).toString('hex') });
      if (refusal !== undefined && brought.policyJson === '') throw refusal;
      return ApplyConfigResponse.encode(ApplyConfigResponse.fromPartial({ remainingMs: 7 })).finish();
    },
  });
  const plan = () => calls.planConfig({ baseRevision: 1n, policyJson, flowWindowMinutes: 1 }, options);
  return { applied, calls, plan };
};

const named = { policyJson: '', hash: sha256.toString('hex') };
const whole = { policyJson, hash: '' };

describe('an apply after its plan', () => {
  it('names the document that the host keeps', async () => {
    const { applied, calls, plan } = hostOf({ documentKept: true });
    await plan();
    expect(await calls.applyConfig(request, options)).toMatchObject({ remainingMs: 7 });
    expect(applied).toEqual([named]);
  });

  it.each([
    ['the host keeps none', false, {}],
    ['it is another document', true, { policyJson: '{}' }],
    ['it is another plan', true, { planHash: 'p9' }],
    ['it belongs to a rollout', true, { rolloutId: 'r' }],
  ])('brings the document when %s', async (_what, documentKept, change) => {
    const { applied, calls, plan } = hostOf({ documentKept });
    await plan();
    await calls.applyConfig({ ...request, ...change }, options);
    expect(applied).toEqual([{ ...whole, ...('policyJson' in change ? { policyJson: change.policyJson } : {}) }]);
  });

  it('brings the document when the host does not have it any more, and says what else the host says', async () => {
    const forgetful = hostOf({ documentKept: true, refusal: new NestError('PLAN_EXPIRED', 'Not kept.') });
    await forgetful.plan();
    await forgetful.calls.applyConfig(request, options);
    await forgetful.calls.applyConfig(request, options);
    expect(forgetful.applied).toEqual([named, whole, whole]);
    const strict = hostOf({ documentKept: true, refusal: new NestError('APPLY_IN_PROGRESS', 'Wait.') });
    await strict.plan();
    await expect(strict.calls.applyConfig(request, options)).rejects.toMatchObject({ code: 'APPLY_IN_PROGRESS' });
    expect(strict.applied).toEqual([named]);
  });

  it('knows the last four plans of a connection', async () => {
    const { applied, calls, plan } = hostOf({ documentKept: true });
    for (let number = 0; number < 5; number++) await plan();
    for (const planHash of ['p1', 'p2', 'p5']) await calls.applyConfig({ ...request, planHash }, options);
    expect(applied).toEqual([whole, named, named]);
  });
});
