import Button from '@mui/material/Button';
import type { DriftRow } from '../../../bridge/model.ts';
import { useCheckDriftMutation, useDriftQuery, useSetDriftModeMutation } from '../../client/change-api.ts';
import { failureOf } from '../../client/query-failure.ts';
import { useConsoleDispatch } from '../../client/store.ts';
import { countOf, formatDateTime } from '../../client/units.ts';
import { noticeRaised } from '../../client/window-slice.ts';
import { Blank, Outcome } from '../../widgets/blank.tsx';
import { Card } from '../../widgets/card.tsx';

/** The list is asked for again so often, milliseconds. */
const pollMs = 5_000;

/** Whether kernels are as their agents have left them, by host. */
export const DriftCard = () => {
  const { data, error, refetch } = useDriftQuery({}, { pollingInterval: pollMs, skipPollingIfUnfocused: true });
  const drifted = data?.filter(({ drift }) => (drift?.findings.length ?? 0) > 0).length ?? 0;
  return (
    <Card
      title="Kernel against policy"
      isFlush
      aside={data === undefined ? undefined : drifted === 0 ? 'No drift' : <span className="warn">{countOf(drifted, 'host')} drifted</span>}
      testId="drift"
    >
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
        {drift === null ? (
          <span className="dim">The host does not tell.</span>
        ) : drift.findings.length === 0 ? (
          <span className="dim">as it should be</span>
        ) : (
          drift.findings.map((finding) => (
            <div key={finding.resource} className="warn">
              {finding.resource}: {finding.message}
            </div>
          ))
        )}
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
