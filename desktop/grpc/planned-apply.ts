/** Plan and apply of one document on one host: what the host keeps from the plan is named to it, not sent again. */
import { createHash } from 'node:crypto';
import { ConfigServiceService } from '../../proto/gen/nest/v1/config.ts';
import type { ApplyConfigRequest, ApplyConfigResponse, PlanConfigRequest, PlanConfigResponse } from '../../proto/gen/nest/v1/config.ts';
import { errorCodeOf } from '../../proto/model/error.ts';
import { callUnary } from './call.ts';
import type { CallOptions } from './call.ts';
import type { Wire } from './wire.ts';

/** Plans whose documents the host keeps, of this connection; the oldest goes. */
const keptMax = 4;
/** Numbers of `policy_json`: one document goes to many hosts. */
const policyFields = { plan: 2, apply: 5 } as const;

export interface PlannedApply {
  planConfig(request: PlanConfigRequest, options: CallOptions): Promise<PlanConfigResponse>;
  /** The document itself goes along only where the host does not keep it from the plan. */
  applyConfig(request: Omit<ApplyConfigRequest, 'policySha256'>, options: CallOptions): Promise<ApplyConfigResponse>;
}

/** Over one connection. A host that does not keep the document any more is sent it. */
export const createPlannedApply = (wire: Pick<Wire, 'unary'>): PlannedApply => {
  const kept = new Map<string, string>();
  return {
    planConfig: async (request, options) => {
      const answer = await callUnary(wire, ConfigServiceService.planConfig, {
        request: { ...request, policyJson: '' },
        ending: { field: policyFields.plan, text: request.policyJson },
        ...options,
      });
      if (answer.documentKept) {
        kept.delete(answer.planHash);
        kept.set(answer.planHash, request.policyJson);
        const [oldest] = kept.keys();
        if (kept.size > keptMax && oldest !== undefined) kept.delete(oldest);
      }
      return answer;
    },
    applyConfig: async (request, options) => {
      const { policyJson, ...rest } = request;
      const send = (policySha256: Buffer, text: string): Promise<ApplyConfigResponse> =>
        callUnary(wire, ConfigServiceService.applyConfig, {
          request: { ...rest, policyJson: '', policySha256 },
          ending: { field: policyFields.apply, text },
          ...options,
        });
      // What belongs to a rollout carries its document: by that the host knows that its plan was proven.
      if (request.rolloutId !== '' || kept.get(request.planHash) !== policyJson) return send(Buffer.alloc(0), policyJson);
      try {
        return await send(createHash('sha256').update(policyJson, 'utf8').digest(), '');
      } catch (error) {
        if (errorCodeOf(error) !== 'PLAN_EXPIRED') throw error;
        kept.delete(request.planHash);
        return send(Buffer.alloc(0), policyJson);
      }
    },
  };
};
