/** Who changed what on any host, and whether the logs that say so are whole. */
import Button from '@mui/material/Button';
import { CircleAlert, Download, ServerCog } from 'lucide-react';
import { useDeferredValue, useState } from 'react';
import type { AuditHeadRow } from '../../../bridge/model.ts';
import { useAuditHeadsQuery, useAuditTimelineQuery } from '../../client/audit-api.ts';
import { toFailure } from '../../client/failure.ts';
import { failureOf } from '../../client/query-failure.ts';
import { useFleet, useNow, useShell } from '../../client/shell.tsx';
import { useConsoleDispatch } from '../../client/store.ts';
import { noticeRaised } from '../../client/window-slice.ts';
import { Blank, Bones, Outcome } from '../../widgets/blank.tsx';
import { Page } from '../../widgets/page.tsx';
import { useAuditExport } from './audit-export.ts';
import { AuditFilter, everything, questionOf } from './audit-filter.tsx';
import { AuditHeadsCard } from './audit-heads-card.tsx';
import { AuditTimelineView } from './audit-timeline-card.tsx';

/** Logs grow slowly: they are asked so often, milliseconds. */
const pollMs = 10_000;
/** The times in the filter need no more. */
const clockMs = 10_000;

export const AuditPage = () => {
  const fleet = useFleet();
  const now = useNow(clockMs);
  const { data: heads, error, refetch } = useAuditHeadsQuery({}, { pollingInterval: pollMs, skipPollingIfUnfocused: true });
  if (fleet.at === null)
    return (
      <Page title="Audit">
        <Bones label="Loading hosts" />
      </Page>
    );
  if (fleet.rows.length === 0)
    return (
      <Page title="Audit">
        <NoHost />
      </Page>
    );
  return (
    <Page title="Audit" about="What was changed or refused, and by whom" actions={<ExportButton hosts={fleet.rows} />}>
      <div className="audit-body">
        <Outcome value={heads} failure={failureOf(error)} label="Loading the logs" onRetry={() => void refetch()}>
          {(rows) => (
            <>
              <Alarms heads={rows} />
              <AuditHeadsCard heads={rows} now={now} />
            </>
          )}
        </Outcome>
        <TimelineCard now={now} />
      </div>
    </Page>
  );
};

const TimelineCard = ({ now }: { readonly now: number }) => {
  const fleet = useFleet();
  const [choice, setChoice] = useState(everything);
  const asked = useDeferredValue(choice);
  const { data, error, refetch } = useAuditTimelineQuery(questionOf(asked, now), { pollingInterval: pollMs, skipPollingIfUnfocused: true });
  return (
    <section className="card fill" aria-label="Entries" data-testid="audit-timeline">
      <div className="toolbar">
        <AuditFilter hosts={fleet.rows} choice={choice} onChoice={setChoice} />
      </div>
      <Outcome value={data} failure={failureOf(error)} label="Loading entries" onRetry={() => void refetch()}>
        {(timeline) => <AuditTimelineView timeline={timeline} />}
      </Outcome>
    </section>
  );
};

const Alarms = ({ heads }: { readonly heads: readonly AuditHeadRow[] }) =>
  heads.flatMap(({ hostId, hostName, alarm }) =>
    alarm === null
      ? []
      : [
          <div key={hostId} className="callout crit" role="alert" data-testid="audit-alarm">
            <CircleAlert size={16} aria-hidden="true" />
            <div>
              <strong>{hostName}: the audit log was tampered with.</strong> {alarm.message} Keep the host as it is, export its log, and find
              out who had its root.
            </div>
          </div>,
        ],
  );

const ExportButton = ({ hosts }: { readonly hosts: readonly { readonly hostId: string; readonly state: string }[] }) => {
  const { now } = useShell();
  const dispatch = useConsoleDispatch();
  const { progress, run } = useAuditExport(now);
  const there = hosts.filter(({ state }) => state === 'healthy' || state === 'degraded').map(({ hostId }) => hostId);
  const press = (): void => {
    run(there).catch((error: unknown) => dispatch(noticeRaised({ kind: 'problem', text: toFailure(error).message })));
  };
  return (
    <Button
      variant="outlined"
      startIcon={<Download size={16} aria-hidden="true" />}
      disabled={progress !== null || there.length === 0}
      onClick={press}
      data-testid="audit-export"
    >
      {progress === null ? 'Export' : `Exporting ${String(progress + 1)} of ${String(there.length)}`}
    </Button>
  );
};

const NoHost = () => (
  <div className="card fill">
    <Blank title="No host, no log" icon={<ServerCog size={28} aria-hidden="true" />}>
      Every host keeps a log of its own: add one first, on the Hosts page.
    </Blank>
  </div>
);
