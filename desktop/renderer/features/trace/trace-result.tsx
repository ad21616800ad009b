/** The verdict first, then the way to it, then the bytes. */
import { Link } from 'react-router';
import type { Trace, TraceStep } from '../../../bridge/model.ts';
import { reasonWord } from '../../../bridge/flow-grammar.ts';
import { balancerLink, denyListLink, hostLink, mappingLink } from '../../client/links.ts';
import { formatAge, formatCount, formatGeneration } from '../../client/units.ts';
import { TraceBytes } from './trace-bytes.tsx';

interface TraceResultProps {
  readonly trace: Trace;
  readonly hostId: string;
  /** Milliseconds since the Unix epoch. */
  readonly now: number;
}

export const TraceResult = ({ trace, hostId, now }: TraceResultProps) => (
  <>
    <section className="card" aria-label="Verdict" data-testid="trace-result" data-allowed={trace.allowed} data-reason={trace.reason}>
      <div className="card-head">
        <span className={trace.allowed ? 'verdict ok' : 'verdict crit'} data-testid="trace-verdict">
          <span className={trace.allowed ? 'dot' : 'dot square'} aria-hidden="true" />
          {trace.allowed ? 'Allowed' : 'Denied'}
          {trace.mapping === null ? null : (
            <span>
              {'by '}
              <Link className="sky" to={mappingLink(hostId, trace.mapping)}>
                {trace.mapping}
              </Link>
            </span>
          )}
        </span>
        <span className="chip" data-testid="trace-outcome">
          {outcomes[trace.outcome]}
        </span>
        <span className="aside mono">
          rev {trace.revision} · {formatGeneration(trace.generation)}
          {trace.durationNs === null ? null : ` · ${formatCount(trace.durationNs)} ns`}
        </span>
      </div>
      <div className="card-body">
        {trace.live ? null : (
          <div className="callout" data-testid="trace-offline">
            The host does not answer. This console judged the packet with the host’s own verdict, by the policy it had{' '}
            {formatAge(now - trace.at)} ago; its live flows, routes and deny lists of its own are not known here.
          </div>
        )}
        <p className="dim">
          {trace.sentence} <span className="mono">({reasonWord(trace.reason)}</span>
          {trace.priority === null ? null : <span className="mono">, priority {trace.priority}</span>}
          <span className="mono">)</span>
        </p>
        <ol aria-label="Steps" data-testid="trace-steps">
          {trace.steps.map((step, index) => (
            <li key={`${step.stage} ${String(index)}`} className="step">
              <span className="step-number" aria-hidden="true">
                {index + 1}
              </span>
              <span className="step-title">{step.title}</span>
              <span className="step-detail">
                <StepDetail step={step} link={entryLink(hostId, trace, step)} />
              </span>
            </li>
          ))}
        </ol>
      </div>
    </section>
    <TraceBytes trace={trace} />
  </>
);

const outcomes: Readonly<Record<Trace['outcome'], string>> = {
  pass: 'handed to the kernel',
  drop: 'dropped',
  transmit: 'sent back out of the same interface',
  redirect: 'sent out of another interface',
};

/** Where the entry that a step matched can be looked at; null when it has no place of its own. */
const entryLink = (hostId: string, trace: Trace, { stage, subject }: TraceStep): string | null => {
  if (subject === null) return null;
  switch (stage) {
    case 'deny':
      return denyListLink(hostId, subject);
    case 'limit':
      return hostLink(hostId, 'limits');
    case 'balance':
      return trace.mapping === null ? null : balancerLink(hostId, trace.mapping);
    case 'policy':
      return mappingLink(hostId, subject);
    default:
      return subject === trace.mapping ? mappingLink(hostId, subject) : null;
  }
};

/** The sentence of a step with its entry as a link, in its place when the sentence names it, else behind it. */
const StepDetail = ({ step, link }: { readonly step: TraceStep; readonly link: string | null }) => {
  const { detail, subject } = step;
  if (subject === null || link === null) return detail;
  const place = detail.indexOf(subject);
  const entry = (
    <Link className="mono" to={link}>
      {subject}
    </Link>
  );
  if (place < 0)
    return (
      <>
        {`${detail} `}
        {entry}
      </>
    );
  return (
    <>
      {detail.slice(0, place)}
      {entry}
      {detail.slice(place + subject.length)}
    </>
  );
};
