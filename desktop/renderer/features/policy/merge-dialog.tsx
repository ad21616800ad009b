import Button from '@mui/material/Button';
import { useEffect, useState } from 'react';
import type { HostPlan, MergeConflict, MergeSide, MergeTaken, PolicyMerge, RevisionConflict } from '../../../bridge/model.ts';
import { useMergePolicyMutation } from '../../client/change-api.ts';
import { readPolicyText, writePolicyText } from '../../client/policy-document.ts';
import { failureOf } from '../../client/query-failure.ts';
import { countOf, formatTime } from '../../client/units.ts';
import { Bones, FailureView } from '../../widgets/blank.tsx';
import { ConsoleDialog } from '../../widgets/console-dialog.tsx';
import { Choice } from '../../widgets/field.tsx';
import type { PolicyEditor } from './policy-editor-state.ts';

interface MergeDialogProps {
  readonly editor: PolicyEditor;
  /** The host that has moved on. */
  readonly host: HostPlan;
  readonly conflict: RevisionConflict;
  readonly onClose: () => void;
}

type Choices = Readonly<Record<string, MergeSide>>;

/** Somebody was first: what they changed comes in, and what both have changed is asked for. */
export const MergeDialog = ({ editor, host, conflict, onClose }: MergeDialogProps) => {
  const [merge, { data, error, isLoading }] = useMergePolicyMutation();
  const [choices, setChoices] = useState<Choices>({});
  const { hostId } = host;
  const { text, hostIds, bases, replace } = editor;
  useEffect(() => {
    const running = merge({ hostId, baseRevision: conflict.baseRevision, policy: text, choices: { ...choices } });
    return () => running.abort();
  }, [merge, hostId, conflict.baseRevision, text, choices]);
  const failure = failureOf(error);
  const use = (policy: string, revision: number): void => {
    const read = readPolicyText(policy);
    replace(read === null ? policy : writePolicyText(read), hostIds, { ...bases, [hostId]: revision });
    onClose();
  };
  return (
    <ConsoleDialog
      title={`${host.hostName} has changed`}
      onClose={onClose}
      width={720}
      testId="merge-dialog"
      footer={
        <>
          <span className="grow dim">Changes the draft, no host. Undo brings it back.</span>
          <Button variant="outlined" onClick={() => use(text, conflict.revision)} data-testid="merge-overwrite">
            Keep only mine
          </Button>
          <Button
            variant="contained"
            disabled={data === undefined || data.unresolved > 0 || isLoading}
            onClick={() => {
              if (data !== undefined) use(data.policy, data.theirs.revision);
            }}
            data-testid="merge-use"
          >
            {data === undefined || data.unresolved === 0 ? 'Use merged draft' : `${countOf(data.unresolved, 'choice')} left`}
          </Button>
        </>
      }
    >
      <p data-testid="merge-who">
        Revision {conflict.revision}
        {conflict.author === '' ? '' : ` by ${conflict.author}`}, {formatTime(conflict.createdAt)}
        {conflict.comment === '' ? '' : `: ${conflict.comment}`}. Your draft was made on revision {conflict.baseRevision}.
      </p>
      {hostIds.length > 1 ? (
        <div className="callout warn">
          The draft is for {countOf(hostIds.length, 'host')}: what comes in here goes to all of them when you apply it.
        </div>
      ) : null}
      {failure === null ? null : <FailureView failure={failure} />}
      {data === undefined ? (
        failure === null ? (
          <Bones label="Merging" lines={4} />
        ) : null
      ) : (
        <MergeView merge={data} onChoices={setChoices} choices={choices} />
      )}
    </ConsoleDialog>
  );
};

interface MergeViewProps {
  readonly merge: PolicyMerge;
  readonly choices: Choices;
  readonly onChoices: (choices: Choices) => void;
}

const MergeView = ({ merge, choices, onChoices }: MergeViewProps) => (
  <div className="stack">
    {merge.taken.length === 0 ? null : (
      <div data-testid="merge-taken">
        <h3>Comes in</h3>
        <ul className="bullets">
          {merge.taken.map((change) => (
            <li key={`${change.list}/${change.name}`}>
              <span className="mono">{placeOf(change)}</span> {change.change}
              {change.fields.length === 0 ? '' : `: ${change.fields.join(', ')}`}
            </li>
          ))}
        </ul>
      </div>
    )}
    {merge.conflicts.length === 0 ? <p className="dim">Nothing was changed by both of you.</p> : <h3>Changed by both of you</h3>}
    {merge.conflicts.map((conflict) => (
      <ConflictChoice key={conflict.key} conflict={conflict} onSide={(side) => onChoices({ ...choices, [conflict.key]: side })} />
    ))}
    {merge.problems.map(({ path, message, severity }) => (
      <p key={`${path} ${message}`} className={severity === 'error' ? 'crit' : 'warn'}>
        {path === '' ? message : `${path}: ${message}`}
      </p>
    ))}
  </div>
);

const ConflictChoice = ({ conflict, onSide }: { readonly conflict: MergeConflict; readonly onSide: (side: MergeSide) => void }) => (
  <div className="stack" data-testid="merge-conflict">
    <span className="mono">
      {placeOf(conflict)}
      {conflict.field === null ? '' : ` ${conflict.field}`}
    </span>
    <span className="dim">was {valueOf(conflict.base, conflict)}</span>
    <Choice<MergeSide | 'none'>
      label={`${placeOf(conflict)} ${conflict.field ?? ''}`}
      isLabelHidden
      value={conflict.choice ?? 'none'}
      options={[
        { value: 'ours', title: `mine: ${valueOf(conflict.ours, conflict)}` },
        { value: 'theirs', title: `theirs: ${valueOf(conflict.theirs, conflict)}` },
      ]}
      onValue={(side) => {
        if (side !== 'none') onSide(side);
      }}
      testId={`merge-${conflict.key}`}
    />
  </div>
);

const placeOf = ({ list, name }: Pick<MergeTaken, 'list' | 'name'>): string => (list === 'document' ? 'the document' : `${list} ${name}`);

/** Longer values are told by their beginning. */
const valueMax = 160;

const valueOf = (value: string | null, { field }: MergeConflict): string => {
  if (value === null) return field === null ? 'removed' : 'absent';
  return value.length <= valueMax ? value : `${value.slice(0, valueMax)}…`;
};
