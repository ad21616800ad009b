/** Signs heads with the key that the agent shows in TLS: consoles know it, and nobody else has it. */
import { sealAuditHead } from '../../../proto/model/audit.ts';
import type { ChainEnd } from '../../../proto/model/audit.ts';
import { createAgentSigner } from '../identity/api.ts';
import type { SigningIdentity } from '../identity/api.ts';

/** The envelope of a head (its bytes); null while the agent has no fleet. */
export type HeadSigner = (end: ChainEnd, atMs: number) => Buffer | null;

export const createHeadSigner = (identity: () => SigningIdentity | null): HeadSigner => {
  const signerOf = createAgentSigner();
  return (end, atMs) => {
    const current = identity();
    if (current === null) return null;
    return sealAuditHead({ ...end, atMs, agentId: current.agentId, fleetId: current.fleetId }, signerOf(current));
  };
};
