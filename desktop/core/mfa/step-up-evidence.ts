/** What witnesses have signed for this device, kept in the cache for every process of this console: worth nothing without its key. */
import { statementsOf, statementTexts } from '../../../proto/model/step-up.ts';
import type { SignedEnvelope } from '../../../proto/gen/nest/v1/envelope.ts';
import type { StepUpEvidence } from '../../grpc/api.ts';
import type { FleetCache } from '../cache/fleet-cache.ts';

const evidenceValue = 'mfa.evidence';

interface Stored {
  readonly factorId: string;
  readonly statements: readonly string[];
  readonly expiresAt: number;
}

export interface EvidenceStore {
  /** Null when there is none that counts now. The same object while it is the same. */
  get(factorId: string, now: number): StepUpEvidence | null;
  put(factorId: string, evidence: { readonly statements: readonly SignedEnvelope[]; readonly expiresAt: number }): void;
  drop(): void;
}

export const createEvidenceStore = (cache: Pick<FleetCache, 'value' | 'putValue' | 'dropValue'>): EvidenceStore => {
  let known: { readonly text: string; readonly evidence: StepUpEvidence } | null = null;
  return {
    get: (factorId, now) => {
      const stored = cache.value<Stored>(evidenceValue);
      if (stored === null || stored.factorId !== factorId || stored.expiresAt <= now) return null;
      const text = JSON.stringify(stored);
      if (known?.text !== text) known = { text, evidence: { statements: statementsOf(stored.statements), expiresAt: stored.expiresAt } };
      return known.evidence;
    },
    put: (factorId, { statements, expiresAt }) =>
      cache.putValue(evidenceValue, { factorId, statements: statementTexts(statements), expiresAt } satisfies Stored),
    drop: () => cache.dropValue(evidenceValue),
  };
};
