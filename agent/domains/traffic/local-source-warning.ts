import { readFile } from 'node:fs/promises';
import type { Policy } from '../../engine/api.ts';

/** Reads accept_local of an interface, or of "all"; null when it is not there. */
export type ReadSetting = (name: string) => Promise<string | null>;

const fromProc: ReadSetting = async (name) => await readFile(`/proc/sys/net/ipv4/conf/${name}/accept_local`, 'utf8').catch(() => null);

/**
 * What an operator should know when packets leave under an address of this host and the kernel routes them: it drops a packet
 * that comes in with one of its own IPv4 addresses as the source, unless the interface accepts that (accept_local). Empty: nothing.
 */
export const localSourceWarning = async (policy: Policy, interfaces: readonly string[], read: ReadSetting = fromProc): Promise<string> => {
  const translating = policy.mappings.filter(({ sourceNat, nat }) => sourceNat !== undefined || nat === 'full').map(({ name }) => name);
  if (translating.length === 0 || (await isOn('all', read))) return '';
  const refusing: string[] = [];
  for (const name of interfaces) if (!(await isOn(name, read))) refusing.push(name);
  if (refusing.length === 0) return '';
  const settings = refusing.map((name) => `net.ipv4.conf.${name}.accept_local=1`).join(' ');
  return `${translating.slice(0, 5).join(', ')} give packets an address of this host. Until the next hop is known the kernel routes them, and drops them: run sysctl -w ${settings}`;
};

const isOn = async (name: string, read: ReadSetting): Promise<boolean> => {
  const text = await read(name);
  // A name that is not there belongs to an interface that is gone, or to a kernel without IPv4.
  return text === null || text.trim() === '1';
};
