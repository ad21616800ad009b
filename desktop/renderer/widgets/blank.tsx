/** What a view shows instead of data: nothing yet, a failure, or bones while it waits. */
import Button from '@mui/material/Button';
import { CircleAlert, Inbox } from 'lucide-react';
import type { ReactNode } from 'react';
import type { Failure } from '../client/failure.ts';

interface BlankProps {
  readonly title: string;
  /** What to do next. */
  readonly children?: ReactNode;
  readonly action?: ReactNode;
  readonly icon?: ReactNode;
}

export const Blank = ({ title, children, action, icon }: BlankProps) => (
  <div className="blank">
    {icon ?? <Inbox size={28} aria-hidden="true" />}
    <h2 className="blank-title">{title}</h2>
    {children === undefined ? null : <p>{children}</p>}
    {action}
  </div>
);

interface FailureViewProps {
  readonly failure: Failure;
  readonly onRetry?: (() => void) | undefined;
}

/** Code, message with the next step, and a way to try again. */
export const FailureView = ({ failure, onRetry }: FailureViewProps) => (
  <div className="failure" role="alert">
    <CircleAlert size={18} aria-hidden="true" />
    <div className="stack grow">
      <div>
        <div className="mono crit">{failure.code}</div>
        <p>{failure.message}</p>
      </div>
      {onRetry === undefined ? null : (
        <div>
          <Button variant="outlined" onClick={onRetry} data-testid="retry">
            Try again
          </Button>
        </div>
      )}
    </div>
  </div>
);

interface BonesProps {
  readonly lines?: number;
  readonly label: string;
}

/** Grey lines in the shape of what comes. */
export const Bones = ({ lines = 4, label }: BonesProps) => (
  <div className="stack" role="status" aria-label={label} style={{ padding: 14 }}>
    {Array.from({ length: lines }, (_, index) => (
      <span key={index} className="bone" style={{ height: 14, width: `${String(94 - ((index * 17) % 45))}%` }} />
    ))}
  </div>
);

interface OutcomeProps<Value> {
  readonly value: Value | null | undefined;
  readonly failure: Failure | null | undefined;
  readonly label: string;
  readonly onRetry?: (() => void) | undefined;
  readonly children: (value: Value) => ReactNode;
}

/** A value once it is there, else its failure, else bones. */
export const Outcome = <Value,>({ value, failure, label, onRetry, children }: OutcomeProps<Value>) => {
  if (value !== null && value !== undefined) return children(value);
  if (failure !== null && failure !== undefined) return <FailureView failure={failure} onRetry={onRetry} />;
  return <Bones label={label} />;
};
