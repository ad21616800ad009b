/** Deny lists in words. */
import type { DenyListTable } from '../../../bridge/model.ts';
import { countOf, formatSpan } from '../../client/units.ts';

export type DenyList = DenyListTable['lists'][number];

/** "in 1 h 59 min", "never", "ended". */
export const endText = ({ expiresAt, expired }: DenyList, now: number) => {
  if (expired || (expiresAt !== null && expiresAt <= now)) return <span className="off">ended</span>;
  return expiresAt === null ? <span className="dim">never</span> : `in ${formatSpan((expiresAt - now) / 1_000)}`;
};

/** "1,204 prefixes". */
export const prefixCount = (count: number): string => countOf(count, 'prefix', 'prefixes');
