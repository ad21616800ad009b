import { ConfigRevision_State } from '../../../proto/gen/nest/v1/config.ts';
import type { ConfigRevision } from '../../../proto/gen/nest/v1/config.ts';
import type { Revision } from '../../control/revisions/api.ts';

const states = {
  pending: ConfigRevision_State.PENDING,
  confirmed: ConfigRevision_State.CONFIRMED,
  'rolled-back': ConfigRevision_State.ROLLED_BACK,
  superseded: ConfigRevision_State.SUPERSEDED,
  failed: ConfigRevision_State.FAILED,
} as const;

/** A stored revision on the wire; times are 0 while not known, as the contract says. */
export const toWireRevision = (revision: Revision): ConfigRevision => ({
  revision: BigInt(revision.revision),
  etag: revision.etag,
  policyJson: revision.policyJson,
  generation: revision.generation,
  state: states[revision.state],
  author: revision.author,
  comment: revision.comment,
  createdAtMs: wholeMs(revision.createdAtMs),
  settledAtMs: revision.settledAtMs === null ? 0n : wholeMs(revision.settledAtMs),
  settledReason: revision.settledReason,
  mappingCount: revision.mappingCount,
  serviceCount: revision.serviceCount,
});

/** Wall-clock milliseconds on the wire are whole. */
export const wholeMs = (milliseconds: number): bigint => BigInt(Math.max(0, Math.round(milliseconds)));
