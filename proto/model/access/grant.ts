/** Who holds what where, as the bindings of a body say; and that nobody gives away more than he has. */
import { NestError } from '../error.ts';
import type { AccessBody } from './body.ts';
import { coversLevel, parseLevel } from './level.ts';
import type { ClusterMembers, Level } from './level.ts';
import { builtInRole } from './role.ts';
import { covers, parseScope } from './scope.ts';
import type { ScopePattern } from './scope.ts';

export interface Grant {
  readonly scope: ScopePattern;
  readonly level: Level;
}

interface Rights {
  readonly grants: ReadonlyMap<string, readonly Grant[]>;
  readonly members: ClusterMembers;
}

/** Scopes of a role, built in or custom. */
export const scopesOfRole = (body: AccessBody, name: string): readonly string[] =>
  builtInRole(name)?.scopes ?? body.roles.find((role) => role.name === name)?.scopes ?? [];

/** Grants by subject. Who is locked holds nothing. */
export const rightsOf = (body: AccessBody): Rights => {
  const locked = new Set(body.locks.map(({ target }) => target));
  const custom = new Map(body.roles.map(({ name, scopes }) => [name, scopes]));
  const grants = new Map<string, Grant[]>();
  for (const { subject, role, level: text } of body.bindings) {
    const level = parseLevel(text);
    if (locked.has(subject) || level === null) continue;
    const held = grants.get(subject) ?? [];
    for (const scope of builtInRole(role)?.scopes ?? custom.get(role) ?? []) {
      const parsed = parseScope(scope);
      if (parsed !== null) held.push({ scope: parsed, level });
    }
    grants.set(subject, held);
  }
  return { grants, members: new Map(body.clusters.map(({ id, agentIds }) => [id, new Set(agentIds)])) };
};

/** True when the subject holds the scope at the level, by one grant alone. */
export const holds = ({ grants, members }: Rights, subject: string, asked: Grant): boolean =>
  (grants.get(subject) ?? []).some((held) => covers(held.scope, asked.scope) && coversLevel(held.level, asked.level, members));

const everywhere: Level = { kind: '*', id: '' };
const govern: ScopePattern = { resource: 'access', verb: 'write' };
const own: ScopePattern = { resource: 'access', verb: 'admin' };
const everything: ScopePattern = { resource: '*', verb: '*' };

/** True when the subject may do everything everywhere. */
export const isAlmighty = (body: AccessBody, subject: string): boolean =>
  holds(rightsOf(body), subject, { scope: everything, level: everywhere });

/**
 * That the author may turn one body into the other: holds access:write where it changes something, access:admin for owners, and every
 * right that anybody gains by it. Raises ACCESS_INVALID and says which right is missing.
 */
export const checkEscalation = (before: AccessBody, after: AccessBody, author: string): void => {
  const [old, next] = [rightsOf(before), rightsOf(after)];
  const may = (grant: Grant, what: string): void => {
    if (holds(old, author, grant)) return;
    throw new NestError(
      'ACCESS_INVALID',
      `${author} may not ${what}: that takes ${textOf(grant)}, which ${author} does not hold. Ask an owner who does.`,
      { details: { author, missing: textOf(grant) } },
    );
  };
  checkPlaces(before, after, may);
  for (const { name, scopes } of changed(before.roles, after.roles, ({ name: key }) => key)) {
    for (const scope of scopes.flatMap((text) => parseScope(text) ?? [])) {
      const anywhere = (old.grants.get(author) ?? []).some((held) => covers(held.scope, scope));
      if (!anywhere) may({ scope, level: everywhere }, `define the role ${name}`);
    }
  }
  for (const [subject, grants] of next.grants) {
    for (const grant of grants) if (!holds(old, subject, grant)) may(grant, `let ${subject} have it`);
  }
  checkMembers({ before, after, next, old }, may);
  // Who can set a key of a client can be that client.
  for (const client of changed(before.clients, after.clients, ({ subject }) => subject)) {
    for (const grant of next.grants.get(client.subject) ?? []) may(grant, `set a key of ${client.subject}`);
  }
};

type May = (grant: Grant, what: string) => void;

/** Bindings are governed where they hold, all else everywhere. */
const checkPlaces = (before: AccessBody, after: AccessBody, may: May): void => {
  const keyOf = ({ id }: AccessBody['bindings'][number]): string => id;
  const bindings = [...changed(before.bindings, after.bindings, keyOf), ...changed(after.bindings, before.bindings, keyOf)];
  for (const { level } of bindings) may({ scope: govern, level: parseLevel(level) ?? everywhere }, `change bindings at ${level}`);
  const rest = (body: AccessBody): string => JSON.stringify([body.roles, body.operators, body.clients, body.clusters, body.locks], plain);
  if (rest(before) !== rest(after)) may({ scope: govern, level: everywhere }, 'change roles, people, clusters or locks');
  const owned = (body: AccessBody): string =>
    JSON.stringify([body.owners, body.ownerThreshold, body.dangerousScopes, body.stepUpRequired], plain);
  if (owned(before) !== owned(after)) may({ scope: own, level: everywhere }, 'change the owners or what is dangerous');
};

/** A host that joins a cluster comes under everybody who is bound there. */
const checkMembers = (
  { before, after, next, old }: { readonly before: AccessBody; readonly after: AccessBody; readonly next: Rights; readonly old: Rights },
  may: May,
): void => {
  for (const cluster of changed(before.clusters, after.clusters, ({ id }) => id)) {
    const added = cluster.agentIds.filter((agentId) => old.members.get(cluster.id)?.has(agentId) !== true);
    if (added.length === 0) continue;
    for (const [subject, grants] of next.grants) {
      for (const { scope, level } of grants.filter(({ level: { kind, id } }) => kind === 'cluster' && id === cluster.id)) {
        for (const agentId of added) {
          const grant: Grant = { scope, level: { kind: 'host', id: agentId } };
          if (level.kind === 'cluster' && !holds(old, subject, grant)) may(grant, `put a host into ${cluster.id}`);
        }
      }
    }
  }
};

/** Entries that are new or different. */
const changed = <Entry>(before: readonly Entry[], after: readonly Entry[], keyOf: (entry: Entry) => string): readonly Entry[] => {
  const known = new Map(before.map((entry) => [keyOf(entry), JSON.stringify(entry, plain)]));
  return after.filter((entry) => known.get(keyOf(entry)) !== JSON.stringify(entry, plain));
};

const plain = (_key: string, value: unknown): unknown => (typeof value === 'bigint' ? String(value) : value);

const textOf = ({ scope, level }: Grant): string =>
  `${scope.resource}:${scope.verb} at ${level.kind === '*' ? '*' : `${level.kind}/${level.id}`}`;
