import type { AccessChange, AccessView } from '../../../bridge/model.ts';

/** What every card of the page gets. */
export interface AccessCardProps {
  readonly view: AccessView;
  /** Null while nothing can be changed here: no owner's key, or a change is on its way. */
  readonly change: ((change: AccessChange) => void) | null;
}
