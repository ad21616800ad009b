import { Link } from 'react-router';
import type { HostDetail, HostSample } from '../../../bridge/model.ts';
import { hostLink } from '../../client/links.ts';
import { useNow } from '../../client/shell.tsx';
import { formatBytes, formatDateTime, formatGeneration, formatRevision, formatSpan } from '../../client/units.ts';
import { Card } from '../../widgets/card.tsx';

interface HostFactsProps {
  readonly detail: HostDetail;
  readonly sample: HostSample;
}

/** What the host is. */
export const HostFacts = ({ detail, sample }: HostFactsProps) => {
  const now = useNow(10_000);
  const { row, facts, engines, certificate } = detail;
  const { policy } = sample;
  return (
    <Card title="Host">
      <dl className="facts">
        <dt>Engine</dt>
        <dd>{row.engine ?? <span className="off">none</span>}</dd>
        {engines
          .filter(({ engine }) => engine !== row.engine)
          .map(({ engine, available, reason }) => (
            <FactPair key={engine} name={engine} text={available ? `available${reason === '' ? '' : `: ${reason}`}` : `no: ${reason}`} />
          ))}
        <dt>Policy</dt>
        <dd>
          <Link className="mono" to={hostLink(row.hostId, 'policy')}>
            {formatRevision(policy.revision, policy.generation)}
          </Link>
          {policy.mode === 'observe' ? <span className="warn"> observes only</span> : null}
          {policy.generation === policy.desiredGeneration ? null : (
            <div className="warn">the kernel differs from what is wanted ({formatGeneration(policy.desiredGeneration)})</div>
          )}
        </dd>
        <dt>Address</dt>
        <dd className="mono">{row.address}</dd>
        <dt>Agent</dt>
        <dd className="mono">
          {row.agentVersion ?? '–'}
          {facts === null ? '' : `, up ${formatSpan((now - facts.agentStartedAt) / 1_000)}`}
        </dd>
        <dt>Clock</dt>
        <dd>
          {sample.clockSkewMs === null
            ? '–'
            : `${sample.clockSkewMs >= 0 ? '+' : '−'}${String(Math.abs(Math.round(sample.clockSkewMs)))} ms`}
        </dd>
        <dt>Uptime</dt>
        <dd>{formatSpan(sample.uptimeSeconds)}</dd>
        {facts === null ? null : <MachineFacts facts={facts} />}
        {certificate === null ? null : (
          <>
            <dt>Certificate</dt>
            <dd title={certificate.fingerprint}>ends {formatDateTime(certificate.endsAt).slice(0, 10)}</dd>
          </>
        )}
      </dl>
    </Card>
  );
};

const FactPair = ({ name, text }: { readonly name: string; readonly text: string }) => (
  <>
    <dt>{name}</dt>
    <dd className="dim">{text}</dd>
  </>
);

const MachineFacts = ({ facts }: { readonly facts: NonNullable<HostDetail['facts']> }) => (
  <>
    <dt>System</dt>
    <dd>{facts.operatingSystem}</dd>
    <dt>Kernel</dt>
    <dd className="mono">
      {facts.kernel} {facts.architecture}
    </dd>
    <dt>CPU</dt>
    <dd>
      {facts.cpuCount} × {facts.cpuModel}
    </dd>
    <dt>Memory</dt>
    <dd>{formatBytes(facts.memoryBytes)}</dd>
  </>
);
