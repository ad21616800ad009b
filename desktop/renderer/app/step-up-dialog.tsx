/** Asks for a code when a call was refused for want of one; the call is made again when the code was right. */
import Button from '@mui/material/Button';
import { ShieldCheck } from 'lucide-react';
import { useState, useSyncExternalStore } from 'react';
import type { FormEvent } from 'react';
import { useStore } from 'react-redux';
import { useStepUpMutation } from '../client/mfa-api.ts';
import { failureOf } from '../client/query-failure.ts';
import type { StepUpQuestion } from '../client/step-up.ts';
import type { ConsoleStore } from '../client/store.ts';
import { FailureView } from '../widgets/blank.tsx';
import { ConsoleDialog } from '../widgets/console-dialog.tsx';
import { TextField } from '../widgets/field.tsx';

export const StepUpDialog = () => {
  const { stepUp } = useStore() as unknown as ConsoleStore;
  const question = useSyncExternalStore(
    (listener) => stepUp.subscribe(listener),
    () => stepUp.question,
  );
  return question === null ? null : <CodeForm question={question} answer={(isProven) => stepUp.answer(isProven)} />;
};

interface CodeFormProps {
  readonly question: StepUpQuestion;
  readonly answer: (isProven: boolean) => void;
}

const CodeForm = ({ question: { message, act }, answer }: CodeFormProps) => {
  const [code, setCode] = useState('');
  const [send, { isLoading, error }] = useStepUpMutation();
  const failure = failureOf(error);
  const submit = async (event: FormEvent): Promise<void> => {
    event.preventDefault();
    const { data } = await send({ code, ...(act === null ? {} : { act }) });
    setCode('');
    if (data !== undefined) answer(true);
  };
  return (
    <ConsoleDialog title="Second factor" onClose={() => answer(false)} width={460} testId="step-up">
      <form className="stack" onSubmit={(event) => void submit(event)}>
        <p>{message}</p>
        <TextField
          label="Code of your authenticator, or a recovery code"
          value={code}
          onValue={setCode}
          isMono
          autoFocus
          inputMode="numeric"
          autoComplete="one-time-code"
          testId="step-up-code"
        />
        {failure === null ? null : <FailureView failure={failure} />}
        <div className="line">
          <Button
            type="submit"
            variant="contained"
            startIcon={<ShieldCheck size={16} />}
            disabled={isLoading || code.trim().length < 6}
            data-testid="step-up-submit"
          >
            {isLoading ? 'Asking the witnesses…' : 'Go on'}
          </Button>
          <Button variant="outlined" onClick={() => answer(false)}>
            Give up
          </Button>
        </div>
        <p className="dim">Confirming a change and taking one back never need a code.</p>
      </form>
    </ConsoleDialog>
  );
};
