/** What an access bundle says about who makes or made a snapshot. */
import type { AccessBody } from '../../../proto/model/access/body.ts';
import { scopesOfRole } from '../../../proto/model/access/grant.ts';
import { expandScopes } from '../../../proto/model/access/scope.ts';
import type { SnapshotProfile } from '../../../proto/model/snapshot-profile.ts';
import type { SnapshotInfo } from '../../bridge/snapshot-model.ts';

const scope = 'snapshot:write';

export interface SnapshotAuthor {
  /** "operator/ada" */
  readonly subject: string;
  /** SHA-256 of the device's key, hex. */
  readonly device: string;
}

/**
 * Who may: whoever holds snapshot:write somewhere, and an owner of the fleet when nothing is masked. `body` null: no bundle of that
 * fleet is known here.
 */
export const standingOf = (
  body: AccessBody | null,
  { subject, device }: SnapshotAuthor,
  profile: SnapshotProfile,
): SnapshotInfo['standing'] => {
  if (body === null) return 'unknown';
  if (body.locks.some(({ target }) => target === subject || target === `device/${device}`)) return 'locked';
  if (profile === 'full') return body.owners.some((owner) => owner.subject === subject) ? 'good' : 'not-allowed';
  const holds = body.bindings.some((binding) => binding.subject === subject && expandScopes(scopesOfRole(body, binding.role)).has(scope));
  return holds ? 'good' : 'not-allowed';
};

/** "spiffe://<fleet>/operator/ada" without its fleet. */
export const shortSubject = (subject: string): string => subject.split('/').slice(3).join('/');
