/** The address an operator gives for a host: IPv4, IPv6 or a DNS name, nothing beside it. */
import { readNetwork } from './address-text.ts';

const dnsName = /^(?=.{1,253}$)(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)*[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/;

/** What is wrong with an address as typed, with an example; null for a good one, and for an empty one, which is only unfinished. */
export const hostAddressFault = (address: string): string | null => {
  if (address === '' || (typeof readNetwork(address) !== 'string' && !address.includes('/'))) return null;
  if (address.includes('/')) return 'One address, without a length.';
  if (/:\d{1,5}$/.test(address) && !address.slice(0, address.lastIndexOf(':')).includes(':')) return 'The port has a field of its own.';
  return dnsName.test(address) && !/^[\d.]+$/.test(address) ? null : 'An IP address or a host name, for instance 198.18.0.11.';
};
