import type { Policy } from '../../engine/api.ts';
import type { InterfaceService } from './api.ts';

const namesMax = 5;

/**
 * What an operator should know when interfaces are served by engines that do not share flows and the policy needs the flows of both
 * directions in one place: default deny, balancing, translation of sources. Empty: nothing.
 */
export const mixedEnginesWarning = (
  interfaces: readonly Pick<InterfaceService, 'name' | 'engine'>[],
  policy: Policy | undefined,
): string => {
  const needs = policy === undefined ? [] : statefulParts(policy);
  const byTable = new Map<string, string[]>();
  for (const { name, engine } of interfaces) {
    if (engine === '') continue;
    const table = flowTableOf(engine);
    byTable.set(table, [...(byTable.get(table) ?? []), name]);
  }
  if (needs.length === 0 || byTable.size < 2) return '';
  const served = [...byTable].map(([table, names]) => `${listed(names)} by ${table}`).join(', ');
  return `Engines do not share flows, and interfaces are served by different ones: ${served}. Connections that cross them are dropped or go astray, because of ${needs.join(', ')}. Put these interfaces on the same engine.`;
};

/** Engines of the kernel have one flow table, whatever runs them; each process beside it has its own. */
const flowTableOf = (engine: string): string => (engine.startsWith('xdp') ? 'xdp' : engine);

const statefulParts = ({ defaultAction, mappings }: Policy): readonly string[] => {
  const balancing = mappings.filter(({ action }) => action === 'balance').map(({ name }) => name);
  const translating = mappings.filter(({ sourceNat }) => sourceNat !== undefined).map(({ name }) => name);
  return [
    ...(defaultAction === 'deny' ? ['default deny'] : []),
    ...(balancing.length > 0 ? [`balancing (${listed(balancing)})`] : []),
    ...(translating.length > 0 ? [`NAT (${listed(translating)})`] : []),
  ];
};

const listed = (names: readonly string[]): string =>
  names.length > namesMax ? `${names.slice(0, namesMax).join(', ')} and ${String(names.length - namesMax)} more` : names.join(', ');
