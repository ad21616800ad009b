/** The refusal of a policy whose tables would grow beyond a limit. */
import { NestError } from '../../proto/model/error.ts';
import {
  backendsMax,
  balancersMax,
  classMembersMax,
  compileWorkMax,
  denyListsMax,
  denyPrefixesMax,
  identitiesMax,
  mappingsMax,
  pairsMax,
  portIntervalsMax,
} from './limits.ts';

const limits = {
  mappings: { max: mappingsMax, what: 'mappings', next: 'Join mappings that share sources and destinations.' },
  identities: { max: identitiesMax, what: 'address prefixes of one family', next: 'Write wider prefixes in its services.' },
  classMembers: { max: classMembersMax, what: 'overlaps between services', next: 'Let fewer services contain the same addresses.' },
  pairs: { max: pairsMax, what: 'source and destination pairs', next: 'Use fewer or wider services in it.' },
  portIntervals: { max: portIntervalsMax, what: 'port intervals', next: 'Write port ranges instead of single ports.' },
  work: { max: compileWorkMax, what: 'compilation steps', next: 'Let fewer overlapping services meet in it.' },
  balancers: { max: balancersMax, what: 'balancing mappings', next: 'Join those that share backends.' },
  backends: { max: backendsMax, what: 'backends', next: 'Use fewer in it.' },
  denyLists: { max: denyListsMax, what: 'deny lists', next: 'Join lists.' },
  denyPrefixes: { max: denyPrefixesMax, what: 'denied prefixes of one family', next: 'Write wider prefixes.' },
} as const;

/** Limits of the tables, by name in details.limit of POLICY_TOO_LARGE. */
export type TableLimit = keyof typeof limits;

/** POLICY_TOO_LARGE with details { mapping, limit, max }, or { denyList, limit, max } for the limits of deny lists. */
export const tooLarge = (limit: TableLimit, name: string): NestError => {
  const { max, what, next } = limits[limit];
  const kind = limit === 'denyLists' || limit === 'denyPrefixes' ? 'denyList' : 'mapping';
  const shown = kind === 'mapping' ? 'mapping' : 'deny list';
  return new NestError(
    'POLICY_TOO_LARGE',
    `The policy needs more than ${max.toLocaleString('en-US')} ${what}; the ${shown} ${name} crosses the limit. ${next}`,
    { details: { [kind]: name, limit, max } },
  );
};
