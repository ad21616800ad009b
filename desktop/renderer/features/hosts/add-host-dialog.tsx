/** Adding a host: describe it, carry the token to it, compare the fingerprint, done. */
import Button from '@mui/material/Button';
import { useState } from 'react';
import { useSearchParams } from 'react-router';
import { hostAddressFault } from '../../../bridge/host-address.ts';
import type { Enrollment } from '../../../bridge/model.ts';
import { useBeginEnrollmentMutation, useWatchEnrollmentQuery } from '../../client/bridge-api.ts';
import { failureOf } from '../../client/query-failure.ts';
import { useFleet } from '../../client/shell.tsx';
import { Bones, FailureView } from '../../widgets/blank.tsx';
import { ConsoleDialog } from '../../widgets/console-dialog.tsx';
import { TextField } from '../../widgets/field.tsx';
import type { Fault } from '../../widgets/field.tsx';
import { EnrollmentSteps, EnrollmentView } from './enrollment-view.tsx';
import { HostLabels } from './host-labels.tsx';
import { hostLabelFaults, hostNameFault } from './host-faults.ts';

interface AddHostDialogProps {
  readonly onClose: () => void;
}

const agentPort = '50051';

export const AddHostDialog = ({ onClose }: AddHostDialogProps) => {
  const [search] = useSearchParams();
  const asked = search.get('add') ?? '';
  const [begun, setBegun] = useState<Enrollment | null>(null);
  const enrollmentId = begun?.enrollmentId ?? (asked.length > 1 ? asked : null);
  return enrollmentId === null ? (
    <DescribeHost onClose={onClose} onBegun={setBegun} />
  ) : (
    <FollowEnrollment key={enrollmentId} enrollmentId={enrollmentId} begun={begun} onClose={onClose} onAgain={() => setBegun(null)} />
  );
};

interface DescribeHostProps {
  readonly onClose: () => void;
  readonly onBegun: (enrollment: Enrollment) => void;
}

const isPort = (text: string): boolean => /^\d{1,5}$/.test(text) && Number(text) >= 1 && Number(text) <= 65_535;

const faultsFor = (message: string | null): readonly Fault[] => (message === null ? [] : [{ severity: 'error', message }]);

const DescribeHost = ({ onClose, onBegun }: DescribeHostProps) => {
  const [name, setName] = useState('');
  const [address, setAddress] = useState('');
  const [port, setPort] = useState(agentPort);
  const [labels, setLabels] = useState<readonly string[]>([]);
  const [begin, { isLoading, error }] = useBeginEnrollmentMutation();
  const failure = failureOf(error);
  const nameFault = hostNameFault(name.trim(), useFleet().rows);
  const addressFault = hostAddressFault(address.trim());
  const isReady =
    name.trim() !== '' &&
    address.trim() !== '' &&
    (nameFault ?? addressFault) === null &&
    hostLabelFaults(labels).length === 0 &&
    isPort(port);
  const submit = async (): Promise<void> => {
    const result = await begin({ name: name.trim(), address: address.trim(), port: Number(port), labels: [...labels] });
    if (result.data !== undefined) onBegun(result.data);
  };
  return (
    <ConsoleDialog
      title="Add host"
      onClose={onClose}
      testId="add-host-dialog"
      footer={<DescribeFooter isReady={isReady && !isLoading} word={isLoading ? 'Making…' : 'Make token'} onClose={onClose} />}
    >
      <EnrollmentSteps current={0} />
      <form
        id="describe-host"
        className="stack"
        onSubmit={(event) => {
          event.preventDefault();
          void submit();
        }}
      >
        <TextField
          label="Name"
          value={name}
          onValue={setName}
          autoFocus
          required
          maxLength={63}
          placeholder="edge-ams-011"
          isMono
          faults={faultsFor(nameFault)}
          testId="host-name"
        />
        <div className="field-row" style={{ gridTemplateColumns: '3fr 1fr' }}>
          <TextField
            label="Address"
            value={address}
            onValue={setAddress}
            required
            maxLength={253}
            placeholder="198.18.0.11"
            isMono
            hint="Where this computer reaches the agent."
            faults={faultsFor(addressFault)}
            testId="host-address"
          />
          <PortField port={port} onPort={setPort} />
        </div>
        <HostLabels labels={labels} onLabels={setLabels} testId="host-labels" />
      </form>
      {failure === null ? null : <FailureView failure={failure} />}
    </ConsoleDialog>
  );
};

const PortField = ({ port, onPort }: { readonly port: string; readonly onPort: (port: string) => void }) => (
  <TextField
    label="Port"
    value={port}
    onValue={onPort}
    inputMode="numeric"
    isMono
    faults={isPort(port) ? [] : [{ severity: 'error', message: '1 to 65535.' }]}
    testId="host-port"
  />
);

const DescribeFooter = ({ isReady, word, onClose }: { readonly isReady: boolean; readonly word: string; readonly onClose: () => void }) => (
  <>
    <span className="grow dim">The token works once, for ten minutes.</span>
    <Button variant="outlined" onClick={onClose}>
      Cancel
    </Button>
    <Button variant="contained" type="submit" form="describe-host" disabled={!isReady} data-testid="make-token">
      {word}
    </Button>
  </>
);

interface FollowEnrollmentProps {
  readonly enrollmentId: string;
  readonly begun: Enrollment | null;
  readonly onClose: () => void;
  readonly onAgain: () => void;
}

const FollowEnrollment = ({ enrollmentId, begun, onClose, onAgain }: FollowEnrollmentProps) => {
  const { data } = useWatchEnrollmentQuery({ enrollmentId });
  const enrollment = data?.value ?? begun;
  if (enrollment !== null) return <EnrollmentView enrollment={enrollment} onClose={onClose} onAgain={onAgain} />;
  return (
    <ConsoleDialog title="Add host" onClose={onClose}>
      {data?.failure === null || data === undefined ? <Bones label="Loading the enrolment" /> : <FailureView failure={data.failure} />}
    </ConsoleDialog>
  );
};
