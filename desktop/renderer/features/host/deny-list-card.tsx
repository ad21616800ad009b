/** One deny list: its first prefixes, and what can be done with it. */
import Button from '@mui/material/Button';
import { Trash2, X } from 'lucide-react';
import { useState } from 'react';
import { Link } from 'react-router';
import { useUpdateDenyListMutation } from '../../client/bridge-api.ts';
import { flowsLink } from '../../client/links.ts';
import { failureOf } from '../../client/query-failure.ts';
import { useNow } from '../../client/shell.tsx';
import { formatCount, formatDateTime } from '../../client/units.ts';
import { FailureView } from '../../widgets/blank.tsx';
import { Card } from '../../widgets/card.tsx';
import { ConsoleDialog } from '../../widgets/console-dialog.tsx';
import { endText, prefixCount } from './deny-words.tsx';
import type { DenyList } from './deny-words.tsx';

interface DenyListCardProps {
  readonly hostId: string;
  readonly list: DenyList;
  readonly isLive: boolean;
  readonly onAdd: () => void;
}

export const DenyListCard = ({ hostId, list, isLive, onAdd }: DenyListCardProps) => {
  const now = useNow();
  const [isDeleting, setDeleting] = useState(false);
  const [update, { isLoading, error }] = useUpdateDenyListMutation();
  const failure = failureOf(error);
  const isOurs = list.origin === 'host';
  const remove = (prefix: string): void => void update({ hostId, name: list.name, add: [], remove: [prefix] });
  return (
    <Card
      title={<span className="mono">{list.name}</span>}
      testId="deny-list-card"
      aside={
        isOurs ? (
          <button
            type="button"
            className="icon-button danger"
            aria-label={`Delete the list ${list.name}`}
            title="Delete the list"
            disabled={!isLive}
            onClick={() => setDeleting(true)}
            data-testid="deny-delete"
          >
            <Trash2 size={15} aria-hidden="true" />
          </button>
        ) : undefined
      }
    >
      <div className="stack">
        <dl className="facts">
          <dt>Kept by</dt>
          <dd>{isOurs ? 'this host, beside its policy' : 'the policy'}</dd>
          {list.file === null ? null : (
            <>
              <dt>File</dt>
              <dd className="mono">{list.file}</dd>
            </>
          )}
          <dt>Ends</dt>
          <dd>
            {endText(list, now)}
            {list.expiresAt === null ? null : <div className="dim">{formatDateTime(list.expiresAt)}</div>}
          </dd>
        </dl>
        {list.problem === null ? null : <div className="callout warn">{list.problem}</div>}
        <Prefixes list={list} canRemove={isOurs && isLive && !isLoading} onRemove={remove} />
        {failure === null ? null : <FailureView failure={failure} />}
        <div className="line wrap">
          {isOurs ? (
            <Button variant="text" size="small" disabled={!isLive} onClick={onAdd}>
              Add prefixes
            </Button>
          ) : (
            <Button variant="text" size="small" component={Link} to={`/policy?from=${hostId}`}>
              Change in the policy
            </Button>
          )}
          <Button variant="outlined" size="small" component={Link} to={flowsLink(hostId, { reason: 'deny-list' })}>
            Show denied flows
          </Button>
        </div>
      </div>
      {isDeleting ? <DeleteDialog hostId={hostId} list={list} onClose={() => setDeleting(false)} /> : null}
    </Card>
  );
};

interface PrefixesProps {
  readonly list: DenyList;
  readonly canRemove: boolean;
  readonly onRemove: (prefix: string) => void;
}

const Prefixes = ({ list, canRemove, onRemove }: PrefixesProps) => {
  const shown = list.firstPrefixes.length;
  return (
    <div>
      <p className="dim">
        {shown < list.prefixes
          ? shown === 0
            ? prefixCount(list.prefixes)
            : `The first ${formatCount(shown)} of ${prefixCount(list.prefixes)}`
          : prefixCount(list.prefixes)}
      </p>
      {shown === 0 ? null : (
        // oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- it scrolls, so it must be reachable by keyboard
        <ul className="prefixes" aria-label={`Prefixes of ${list.name}`} tabIndex={0}>
          {list.firstPrefixes.map((prefix) => (
            <li key={prefix}>
              <span className="mono">{prefix}</span>
              {canRemove ? (
                <button
                  type="button"
                  className="icon-button"
                  aria-label={`Remove ${prefix}`}
                  title="Remove"
                  onClick={() => onRemove(prefix)}
                >
                  <X size={14} aria-hidden="true" />
                </button>
              ) : null}
            </li>
          ))}
        </ul>
      )}
    </div>
  );
};

const DeleteDialog = ({ hostId, list, onClose }: { readonly hostId: string; readonly list: DenyList; readonly onClose: () => void }) => {
  const [update, { isLoading, error }] = useUpdateDenyListMutation();
  const failure = failureOf(error);
  const go = async (): Promise<void> => {
    const { data } = await update({ hostId, name: list.name, add: [], remove: [], delete: true });
    if (data !== undefined) onClose();
  };
  return (
    <ConsoleDialog
      title={`Delete ${list.name}?`}
      onClose={onClose}
      testId="deny-delete-dialog"
      footer={
        <>
          <span className="grow" />
          <Button variant="outlined" onClick={onClose} autoFocus>
            Cancel
          </Button>
          <Button variant="contained" color="error" disabled={isLoading} onClick={() => void go()} data-testid="deny-delete-confirm">
            Delete the list
          </Button>
        </>
      }
    >
      <p>
        Its {prefixCount(list.prefixes)} go from this host at once: packets from and to them are judged by the policy again. It cannot be
        taken back here; keep the list elsewhere if you may want it again.
      </p>
      {failure === null ? null : <FailureView failure={failure} />}
    </ConsoleDialog>
  );
};
