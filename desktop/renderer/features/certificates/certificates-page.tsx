/** Everything of the fleet that ends some day, what ends first at the top. */
import Button from '@mui/material/Button';
import { useState } from 'react';
import type { CertificateList, CertificateRow } from '../../../bridge/model.ts';
import { useCertificatesQuery, useRenewCertificateMutation, useRevokeCertificateMutation } from '../../client/bridge-api.ts';
import { failureOf } from '../../client/query-failure.ts';
import { useConsoleDispatch } from '../../client/store.ts';
import { countOf, formatDateTime } from '../../client/units.ts';
import { noticeRaised } from '../../client/window-slice.ts';
import { FailureView, Outcome } from '../../widgets/blank.tsx';
import { Card } from '../../widgets/card.tsx';
import { ConsoleDialog } from '../../widgets/console-dialog.tsx';
import { Page } from '../../widgets/page.tsx';
import { RootChangeCard } from './root-change-card.tsx';

/** The list is asked for again so often, milliseconds. */
const pollMs = 30_000;

const alerts: Readonly<Record<CertificateRow['alert'], { readonly tone: string; readonly shape: string; readonly text: string }>> = {
  none: { tone: 'ok', shape: 'dot', text: 'in date' },
  month: { tone: 'warn', shape: 'dot triangle', text: 'ends within 30 days' },
  week: { tone: 'warn', shape: 'dot triangle', text: 'ends within 7 days' },
  day: { tone: 'crit', shape: 'dot square', text: 'ends within a day' },
  ended: { tone: 'crit', shape: 'dot square', text: 'has ended' },
};

const kinds: Readonly<Record<CertificateRow['kind'], string>> = {
  root: 'Fleet root',
  authority: 'Issuing authority',
  operator: 'Operator device',
  agent: 'Host',
  client: 'Program',
  'client-key': 'API key of a program',
  'access-bundle': 'Access bundle',
  'revocation-list': 'Revocation list',
};

export const CertificatesPage = () => {
  const { data, error, refetch } = useCertificatesQuery({}, { pollingInterval: pollMs, skipPollingIfUnfocused: true });
  const [wanted, setWanted] = useState<CertificateRow | null>(null);
  return (
    <Page title="Certificates">
      <Card title="What ends, and when" isFlush aside={data === undefined ? undefined : <Sum list={data} />} testId="certificates">
        <Outcome value={data} failure={failureOf(error)} label="Loading the certificates" onRetry={() => void refetch()}>
          {(list) => <CertificateTable list={list} onRevoke={setWanted} />}
        </Outcome>
      </Card>
      <RootChangeCard isRootHere={data?.root.isHere ?? false} />
      {wanted === null ? null : <RevokeDialog row={wanted} onClose={() => setWanted(null)} />}
    </Page>
  );
};

const Sum = ({ list }: { readonly list: CertificateList }) => {
  const near = list.rows.filter(({ alert }) => alert !== 'none').length;
  const root = list.root.isHere ? 'The key of the root is on this console.' : 'The key of the root is not on this console.';
  return <span className={near === 0 ? 'dim' : 'warn'}>{`${near === 0 ? 'Nothing ends soon' : countOf(near, 'alert')}. ${root}`}</span>;
};

interface TableProps {
  readonly list: CertificateList;
  readonly onRevoke: (row: CertificateRow) => void;
}

const CertificateTable = ({ list, onRevoke }: TableProps) => (
  <div className="table-scroll">
    <table className="table">
      <thead>
        <tr>
          {['Name', 'State', 'Ends', 'Key'].map((title) => (
            <th key={title} scope="col">
              {title}
            </th>
          ))}
          <th scope="col">
            <span className="unseen">Actions</span>
          </th>
        </tr>
      </thead>
      <tbody>
        {list.rows.map((row) => (
          <Row key={`${row.kind} ${row.hostId ?? row.serial ?? row.name}`} row={row} onRevoke={() => onRevoke(row)} />
        ))}
      </tbody>
    </table>
  </div>
);

const Row = ({ row, onRevoke }: { readonly row: CertificateRow; readonly onRevoke: () => void }) => {
  const { tone, shape, text } = row.isRevoked ? { tone: 'crit', shape: 'dot square', text: 'revoked' } : alerts[row.alert];
  const canRevoke = !row.isRevoked && row.serial !== null && row.kind !== 'root';
  return (
    <tr className="row" data-testid="certificate">
      <td>
        {row.name}
        <div className="dim">{kinds[row.kind]}</div>
      </td>
      <td className="wrap">
        <span className={`state ${tone}`}>
          <span className={shape} aria-hidden="true" />
          {text}
        </span>
        <div className="dim">{row.note}</div>
      </td>
      <td className="mono">{formatDateTime(row.endsAt)}</td>
      <td className="mono dim" title={row.fingerprint ?? undefined}>
        {row.fingerprint === null ? '–' : row.fingerprint.slice(0, 12)}
      </td>
      <td className="right">
        {row.hostId === null ? null : <RenewButton hostId={row.hostId} name={row.name} />}{' '}
        {canRevoke ? (
          <Button variant="outlined" size="small" color="error" onClick={onRevoke} data-testid="revoke">
            Revoke…
          </Button>
        ) : null}
      </td>
    </tr>
  );
};

const RenewButton = ({ hostId, name }: { readonly hostId: string; readonly name: string }) => {
  const [renew, { isLoading }] = useRenewCertificateMutation();
  const dispatch = useConsoleDispatch();
  const go = async (): Promise<void> => {
    const { error } = await renew({ hostId });
    const failure = failureOf(error);
    dispatch(
      noticeRaised(
        failure === null
          ? { kind: 'ok', text: `${name} has a new certificate. No connection was dropped.` }
          : { kind: 'problem', text: `${name}: ${failure.message}` },
      ),
    );
  };
  return (
    <Button variant="outlined" size="small" disabled={isLoading} onClick={() => void go()} data-testid="renew">
      Renew now
    </Button>
  );
};

const RevokeDialog = ({ row, onClose }: { readonly row: CertificateRow; readonly onClose: () => void }) => {
  const [revoke, { isLoading, error }] = useRevokeCertificateMutation();
  const failure = failureOf(error);
  const go = async (): Promise<void> => {
    const { data } = await revoke({ serial: row.serial ?? '' });
    if (data !== undefined) onClose();
  };
  return (
    <ConsoleDialog
      title={`Revoke the certificate of ${row.name}?`}
      onClose={onClose}
      testId="revoke-dialog"
      footer={
        <>
          <span className="grow" />
          <Button variant="outlined" onClick={onClose} autoFocus>
            Cancel
          </Button>
          <Button variant="contained" color="error" disabled={isLoading} onClick={() => void go()} data-testid="revoke-confirm">
            Revoke for good
          </Button>
        </>
      }
    >
      <p>
        Its device is locked out and its connections to hosts that are connected now are cut at once; other hosts hear of it when they
        connect. This cannot be undone.
      </p>
      <p className="mono dim">serial {row.serial}</p>
      {failure === null ? null : <FailureView failure={failure} />}
    </ConsoleDialog>
  );
};
