import { X509Certificate } from 'node:crypto';
import { certificatesIn } from '../../../proto/model/certificate-path.ts';
import { NestError } from '../../../proto/model/error.ts';
import { isChainUnder, isSameKey, openRootChange, rootChangeBytes, rootsAfter } from '../../../proto/model/root-change.ts';
import type { RootStep, SignedEnvelope } from '../../../proto/model/root-change.ts';
import type { StoredIdentity } from './identity-record.ts';
import { authoritiesMax, listsUnder } from './revocation-lists.ts';

/** What a step changes of an identity. */
type Changed = Pick<StoredIdentity, 'root' | 'authorities' | 'revocationLists' | 'rootChange'>;

/**
 * What is kept after a step of a change of the root; null when the step is known already. Throws CERTIFICATE_INVALID for a step that is
 * older than the last, or that would leave this agent with a certificate nobody believes; FLEET_MISMATCH.
 */
export const takeRootStep = async (identity: StoredIdentity, envelope: SignedEnvelope, nowMs: number): Promise<Changed | null> => {
  const roots = certificatesIn(identity.root);
  const step = openRootChange(envelope, { fleetId: identity.fleetId, roots, nowMs });
  const rootChange = rootChangeBytes(envelope);
  if (identity.rootStep !== null && step.sequence <= identity.rootStep.sequence) {
    if (identity.rootChange !== null && Buffer.from(rootChange).equals(Buffer.from(identity.rootChange))) return null;
    throw refuse(`it is step ${String(step.sequence)}, and this host took step ${String(identity.rootStep.sequence)} already`);
  }
  const next = nextRoots(identity, roots, step);
  refuseStranding(identity, next);
  const isBelieved = (authority: X509Certificate): boolean => next.some((root) => isChainUnder([authority], root));
  const known = [...identity.authorities.map((der) => new X509Certificate(Buffer.from(der))), ...step.authorities];
  const kept = known.filter(
    (authority, index) => isBelieved(authority) && known.findLastIndex((other) => other.raw.equals(authority.raw)) === index,
  );
  const root = next.map(String).join('');
  const authorities = kept.slice(-authoritiesMax).map(({ raw }) => new Uint8Array(raw));
  const revocationLists = await listsUnder({ root, authorities }, identity.revocationLists);
  return { root, authorities, revocationLists, rootChange };
};

/**
 * Who joined under the new root after the step was signed has no reason to believe the old one again: only a later step, for instance
 * the way back, may ask for that.
 */
const nextRoots = (identity: StoredIdentity, roots: readonly X509Certificate[], step: RootStep): readonly X509Certificate[] => {
  const isFromBelieved = roots.some((root) => isSameKey(root, step.from));
  return isFromBelieved || step.issuedAtMs > identity.enrolledAtMs ? rootsAfter(step) : roots;
};

const refuseStranding = ({ chain }: StoredIdentity, roots: readonly X509Certificate[]): void => {
  const own = certificatesIn(chain);
  if (!roots.some((root) => isChainUnder(own, root)))
    throw refuse('the certificate of this host is not under a root that would be left; renew it first');
};

const refuse = (reason: string): NestError =>
  new NestError('CERTIFICATE_INVALID', `The change of the root is refused: ${reason}. Look at "nest fleet rotate-root status".`);
