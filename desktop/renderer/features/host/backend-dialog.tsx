/** A change of one backend: written into the draft and reviewed like any other change of the policy, never sent to the host at once. */
import Button from '@mui/material/Button';
import { useState } from 'react';
import { useNavigate } from 'react-router';
import type { BackendRow, Draft } from '../../../bridge/model.ts';
import { useDraftQuery, useLazyPolicyQuery, usePlanPolicyMutation, usePutDraftMutation } from '../../client/bridge-api.ts';
import { toFailure } from '../../client/failure.ts';
import type { Failure } from '../../client/failure.ts';
import { backendStates, readPolicyText, withBackend, writePolicyText } from '../../client/policy-document.ts';
import type { BackendState } from '../../client/policy-document.ts';
import { useConsoleDispatch } from '../../client/store.ts';
import { planMade } from '../../client/window-slice.ts';
import { FailureView } from '../../widgets/blank.tsx';
import { ConsoleDialog } from '../../widgets/console-dialog.tsx';
import { Choice, TextField } from '../../widgets/field.tsx';

/** What is asked for at the start; the dialog can change everything. */
export interface BackendWish {
  readonly state?: BackendState;
}

/** What is written into the policy. */
interface BackendChange {
  readonly state: BackendState;
  readonly weight: number;
}

interface BackendDialogProps {
  readonly hostId: string;
  readonly mapping: string;
  readonly backend: BackendRow;
  readonly wish: BackendWish;
  readonly onClose: () => void;
}

const weightMax = 1_000;

const titles: Readonly<Record<BackendState, string>> = { up: 'Up', drain: 'Drain', down: 'Down' };
const consequences: Readonly<Record<BackendState, string>> = {
  up: 'It gets new flows by its weight, as long as its health check says that it answers.',
  drain: 'It gets no new flows; flows under way stay with it until they end.',
  down: 'It gets no new flows, and flows under way go to the other backends at their next packet: their connections break.',
};

type Base = 'host' | 'draft';

/** The draft when the change fits into it: it is for this host and has the backend. */
const fittingDraft = (draft: Draft | null | undefined, { hostId, mapping, backend }: BackendDialogProps): Draft | null => {
  if (draft === null || draft === undefined || !draft.hostIds.includes(hostId)) return null;
  const policy = readPolicyText(draft.policy);
  return policy === null || withBackend(policy, { mapping, backend: backend.name }, {}) === null ? null : draft;
};

export const BackendDialog = (props: BackendDialogProps) => {
  const { backend, wish, onClose } = props;
  const [state, setState] = useState<BackendState>(wish.state ?? backend.wanted);
  const [weight, setWeight] = useState(String(backend.weight));
  const { data: draft } = useDraftQuery({});
  const fitting = fittingDraft(draft, props);
  const [chosenBase, setBase] = useState<Base>('draft');
  const base: Base = fitting === null ? 'host' : chosenBase;
  const { review, isBusy, failure } = useBackendReview(props);
  const isWeightRight = /^\d{1,4}$/.test(weight) && Number(weight) <= weightMax;
  const isChange = state !== backend.wanted || Number(weight) !== backend.weight;
  const go = (): void => void review({ state, weight: Number(weight) }, base === 'draft' ? fitting : null);
  return (
    <ConsoleDialog
      title={`Change ${backend.name}`}
      onClose={isBusy ? undefined : onClose}
      testId="backend-dialog"
      footer={
        <>
          <span className="grow dim">Nothing changes on the host before you apply.</span>
          <Button variant="outlined" onClick={onClose} disabled={isBusy}>
            Cancel
          </Button>
          <Button
            variant="contained"
            disabled={isBusy || !isWeightRight || !isChange || draft === undefined}
            onClick={go}
            data-testid="backend-review"
          >
            {isBusy ? 'Replaying flows…' : 'Review effect'}
          </Button>
        </>
      }
    >
      <Choice
        label="State"
        value={state}
        options={backendStates.map((value) => ({ value, title: titles[value] }))}
        onValue={setState}
        testId="backend-state"
      />
      <p>{consequences[state]}</p>
      <TextField
        label="Weight"
        value={weight}
        onValue={setWeight}
        inputMode="numeric"
        isMono
        hint={`Now ${String(backend.weight)}: its share of new flows, beside the weights of the others. 0 = gets none.`}
        faults={isWeightRight ? [] : [{ severity: 'error', message: `A whole number from 0 to ${String(weightMax)}.` }]}
        testId="backend-weight"
      />
      <DraftChoice draft={draft} fitting={fitting} base={base} onBase={setBase} />
      {failure === null ? null : <FailureView failure={failure} />}
    </ConsoleDialog>
  );
};

interface DraftChoiceProps {
  readonly draft: Draft | null | undefined;
  readonly fitting: Draft | null;
  readonly base: Base;
  readonly onBase: (base: Base) => void;
}

/** A draft in work is never replaced unasked. */
const DraftChoice = ({ draft, fitting, base, onBase }: DraftChoiceProps) => {
  if (draft === null || draft === undefined) return null;
  if (fitting === null)
    return (
      <div className="callout warn" role="note">
        There is a draft that this change does not fit into: reviewing replaces it by this host’s policy with the change.
      </div>
    );
  return (
    <Choice
      label="There is a draft in work"
      value={base}
      options={[
        { value: 'draft', title: 'Add to the draft' },
        { value: 'host', title: 'Start from the host’s policy' },
      ]}
      onValue={onBase}
      testId="backend-base"
    />
  );
};

/** Writes the draft, plans it and opens the review. */
const useBackendReview = ({ hostId, mapping, backend }: BackendDialogProps) => {
  const [fetchPolicy] = useLazyPolicyQuery();
  const [putDraft] = usePutDraftMutation();
  const [plan] = usePlanPolicyMutation();
  const dispatch = useConsoleDispatch();
  const navigate = useNavigate();
  const [isBusy, setBusy] = useState(false);
  const [failure, setFailure] = useState<Failure | null>(null);
  const write = async (change: BackendChange, draft: Draft | null): Promise<void> => {
    const text = draft?.policy ?? (await fetchPolicy({ hostId }).unwrap()).policy;
    const policy = readPolicyText(text);
    const changed = policy === null ? null : withBackend(policy, { mapping, backend: backend.name }, change);
    if (changed === null)
      throw Object.assign(new Error(`The policy has no backend ${backend.name} in ${mapping} any more: look at the page again.`), {
        code: 'NOT_FOUND',
      });
    const made = { policy: writePolicyText(changed), hostIds: draft === null ? [hostId] : [...draft.hostIds] };
    await putDraft(made).unwrap();
    const planned = await plan(made).unwrap();
    dispatch(planMade({ plan: planned, ...made }));
    await navigate(`/policy/review/${planned.planId}`);
  };
  const review = async (change: BackendChange, draft: Draft | null): Promise<void> => {
    setBusy(true);
    setFailure(null);
    try {
      await write(change, draft);
    } catch (error) {
      setFailure(toFailure(error));
      setBusy(false);
    }
  };
  return { review, isBusy, failure };
};
