/** Balancers in words. */
import type { BalancerList } from '../../../bridge/model.ts';
import { formatAge } from '../../client/units.ts';

export type Balancer = BalancerList['balancers'][number];

export const natWords: Readonly<Record<Balancer['nat'], string>> = {
  dnat: 'destination rewritten',
  full: 'both addresses rewritten',
  dsr: 'direct return: only the MAC is rewritten',
};

/** "http /health every 1 s, up after 2, down after 3". */
export const healthWords = (check: Balancer['healthCheck']): string => {
  if (check === null) return 'not checked';
  const { kind, path, intervalMs, rise, fall } = check;
  return `checked by ${kind}${path === '' ? '' : ` ${path}`} every ${intervalMs < 1_000 ? `${String(intervalMs)} ms` : formatAge(intervalMs)}, up after ${String(rise)}, down after ${String(fall)}`;
};
