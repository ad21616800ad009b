/** The steps from one body to another, when there are steps for it. */
import type { AccessBody, AccessDelta } from './body.ts';
import { emptyBody } from './body.ts';

/** Null when owners, their number, dangerous scopes or the need of a second factor differ: then the whole must be signed. */
export const deltaBetween = (before: AccessBody, after: AccessBody): AccessDelta | null => {
  const owned = (body: AccessBody): string => JSON.stringify([body.owners, body.ownerThreshold, body.dangerousScopes, body.stepUpRequired]);
  if (owned(before) !== owned(after)) return null;
  const roles = steps(before.roles, after.roles, ({ name }) => name);
  const operators = steps(before.operators, after.operators, ({ subject }) => subject);
  const clients = steps(before.clients, after.clients, ({ subject }) => subject);
  const clusters = steps(before.clusters, after.clusters, ({ id }) => id);
  const bindings = steps(before.bindings, after.bindings, ({ id }) => id);
  const locks = steps(before.locks, after.locks, ({ id }) => id);
  return {
    put: {
      ...emptyBody(),
      roles: roles.put,
      operators: operators.put,
      clients: clients.put,
      clusters: clusters.put,
      bindings: bindings.put,
      locks: locks.put,
    },
    removeRoles: roles.removed,
    removeOperators: operators.removed,
    removeClients: clients.removed,
    removeClusters: clusters.removed,
    removeBindings: bindings.removed,
    removeLocks: locks.removed,
  };
};

const steps = <Entry>(
  before: readonly Entry[],
  after: readonly Entry[],
  keyOf: (entry: Entry) => string,
): { readonly put: Entry[]; readonly removed: string[] } => {
  const textOf = (entry: Entry): string =>
    JSON.stringify(entry, (_key, value: unknown) => (typeof value === 'bigint' ? String(value) : value));
  const known = new Map(before.map((entry) => [keyOf(entry), textOf(entry)]));
  const kept = new Set(after.map(keyOf));
  return {
    put: after.filter((entry) => known.get(keyOf(entry)) !== textOf(entry)),
    removed: [...known.keys()].filter((key) => !kept.has(key)),
  };
};
