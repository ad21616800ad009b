/** Says on every page of an open snapshot whose it is, how old, and that nothing here is live. */
import { Archive } from 'lucide-react';
import type { SnapshotFile } from '../../../bridge/snapshot-model.ts';
import { useNow } from '../../client/shell.tsx';
import { countOf, formatAge, formatDateTime } from '../../client/units.ts';
import { standingWords, trustWords } from './snapshot-words.ts';

/** Ages are told in minutes. */
const clockMs = 30_000;

export const SnapshotBanner = ({ file: { info, left } }: { readonly file: SnapshotFile }) => {
  const now = useNow(clockMs);
  if (info === null) return null;
  const standing = standingWords[info.standing];
  const missing = [
    ...(left === null || left.flows === 0 ? [] : [`${countOf(left.flows, 'older flow')} were left out.`]),
    ...(left === null || left.documents === 0 ? [] : [`${countOf(left.documents, 'document')} were too large and left out.`]),
  ].join(' ');
  return (
    <div className={standing === null ? 'callout warn' : 'callout crit'} role="status" data-testid="snapshot-banner">
      <Archive size={16} aria-hidden="true" />
      <div>
        <strong>
          Snapshot of {info.fleetName}, {formatAge(now - info.createdAt)} old.
        </strong>{' '}
        Made {formatDateTime(info.createdAt)} by {info.author}, {trustWords[info.trust]}; profile {info.profile}
        {info.maskKeyId === null ? ', nothing masked' : ''}. Read-only: nothing here is live. {standing} {missing}
      </div>
    </div>
  );
};
