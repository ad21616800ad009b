import { Link } from 'react-router';
import type { Trace } from '../../../bridge/model.ts';
import { Card } from '../../widgets/card.tsx';
import { VerdictLabel } from '../../widgets/host-state.tsx';

interface DraftCardProps {
  readonly trace: Trace | undefined;
  readonly hasDraft: boolean;
  /** The last trace was asked with a draft. */
  readonly wasAsked: boolean;
}

/** Would the draft change the verdict? */
export const DraftCard = ({ trace, hasDraft, wasAsked }: DraftCardProps) => (
  <Card title="Would the draft change it?" testId="trace-draft">
    <DraftAnswer trace={trace} hasDraft={hasDraft} wasAsked={wasAsked} />
  </Card>
);

const DraftAnswer = ({ trace, hasDraft, wasAsked }: DraftCardProps) => {
  if (!hasDraft) {
    return (
      <p className="dim">
        There is no draft. <Link to="/policy">Write one</Link> and the same packet is judged under it, too.
      </p>
    );
  }
  if (trace === undefined) return <p className="dim">Trace a packet to see.</p>;
  const { draft } = trace;
  if (draft === null)
    return (
      <p className="dim">
        {wasAsked ? 'The host did not judge it under the draft: look whether the draft has problems.' : 'The draft was not asked.'}
      </p>
    );
  const by = draft.mapping === null ? 'by the default action' : `by ${draft.mapping}`;
  return (
    <p data-testid="draft-verdict" data-changes={draft.allowed !== trace.allowed}>
      <VerdictLabel
        isAllowed={draft.allowed}
        word={
          draft.allowed === trace.allowed
            ? `No: still ${draft.allowed ? 'allowed' : 'denied'}`
            : `Yes: ${draft.allowed ? 'allowed' : 'denied'}`
        }
      />{' '}
      <span className="dim">{by}</span>
    </p>
  );
};
