/** The decision of one host, compiled from a body into sets, so that a call costs two look-ups. */
import type { AccessBody, AccessClientKey } from './body.ts';
import { scopesOfRole } from './grant.ts';
import { coversLevel, parseLevel } from './level.ts';
import type { Level } from './level.ts';
import { expandScopes } from './scope.ts';

export type Refusal = 'REVOKED' | 'SCOPE_MISSING' | 'ACCESS_STALE';
/** Null = allowed. */
export type Decision = Refusal | null;

export interface AccessSubject {
  /** "operator/ada" */
  readonly subject: string;
  /** SHA-256 of the device's public key, hex; empty for none in particular. */
  readonly device: string;
}

export interface CompiledAccess {
  /** `mapping` is a name, or empty for the host as a whole. */
  decide(who: AccessSubject, scope: string, mapping?: string): Decision;
  /** True when the scope is held for some mapping: then the request must name one. */
  holdsForSome(subject: string, scope: string): boolean;
  isLocked(who: AccessSubject): boolean;
  /** True when nothing at all is held on this host. */
  isUnbound(subject: string): boolean;
  /** Null when the subject is no client. */
  clientKeys(subject: string): readonly AccessClientKey[] | null;
}

const deviceTarget = 'device/';

interface Holder {
  /** Concrete scopes for this host. */
  readonly host: Set<string>;
  readonly mappings: Map<string, Set<string>>;
}

/** Compiles what counts on one host. Everything else is refused, unknown scopes too. */
export const compileAccess = (body: AccessBody, agentId: string): CompiledAccess => {
  const locked = new Set(body.locks.map(({ target }) => target));
  // By themselves, so that no call builds a name.
  const lockedDevices = new Set(
    body.locks.flatMap(({ target }) => (target.startsWith(deviceTarget) ? [target.slice(deviceTarget.length)] : [])),
  );
  const here: Level = { kind: 'host', id: agentId };
  const members = new Map(body.clusters.map(({ id, agentIds }) => [id, new Set(agentIds)]));
  const expanded = new Map<string, ReadonlySet<string>>();
  const holders = new Map<string, Holder>();
  for (const { subject, role, level: text } of body.bindings) {
    const level = parseLevel(text);
    if (level === null) continue;
    const scopes = expanded.get(role) ?? expandScopes(scopesOfRole(body, role));
    expanded.set(role, scopes);
    const holder = holders.get(subject) ?? { host: new Set(), mappings: new Map() };
    holders.set(subject, holder);
    if (level.kind === 'mapping') {
      const held = holder.mappings.get(level.id) ?? new Set();
      holder.mappings.set(level.id, held);
      for (const scope of scopes) held.add(scope);
    } else if (coversLevel(level, here, members)) for (const scope of scopes) holder.host.add(scope);
  }
  const clients = new Map(body.clients.map(({ subject, keys }) => [subject, keys]));
  const isLocked = ({ subject, device }: AccessSubject): boolean =>
    locked.size > 0 && (locked.has(subject) || (lockedDevices.size > 0 && lockedDevices.has(device)));
  return {
    decide: (who, scope, mapping = '') => {
      if (isLocked(who)) return 'REVOKED';
      const holder = holders.get(who.subject);
      if (holder === undefined) return 'SCOPE_MISSING';
      if (holder.host.has(scope)) return null;
      return mapping !== '' && holder.mappings.get(mapping)?.has(scope) === true ? null : 'SCOPE_MISSING';
    },
    holdsForSome: (subject, scope) => [...(holders.get(subject)?.mappings.values() ?? [])].some((held) => held.has(scope)),
    isLocked,
    isUnbound: (subject) => {
      const holder = holders.get(subject);
      return holder === undefined || (holder.host.size === 0 && holder.mappings.size === 0);
    },
    clientKeys: (subject) => clients.get(subject) ?? null,
  };
};
