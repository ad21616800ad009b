/** What of the logs is shown. */
import type { InputOf } from '../../../bridge/contract.ts';
import type { HostRow } from '../../../bridge/model.ts';

export interface AuditChoice {
  readonly hostId: string;
  readonly outcome: '' | 'done' | 'refused';
  readonly actor: string;
  readonly text: string;
  /** Hours back; 0 = all. */
  readonly hours: number;
}

export const everything: AuditChoice = { hostId: '', outcome: '', actor: '', text: '', hours: 0 };
/** Rows of one question. */
const rowsMax = 500;
const hourMs = 3_600_000;
/** The beginning of a span moves in steps, so that the same question is asked again. */
const stepMs = 60_000;

export const questionOf = ({ hostId, outcome, actor, text, hours }: AuditChoice, now: number): InputOf<'audit.list'> => ({
  ...(hostId === '' ? {} : { hostIds: [hostId] }),
  ...(outcome === '' ? {} : { outcome }),
  ...(actor.trim() === '' ? {} : { actor: actor.trim() }),
  ...(text.trim() === '' ? {} : { contains: text.trim() }),
  ...(hours === 0 ? {} : { since: Math.floor((now - hours * hourMs) / stepMs) * stepMs }),
  limit: rowsMax,
});

interface AuditFilterProps {
  readonly hosts: readonly HostRow[];
  readonly choice: AuditChoice;
  readonly onChoice: (choice: AuditChoice) => void;
}

export const AuditFilter = ({ hosts, choice, onChoice }: AuditFilterProps) => (
  <>
    <select
      className="input"
      style={{ width: 170 }}
      aria-label="Host"
      value={choice.hostId}
      onChange={(event) => onChoice({ ...choice, hostId: event.target.value })}
      data-testid="audit-host"
    >
      <option value="">all hosts</option>
      {hosts.map(({ hostId, name }) => (
        <option key={hostId} value={hostId}>
          {name}
        </option>
      ))}
    </select>
    <select
      className="input"
      style={{ width: 120 }}
      aria-label="Outcome"
      value={choice.outcome}
      onChange={(event) => onChoice({ ...choice, outcome: event.target.value as AuditChoice['outcome'] })}
      data-testid="audit-outcome"
    >
      <option value="">any outcome</option>
      <option value="done">done</option>
      <option value="refused">refused</option>
    </select>
    <select
      className="input"
      style={{ width: 130 }}
      aria-label="Time"
      value={String(choice.hours)}
      onChange={(event) => onChoice({ ...choice, hours: Number(event.target.value) })}
    >
      <option value="0">any time</option>
      <option value="1">last hour</option>
      <option value="24">last day</option>
      <option value="168">last week</option>
    </select>
    <input
      className="input"
      style={{ width: 160 }}
      aria-label="Actor"
      placeholder="Actor"
      value={choice.actor}
      onChange={(event) => onChoice({ ...choice, actor: event.target.value })}
      data-testid="audit-actor"
    />
    <input
      className="input grow"
      data-filter
      aria-label="Text in any field"
      placeholder="Text in any field"
      value={choice.text}
      onChange={(event) => onChoice({ ...choice, text: event.target.value })}
      data-testid="audit-text"
    />
  </>
);
