import { TokenInput } from '../../widgets/token-input.tsx';
import { hostLabelFaults } from './host-faults.ts';

interface HostLabelsProps {
  readonly labels: readonly string[];
  readonly onLabels: (labels: readonly string[]) => void;
  readonly testId: string;
}

/** Labels of one host, judged while typing. */
export const HostLabels = ({ labels, onLabels, testId }: HostLabelsProps) => (
  <TokenInput
    label="Labels"
    values={labels}
    onValues={onLabels}
    placeholder="site=ams1, edge"
    hint="To search, group and plan by. Enter or comma adds one."
    faults={hostLabelFaults(labels)}
    testId={testId}
  />
);
