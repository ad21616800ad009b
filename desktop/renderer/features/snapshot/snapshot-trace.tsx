/** A packet through the tables in the file: the host's own verdict, without its flows and routes. */
import Button from '@mui/material/Button';
import { useState } from 'react';
import type { InputOf } from '../../../bridge/contract.ts';
import type { Trace } from '../../../bridge/model.ts';
import { failureOf } from '../../client/query-failure.ts';
import { useTraceSnapshotMutation } from '../../client/snapshot-api.ts';
import { FailureView } from '../../widgets/blank.tsx';
import { SelectField, TextField } from '../../widgets/field.tsx';

const protocols = ['tcp', 'udp', 'icmp'] as const;

interface SnapshotTraceProps {
  readonly snapshotId: string;
  readonly hostId: string;
  readonly interfaces: readonly string[];
}

interface TraceForm {
  readonly interface: string;
  readonly protocol: (typeof protocols)[number];
  readonly source: string;
  readonly destination: string;
  readonly port: string;
}

export const SnapshotTrace = ({ snapshotId, hostId, interfaces }: SnapshotTraceProps) => {
  const [form, setForm] = useState<TraceForm>({
    interface: interfaces[0] ?? 'eth0',
    protocol: 'tcp',
    source: '',
    destination: '',
    port: '',
  });
  const [trace, { data, error, isLoading }] = useTraceSnapshotMutation();
  const failure = failureOf(error);
  const put = (part: Partial<TraceForm>): void => setForm({ ...form, ...part });
  const hasPorts = form.protocol !== 'icmp';
  const isReady = form.source !== '' && form.destination !== '' && form.interface !== '' && (!hasPorts || isPort(form.port));
  return (
    <>
      <div className="line">
        <TextField
          label="Interface"
          isMono
          value={form.interface}
          maxLength={15}
          onValue={(value) => put({ interface: value })}
          testId="snapshot-trace-interface"
        />
        <SelectField
          label="Protocol"
          value={form.protocol}
          options={protocols.map((value) => ({ value, title: value.toUpperCase() }))}
          onValue={(value) => put({ protocol: protocols.find((name) => name === value) ?? 'tcp' })}
        />
        <TextField
          label="Source"
          isMono
          value={form.source}
          onValue={(value) => put({ source: value })}
          placeholder="198.18.31.17"
          testId="snapshot-trace-source"
        />
        <TextField
          label="Destination"
          isMono
          value={form.destination}
          onValue={(value) => put({ destination: value })}
          placeholder="198.18.7.40"
          testId="snapshot-trace-destination"
        />
        {hasPorts ? (
          <TextField
            label="Port"
            isMono
            value={form.port}
            onValue={(value) => put({ port: value })}
            placeholder="443"
            testId="snapshot-trace-port"
          />
        ) : null}
        <Button
          variant="contained"
          disabled={!isReady || isLoading}
          onClick={() => void trace({ snapshotId, hostId, ...inputOf(form) })}
          data-testid="snapshot-trace-run"
        >
          Trace
        </Button>
      </div>
      {failure === null ? null : <FailureView failure={failure} />}
      {failure !== null || data === undefined ? null : <Verdict trace={data} />}
    </>
  );
};

const isPort = (text: string): boolean => /^\d{1,5}$/.test(text) && Number(text) <= 65_535;

const inputOf = (form: TraceForm): Pick<InputOf<'snapshot.trace'>, 'interface' | 'packet'> => ({
  interface: form.interface,
  packet: {
    protocol: form.protocol,
    source: form.source.trim(),
    destination: form.destination.trim(),
    ...(form.protocol === 'icmp' ? {} : { destinationPort: Number(form.port) }),
    ...(form.protocol === 'tcp' ? { tcpFlags: 'syn' as const } : {}),
  },
});

const Verdict = ({ trace }: { readonly trace: Trace }) => (
  <div data-testid="snapshot-trace-verdict" data-allowed={trace.allowed}>
    <p>
      <span className={trace.allowed ? 'verdict ok' : 'verdict crit'}>
        <span className={trace.allowed ? 'dot' : 'dot square'} aria-hidden="true" />
        {trace.allowed ? 'Allowed' : 'Denied'}
        {trace.mapping === null ? null : ` by ${trace.mapping}`}
      </span>{' '}
      {trace.sentence}
    </p>
    <ol aria-label="Steps">
      {trace.steps.map(({ stage, title, detail }, index) => (
        <li key={`${stage} ${String(index)}`} className="step">
          <span className="step-title">{title}</span>
          <span className="step-detail">{detail}</span>
        </li>
      ))}
    </ol>
  </div>
);
