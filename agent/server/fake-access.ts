/** The access of an agent that has no bundle, for tests of the network side that are about something else. */
import type { AccessControl } from '../control/access/api.ts';

/** Operators hold everything, clients all but administration. */
export const createFakeAccess = (): AccessControl => ({
  head: () => ({ epoch: 0, revision: 0, hash: '', issuedAtMs: 0, notAfterMs: 0, author: '', isStale: false }),
  body: () => null,
  decide: ({ kind }, scope) => (kind === 'operator' || !scope.endsWith(':admin') ? null : 'SCOPE_MISSING'),
  needsMapping: () => false,
  isLocked: () => false,
  isCut: () => false,
  locks: () => [],
  clientKeys: () => null,
  push: async () => ({ accepted: 0 }),
  updates: () => ({ updates: [], isMore: false }),
  forks: () => [],
  onChanged: () => () => undefined,
  refresh: async () => undefined,
  close: () => undefined,
});
