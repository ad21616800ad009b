import Dialog from '@mui/material/Dialog';
import { X } from 'lucide-react';
import { useId } from 'react';
import type { ReactNode } from 'react';

interface ConsoleDialogProps {
  readonly title: string;
  /** Absent while the dialog must not be left. */
  readonly onClose?: (() => void) | undefined;
  readonly footer?: ReactNode;
  /** Pixels. */
  readonly width?: number;
  readonly testId?: string;
  readonly children: ReactNode;
}

/** A dialog that is open as long as it is rendered. */
export const ConsoleDialog = ({ title, onClose, footer, width = 560, testId, children }: ConsoleDialogProps) => {
  const id = useId();
  return (
    <Dialog
      open
      onClose={() => onClose?.()}
      aria-labelledby={id}
      maxWidth={false}
      slotProps={{ paper: { sx: { width, maxWidth: 'calc(100vw - 64px)', margin: '32px' } }, transition: { timeout: 0 } }}
      data-testid={testId}
    >
      <div className="dialog-head">
        <h2 id={id} className="grow">
          {title}
        </h2>
        {onClose === undefined ? null : (
          <button type="button" className="icon-button" aria-label="Close" onClick={onClose}>
            <X size={16} aria-hidden="true" />
          </button>
        )}
      </div>
      <div className="dialog-body">{children}</div>
      {footer === undefined ? null : <div className="dialog-foot">{footer}</div>}
    </Dialog>
  );
};
