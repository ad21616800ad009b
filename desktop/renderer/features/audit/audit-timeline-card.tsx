/** Entries of all hosts, the newest first; one of them in full. */
import { CircleAlert } from 'lucide-react';
import { useState } from 'react';
import type { AuditRow, AuditTimeline } from '../../../bridge/model.ts';
import { formatDateTime } from '../../client/units.ts';
import { Blank } from '../../widgets/blank.tsx';
import { ConsoleDialog } from '../../widgets/console-dialog.tsx';
import { VirtualGrid } from '../../widgets/virtual-grid.tsx';
import type { GridColumn } from '../../widgets/virtual-grid.tsx';
import { actionText, actorText, resultText, revisionText } from './audit-words.ts';

const columns: readonly GridColumn[] = [
  { id: 'time', title: 'Time' },
  { id: 'host', title: 'Host' },
  { id: 'number', title: 'Entry', isRight: true },
  { id: 'actor', title: 'Actor' },
  { id: 'action', title: 'Action' },
  { id: 'target', title: 'Target' },
  { id: 'revision', title: 'Revision' },
  { id: 'result', title: 'Result' },
];

const toneOf = (result: string): string => (result === 'OK' ? 'ok' : result === 'started' ? 'dim' : 'crit');

export const AuditTimelineView = ({ timeline }: { readonly timeline: AuditTimeline }) => {
  const [opened, setOpened] = useState<AuditRow | null>(null);
  const { rows } = timeline;
  const cells = (index: number) => {
    const row = rows[index];
    if (row === undefined) return [];
    return [
      <button key="time" type="button" className="link-button mono" onClick={() => setOpened(row)} data-testid="audit-entry">
        {formatDateTime(row.at)}
      </button>,
      row.hostName,
      <span key="number" className="mono">
        {row.number}
      </span>,
      actorText(row.actor),
      actionText(row.action),
      [row.target, row.detail].filter((part) => part !== '').join('; '),
      <span key="revision" className="mono">
        {revisionText(row)}
      </span>,
      <span key="result" className={toneOf(row.result)}>
        {resultText(row)}
      </span>,
    ];
  };
  return (
    <>
      <Absent timeline={timeline} />
      {rows.length === 0 ? (
        <Blank title="No entry fits">Hosts write an entry for everything that is changed or refused. Widen the filter, or wait.</Blank>
      ) : (
        <VirtualGrid
          label="Audit entries"
          layout="audit-grid"
          columns={columns}
          count={rows.length}
          keyOf={(index) => `${rows[index]?.hostId ?? ''} ${String(rows[index]?.number ?? index)}`}
          cells={cells}
          hasProblem={(index) => toneOf(rows[index]?.result ?? 'OK') === 'crit'}
          isPressable
          testId="audit-rows"
        />
      )}
      {opened === null ? null : <EntryDialog row={opened} onClose={() => setOpened(null)} />}
    </>
  );
};

/** Hosts that did not answer: what is shown of them is from memory. */
const Absent = ({ timeline: { hosts } }: { readonly timeline: AuditTimeline }) => {
  const absent = hosts.filter(({ problem }) => problem !== null);
  const [first] = absent;
  if (first === undefined) return null;
  const others = absent.length === 1 ? '' : ` and ${String(absent.length - 1)} more`;
  return (
    <div className="callout warn" role="status" data-testid="audit-absent">
      <CircleAlert size={16} aria-hidden="true" />
      <div>
        {first.hostName}
        {others} could not be read: {first.problem?.message} Shown is what this console kept.
      </div>
    </div>
  );
};

const EntryDialog = ({ row, onClose }: { readonly row: AuditRow; readonly onClose: () => void }) => {
  const lines: readonly (readonly [name: string, value: string])[] = [
    ['Time', formatDateTime(row.at)],
    ['Actor', row.actor === '' ? 'a stranger' : row.actor],
    ['Device key', row.device],
    ['From', row.source],
    ['Action', row.action],
    ['Target', row.target],
    ['Request SHA-256', row.requestHash],
    ['Result', resultText(row)],
    ['Revision', revisionText(row)],
    ['Ends entry', row.opening === null ? '' : String(row.opening)],
    ['Remark', row.detail],
  ];
  return (
    <ConsoleDialog title={`${row.hostName}, entry ${String(row.number)}`} onClose={onClose} width={720} testId="audit-entry-dialog">
      <dl className="audit-entry">
        {lines
          .filter(([, value]) => value !== '')
          .map(([name, value]) => (
            <div key={name} style={{ display: 'contents' }}>
              <dt>{name}</dt>
              <dd className="mono">{value}</dd>
            </div>
          ))}
      </dl>
    </ConsoleDialog>
  );
};
