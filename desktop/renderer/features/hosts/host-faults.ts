/** What can be said of a host's name and labels before anything is asked. */
import { checkedHostLabels } from '../../../bridge/host-label.ts';
import { toFailure } from '../../client/failure.ts';
import type { Fault } from '../../widgets/field.tsx';

/** What is wrong with a host's name as typed; nothing for an empty one, which is only unfinished. */
export const hostNameFault = (name: string, taken: readonly { readonly name: string }[]): string | null => {
  if (name === '') return null;
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name)) return 'Letters, digits, dots, dashes and underscores; starts with a letter or digit.';
  return taken.some((host) => host.name === name) ? 'A host of this name is in the fleet already.' : null;
};

/** What the core would say about labels as typed. */
export const hostLabelFaults = (labels: readonly string[]): readonly Fault[] => {
  try {
    checkedHostLabels(labels);
    return [];
  } catch (error) {
    return [{ severity: 'error', message: toFailure(error).message }];
  }
};
