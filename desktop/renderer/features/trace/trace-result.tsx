/** The verdict first, then the way to it, then the bytes. */
import { Link } from 'react-router';
import type { Trace } from '../../../bridge/model.ts';
import { mappingLink } from '../../client/links.ts';
import { formatCount, formatGeneration } from '../../client/units.ts';
import { Card } from '../../widgets/card.tsx';
import { HexView } from './hex-view.tsx';

interface TraceResultProps {
  readonly trace: Trace;
  readonly hostId: string;
}

export const TraceResult = ({ trace, hostId }: TraceResultProps) => (
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
        <span className="aside mono">
          rev {trace.revision} · {formatGeneration(trace.generation)} · {formatCount(trace.durationNs)} ns
        </span>
      </div>
      <div className="card-body">
        <p className="dim">
          {trace.sentence} <span className="mono">({trace.reason}</span>
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
                {step.detail}
                {step.subject !== null && step.subject === trace.mapping ? (
                  <>
                    {' '}
                    <Link className="mono" to={mappingLink(hostId, step.subject)}>
                      {step.subject}
                    </Link>
                  </>
                ) : null}
              </span>
            </li>
          ))}
        </ol>
      </div>
    </section>
    <Card title="Bytes" aside={<span className="mono">arrives on {trace.interface}</span>}>
      <HexView hex={trace.hex} />
    </Card>
  </>
);
