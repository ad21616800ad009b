/** Asks before an interface gets another engine, and says what that does. */
import Button from '@mui/material/Button';
import type { EngineChoice, EngineName, InterfaceRow } from '../../../bridge/model.ts';
import { useSetInterfaceEngineMutation } from '../../client/bridge-api.ts';
import { failureOf } from '../../client/query-failure.ts';
import { FailureView } from '../../widgets/blank.tsx';
import { ConsoleDialog } from '../../widgets/console-dialog.tsx';
import { engineConsequences, engineTitles } from './engine-words.ts';

interface EngineDialogProps {
  readonly hostId: string;
  readonly row: InterfaceRow;
  readonly choice: EngineName;
  readonly onDone: (result: EngineChoice) => void;
  readonly onClose: () => void;
}

export const EngineDialog = ({ hostId, row, choice, onDone, onClose }: EngineDialogProps) => {
  const [choose, { isLoading, error }] = useSetInterfaceEngineMutation();
  const failure = failureOf(error);
  const isOff = choice === 'off';
  const go = async (): Promise<void> => {
    const { data } = await choose({ hostId, interface: row.name, engine: choice });
    if (data === undefined) return;
    onDone(data);
    onClose();
  };
  return (
    <ConsoleDialog
      title={isOff ? `Take the engine off ${row.name}?` : `${engineTitles[choice]} for ${row.name}?`}
      onClose={isLoading ? undefined : onClose}
      testId="engine-dialog"
      footer={
        <>
          <span className="grow dim">
            now: <span className="mono">{row.engine ?? 'none'}</span>
          </span>
          <Button variant="outlined" onClick={onClose} disabled={isLoading} autoFocus>
            Cancel
          </Button>
          <Button
            variant="contained"
            {...(isOff ? { color: 'error' as const } : {})}
            disabled={isLoading}
            onClick={() => void go()}
            data-testid="engine-confirm"
          >
            {isLoading ? 'Changing…' : isOff ? 'Take it off' : 'Choose it'}
          </Button>
        </>
      }
    >
      <ul className="sentences">
        {engineConsequences(choice, row.name).map((sentence) => (
          <li key={sentence}>{sentence}</li>
        ))}
      </ul>
      <p className="dim">The choice is kept by the host, also over a restart; no policy revision is made.</p>
      {failure === null ? null : <FailureView failure={failure} />}
    </ConsoleDialog>
  );
};
