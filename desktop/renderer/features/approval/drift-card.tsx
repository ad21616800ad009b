import Button from '@mui/material/Button';
import type { DriftRow } from '../../../bridge/model.ts';
import { useCheckDriftMutation, useDriftQuery, useSetDriftModeMutation } from '../../client/change-api.ts';
import { failureOf } from '../../client/query-failure.ts';
import { useConsoleDispatch } from '../../client/store.ts';
import { countOf, formatCount, formatDateTime } from '../../client/units.ts';
import { noticeRaised } from '../../client/window-slice.ts';
import { Blank, Outcome } from '../../widgets/blank.tsx';
import { Card } from '../../widgets/card.tsx';

/** The list is asked for again so often, milliseconds. */
const pollMs = 5_000;

/** Whether kernels are as their agents have left them, by host. */
export const DriftCard = () => {
  const { data, error, refetch } = useDriftQuery({}, { pollingInterval: pollMs, skipPollingIfUnfocused: true });
  return (
    <Card title="Kernel against policy" isFlush aside={data === undefined ? undefined : <Summary rows={data} />} testId="drift">
      <Outcome value={data} failure={failureOf(error)} label="Loading the drift" onRetry={() => void refetch()}>
        {(rows) =>
          rows.length === 0 ? (
            <Blank title="No hosts">Hosts that are added show here whether their kernel is as it should be.</Blank>
          ) : (
            <div className="table-scroll">
              <table className="table">
                <thead>
                  <tr>
                    {['Host', 'Found', 'Looked at', 'Healed', 'When it drifts'].map((title) => (
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
                  {rows.map((row) => (
                    <DriftLine key={row.hostId} row={row} onDone={() => void refetch()} />
                  ))}
                </tbody>
              </table>
            </div>
          )
        }
      </Outcome>
    </Card>
  );
};

/** Says "no drift" only of hosts that were looked at. */
const Summary = ({ rows }: { readonly rows: readonly DriftRow[] }) => {
  const drifted = rows.filter(({ drift }) => (drift?.findings.length ?? 0) > 0).length;
  if (drifted > 0) return <span className="warn">{countOf(drifted, 'host')} drifted</span>;
  const looked = rows.filter(({ drift }) => (drift?.checkedAt ?? null) !== null).length;
  if (looked === 0) return 'Not looked at yet';
  return looked === rows.length ? 'No drift' : `No drift on ${formatCount(looked)} of ${countOf(rows.length, 'host')}`;
};

/** What was found on one host, or why nothing is known. */
const Found = ({ drift }: Pick<DriftRow, 'drift'>) => {
  if (drift === null) return <span className="dim">The host does not tell.</span>;
  if (drift.findings.length > 0)
    return drift.findings.map((finding) => (
      <div key={finding.resource} className="warn">
        {finding.resource}: {finding.message}
      </div>
    ));
  return <span className="dim">{drift.checkedAt === null ? 'not looked at yet' : 'as it should be'}</span>;
};

const DriftLine = ({ row, onDone }: { readonly row: DriftRow; readonly onDone: () => void }) => {
  const [check, checking] = useCheckDriftMutation();
  const [setMode, setting] = useSetDriftModeMutation();
  const dispatch = useConsoleDispatch();
  const { hostId, hostName, drift, live } = row;
  const tell = (error: unknown): void => {
    const failure = failureOf(error as Parameters<typeof failureOf>[0]);
    if (failure !== null) dispatch(noticeRaised({ kind: 'problem', text: `${hostName}: ${failure.message}` }));
    onDone();
  };
  return (
    <tr className="row" data-testid="drift-row">
      <td>
        {hostName}
        {live ? null : <div className="dim">as last known</div>}
      </td>
      <td className="wrap">
        <Found drift={drift} />
      </td>
      <td className="mono">{drift === null || drift.checkedAt === null ? '–' : formatDateTime(drift.checkedAt)}</td>
      <td className="mono">{drift === null ? '–' : drift.healed}</td>
      <td>
        <select
          className="input small"
          aria-label={`When ${hostName} drifts`}
          value={drift?.mode ?? 'report'}
          disabled={!live || drift === null || setting.isLoading}
          onChange={(event) => {
            const mode = event.target.value === 'heal' ? 'heal' : 'report';
            void setMode({ hostId, mode }).then(({ error }) => tell(error));
          }}
          data-testid="drift-mode"
        >
          <option value="report">report</option>
          <option value="heal">heal</option>
        </select>
      </td>
      <td className="right">
        <Button
          variant="outlined"
          size="small"
          disabled={!live || drift === null || checking.isLoading}
          onClick={() => void check({ hostId }).then(({ error }) => tell(error))}
          data-testid="drift-check"
        >
          {checking.isLoading ? 'Looking…' : 'Look now'}
        </Button>
      </td>
    </tr>
  );
};
