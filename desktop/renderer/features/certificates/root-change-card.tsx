/** The change of the fleet's root: where it stands, what it waits for, and the way on and back. */
import Button from '@mui/material/Button';
import Checkbox from '@mui/material/Checkbox';
import FormControlLabel from '@mui/material/FormControlLabel';
import { useState } from 'react';
import type { RootChangeHold, RootChangeView } from '../../../bridge/root-change-model.ts';
import { useAdvanceRootMutation, useRollBackRootMutation, useRootChangeQuery, useStartRootMutation } from '../../client/bridge-api.ts';
import { failureOf } from '../../client/query-failure.ts';
import { countOf, formatDateTime } from '../../client/units.ts';
import { FailureView, Outcome } from '../../widgets/blank.tsx';
import { Card } from '../../widgets/card.tsx';
import { ConsoleDialog } from '../../widgets/console-dialog.tsx';

/** The state is asked for again so often, milliseconds. */
const pollMs = 5_000;
/** Entries of a list that are shown. */
const shownMax = 20;

type Act = 'start' | 'advance' | 'rollback';

const phases: Readonly<Record<RootChangeView['phase'], string>> = {
  none: 'The root was never changed.',
  announced: 'Announced: hosts know the new root, nobody believes it yet.',
  'dual-trust': 'Dual trust: both roots are believed, the old one issues.',
  're-issue': 'Re-issue: both roots are believed, the new one issues.',
  dropped: 'Done: the old root is believed no more.',
  cancelled: 'Taken back: the old root alone is believed.',
};

export const RootChangeCard = ({ isRootHere }: { readonly isRootHere: boolean }) => {
  const { data, error, refetch } = useRootChangeQuery({}, { pollingInterval: pollMs, skipPollingIfUnfocused: true });
  const [act, setAct] = useState<Act | null>(null);
  return (
    <Card title="Change of the root" testId="root-change">
      <Outcome value={data} failure={failureOf(error)} label="Loading the change of the root" onRetry={() => void refetch()}>
        {(view) => (
          <div className="stack">
            <State view={view} />
            <Acts view={view} isRootHere={isRootHere} onAct={setAct} />
            {act === null ? null : <StepDialog view={view} act={act} onClose={() => setAct(null)} />}
          </div>
        )}
      </Outcome>
    </Card>
  );
};

const State = ({ view }: { readonly view: RootChangeView }) => (
  <>
    <p data-testid="root-phase">{phases[view.phase]}</p>
    {view.startedAt === null ? null : <p className="dim">{`Begun ${formatDateTime(view.startedAt)}.`}</p>}
    <p className="mono dim">{`${view.from.slice(0, 16)}${view.to === null ? '' : ` → ${view.to.slice(0, 16)}`}`}</p>
    <List title="Hosts that have not heard of it" entries={view.isUnderWay ? view.behind : []} />
    <List title="On the old root" entries={view.holds} />
    {view.phase === 'dual-trust' ? <List title="On the new root" entries={view.backHolds} /> : null}
  </>
);

interface Entry extends Partial<Pick<RootChangeHold, 'kind' | 'reason'>> {
  readonly name: string;
  readonly isAway: boolean;
}

const List = ({ title, entries }: { readonly title: string; readonly entries: readonly Entry[] }) =>
  entries.length === 0 ? null : (
    <div>
      <p>{`${title}: ${String(entries.length)}`}</p>
      <ul>
        {entries.slice(0, shownMax).map(({ kind, name, isAway, reason }) => (
          <li key={`${name} ${reason ?? ''}`} data-testid="root-hold">
            {`${kind === 'intent' || kind === 'rollout' ? `${kind} ` : ''}${name}${isAway ? ', away' : ''}`}{' '}
            <span className="dim">{reason}</span>
          </li>
        ))}
      </ul>
      {entries.length > shownMax ? <p className="dim">{`and ${countOf(entries.length - shownMax, 'other')}`}</p> : null}
    </div>
  );

interface ActsProps {
  readonly view: RootChangeView;
  readonly isRootHere: boolean;
  readonly onAct: (act: Act) => void;
}

const Acts = ({ view, isRootHere, onAct }: ActsProps) => {
  if (view.isUnderWay && !view.isConductedHere) return <p className="dim">Another console conducts it. Go on there.</p>;
  if (!view.isUnderWay)
    return isRootHere ? (
      <div>
        <Button variant="outlined" onClick={() => onAct('start')} data-testid="root-start">
          Change the root…
        </Button>
      </div>
    ) : (
      <p className="dim">The key of the root is not on this console: restore it first (“nest fleet root restore”).</p>
    );
  return (
    <div>
      <Button variant="contained" onClick={() => onAct('advance')} data-testid="root-advance">
        {`On to “${view.next ?? ''}”…`}
      </Button>{' '}
      <Button variant="outlined" onClick={() => onAct('rollback')} data-testid="root-rollback">
        {`Back to “${view.back ?? ''}”…`}
      </Button>
    </div>
  );
};

const StepDialog = ({ view, act, onClose }: { readonly view: RootChangeView; readonly act: Act; readonly onClose: () => void }) => {
  const [start, started] = useStartRootMutation();
  const [advance, advanced] = useAdvanceRootMutation();
  const [rollBack, rolledBack] = useRollBackRootMutation();
  const [leaveBehind, setLeaveBehind] = useState(false);
  const target = act === 'start' ? 'announced' : act === 'advance' ? view.next : view.back;
  const held = act === 'advance' && target === 'dropped' ? view.holds : act === 'rollback' && target === 'announced' ? view.backHolds : [];
  const { isLoading, error } = act === 'start' ? started : act === 'advance' ? advanced : rolledBack;
  const failure = failureOf(error);
  const go = async (): Promise<void> => {
    const { data } = await (act === 'start' ? start({}) : act === 'advance' ? advance({ leaveBehind }) : rollBack({ leaveBehind }));
    if (data !== undefined) onClose();
  };
  return (
    <ConsoleDialog
      title={act === 'start' ? 'Change the root of the fleet?' : `Go to “${target ?? ''}”?`}
      onClose={onClose}
      testId="root-dialog"
      footer={
        <>
          <span className="grow" />
          <Button variant="outlined" onClick={onClose} autoFocus>
            Cancel
          </Button>
          <Button
            variant="contained"
            color={target === 'dropped' ? 'error' : 'primary'}
            disabled={isLoading || (held.length > 0 && !leaveBehind)}
            onClick={() => void go()}
            data-testid="root-confirm"
          >
            {act === 'start' ? 'Make a new root' : act === 'advance' ? 'Go on' : 'Go back'}
          </Button>
        </>
      }
    >
      {act === 'start' ? <p>A new root is made here and told to every host. Nobody believes it before the next step.</p> : null}
      <p>
        {target === 'dropped'
          ? 'The old root is believed no more. After that there is no way back.'
          : 'No connection is dropped. The step can be taken back.'}
      </p>
      {held.length === 0 ? null : (
        <>
          <p>{`${String(held.length)} still hang on the root that would go: they would have to join again.`}</p>
          <FormControlLabel
            control={<Checkbox checked={leaveBehind} onChange={(_event, isChecked) => setLeaveBehind(isChecked)} />}
            label="Leave them behind"
          />
        </>
      )}
      {failure === null ? null : <FailureView failure={failure} />}
    </ConsoleDialog>
  );
};
