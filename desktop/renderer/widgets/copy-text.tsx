import Button from '@mui/material/Button';
import { Check, Copy } from 'lucide-react';
import { useState } from 'react';

interface CopyTextProps {
  readonly text: string;
  /** What is copied, for instance "join command". */
  readonly label: string;
  readonly testId?: string;
}

/** A text to be carried elsewhere, with a button that copies it. */
export const CopyText = ({ text, label, testId }: CopyTextProps) => {
  const [outcome, setOutcome] = useState<'copied' | 'refused' | null>(null);
  const copy = (): void => {
    navigator.clipboard.writeText(text).then(
      () => setOutcome('copied'),
      () => setOutcome('refused'),
    );
  };
  return (
    <div>
      <div className="secret">
        <code data-testid={testId}>{text}</code>
        <Button
          variant="outlined"
          size="small"
          startIcon={outcome === 'copied' ? <Check size={14} /> : <Copy size={14} />}
          onClick={copy}
          aria-label={`Copy ${label}`}
        >
          {outcome === 'copied' ? 'Copied' : 'Copy'}
        </Button>
      </div>
      {outcome === 'refused' ? (
        <div className="dim">The browser does not let the console write to the clipboard: select the text and copy it.</div>
      ) : null}
    </div>
  );
};
