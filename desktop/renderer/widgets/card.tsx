import { useId } from 'react';
import type { ReactNode } from 'react';

interface CardProps {
  readonly title?: ReactNode;
  /** At the right end of the head. */
  readonly aside?: ReactNode;
  /** Takes the height that is left, and scrolls inside. */
  readonly isFilling?: boolean;
  /** No padding, for tables. */
  readonly isFlush?: boolean;
  readonly testId?: string;
  readonly children: ReactNode;
}

/** A panel with a gold heading. */
export const Card = ({ title, aside, isFilling = false, isFlush = false, testId, children }: CardProps) => {
  const id = useId();
  return (
    <section className={isFilling ? 'card fill' : 'card'} data-testid={testId} {...(title === undefined ? {} : { 'aria-labelledby': id })}>
      {title === undefined ? null : (
        <div className="card-head">
          <h2 id={id}>{title}</h2>
          {aside === undefined ? null : <div className="aside">{aside}</div>}
        </div>
      )}
      <div className={isFlush ? 'card-body flush' : 'card-body'}>{children}</div>
    </section>
  );
};
