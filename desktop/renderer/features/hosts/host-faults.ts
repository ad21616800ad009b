/** What can be said of a host's name and address before anything is asked. */
import { readNetwork } from '../../../bridge/address-text.ts';
import { checkedHostLabels } from '../../../bridge/host-label.ts';
import { toFailure } from '../../client/failure.ts';
import type { Fault } from '../../widgets/field.tsx';

/** What is wrong with a host's name as typed; nothing for an empty one, which is only unfinished. */
export const hostNameFault = (name: string, taken: readonly { readonly name: string }[]): string | null => {
  if (name === '') return null;
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name)) return 'Letters, digits, dots, dashes and underscores; starts with a letter or digit.';
  return taken.some((host) => host.name === name) ? 'A host of this name is in the fleet already.' : null;
};

/** What is wrong with an address as typed: an IP address or a host name is wanted. */
export const hostAddressFault = (address: string): string | null => {
  if (address === '' || (typeof readNetwork(address) !== 'string' && !address.includes('/'))) return null;
  if (address.includes('/')) return 'One address, without a length.';
  if (/:\d{1,5}$/.test(address) && !address.slice(0, address.lastIndexOf(':')).includes(':')) return 'The port has a field of its own.';
  const isName = /^(?=.{1,253}$)(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)*[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/.test(
    address,
  );
  return isName && !/^[\d.]+$/.test(address) ? null : 'An IP address or a host name, for instance 198.18.0.11.';
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
