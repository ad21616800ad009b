/** Documents that were planned lately: an apply names the one it means instead of bringing its bytes again. */
import { hash, timingSafeEqual } from 'node:crypto';
import { NestError } from '../../proto/model/error.ts';
import { planLifeMs } from '../../proto/model/limits.ts';
import type { Clock } from '../lib/clock.ts';

/** Kept at most; the oldest goes. */
const documentsMax = 4;
/** Of all together, UTF-16 units; a longer one is not kept. */
const lengthMax = 1 << 20;

export interface PlannedDocuments {
  /** Keeps the document of a plan as long as the plan is valid. False when it is too long for that. */
  put(planHash: string, policyJson: string): boolean;
  /** The document that was planned. Raises PLAN_EXPIRED when it is not kept any more, PLAN_MISMATCH when its SHA-256 is another. */
  take(planHash: string, sha256: Uint8Array): string;
}

/** Empty. */
export const createPlannedDocuments = (clock: Pick<Clock, 'monotonicMs'>): PlannedDocuments => {
  const documents = new Map<string, { readonly policyJson: string; readonly endsMs: number }>();
  const makeRoom = (): void => {
    let length = [...documents.values()].reduce((sum, { policyJson }) => sum + policyJson.length, 0);
    for (const [planHash, { policyJson, endsMs }] of documents) {
      if (documents.size <= documentsMax && length <= lengthMax && endsMs > clock.monotonicMs()) continue;
      documents.delete(planHash);
      length -= policyJson.length;
    }
  };
  return {
    put: (planHash, policyJson) => {
      documents.delete(planHash);
      if (policyJson.length > lengthMax) return false;
      documents.set(planHash, { policyJson, endsMs: clock.monotonicMs() + planLifeMs });
      makeRoom();
      return true;
    },
    take: (planHash, sha256) => {
      const found = documents.get(planHash);
      if (found === undefined || found.endsMs <= clock.monotonicMs())
        throw new NestError('PLAN_EXPIRED', 'The document of this plan is not kept any more. Send it with the apply, or plan again.');
      const known = hash('sha256', found.policyJson, 'buffer');
      if (sha256.length === known.length && timingSafeEqual(known, sha256)) return found.policyJson;
      throw new NestError('PLAN_MISMATCH', 'The policy is not the one that was planned: plan it, review the effect and apply that plan.');
    },
  };
};
