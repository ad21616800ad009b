/** A small button whose act is done only after a question that says what follows. */
import Button from '@mui/material/Button';
import { useState } from 'react';
import type { ReactNode } from 'react';
import { ConsoleDialog } from './console-dialog.tsx';

interface ConfirmButtonProps {
  readonly label: string;
  /** What the button does, where the label alone does not say to what. */
  readonly about?: string;
  /** Of the dialog. */
  readonly question: string;
  /** The word on the button that does it. */
  readonly act: string;
  /** The act takes something away. */
  readonly isDangerous?: boolean;
  readonly isSmall?: boolean;
  readonly disabled: boolean;
  readonly onConfirm: () => void;
  /** What follows. */
  readonly children: ReactNode;
}

export const ConfirmButton = (props: ConfirmButtonProps) => {
  const { label, about, question, act, isDangerous = true, isSmall = true, disabled, onConfirm, children } = props;
  const [isAsking, setAsking] = useState(false);
  const close = (): void => setAsking(false);
  const confirm = (): void => {
    close();
    onConfirm();
  };
  const color = isDangerous ? 'error' : 'primary';
  return (
    <>
      <Button
        variant="outlined"
        size={isSmall ? 'small' : 'medium'}
        color={color}
        disabled={disabled}
        onClick={() => setAsking(true)}
        aria-label={about}
      >
        {label}
      </Button>
      {isAsking ? (
        <ConsoleDialog
          title={question}
          onClose={close}
          testId="confirm-dialog"
          footer={
            <>
              <span className="grow" />
              <Button variant="outlined" onClick={close} autoFocus>
                Cancel
              </Button>
              <Button variant="contained" color={color} disabled={disabled} onClick={confirm} data-testid="confirm">
                {act}
              </Button>
            </>
          }
        >
          {children}
        </ConsoleDialog>
      ) : null}
    </>
  );
};
