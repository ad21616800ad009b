/** What a change makes of a body. Pure: keys, ids and times come in. */
import { keyIdOf } from '../../../proto/model/envelope.ts';
import { NestError } from '../../../proto/model/error.ts';
import { clientKeysMax, ownerKey } from '../../../proto/model/access/body.ts';
import type { AccessBody, AccessClientKey } from '../../../proto/model/access/body.ts';
import { requireLevel } from '../../../proto/model/access/level.ts';
import { requireScope } from '../../../proto/model/access/scope.ts';
import type { AccessChange } from '../../bridge/access-model.ts';

export interface EditContext {
  readonly newId: () => string;
  readonly nowMs: number;
  readonly newKey: (expiresAtMs: number) => AccessClientKey;
}

/** Changes that begin something are the book's. */
export type AccessEdit = Exclude<AccessChange, { readonly kind: 'begin' | 'epoch' }>;

const without = <Entry>(entries: readonly Entry[], isGone: (entry: Entry) => boolean, what: string): Entry[] => {
  const left = entries.filter((entry) => !isGone(entry));
  if (left.length === entries.length) throw new NestError('NOT_FOUND', `There is no ${what}. Look at "nest access show".`);
  return left;
};

const replaced = <Entry>(entries: readonly Entry[], entry: Entry, isSame: (other: Entry) => boolean): Entry[] => [
  ...entries.filter((other) => !isSame(other)),
  entry,
];

/** The body after the change. Raises INPUT_INVALID, NOT_FOUND, LIMIT_REACHED. */
export const editBody = (body: AccessBody, change: AccessEdit, context: EditContext): AccessBody => {
  switch (change.kind) {
    case 'renew':
      return body;
    case 'role.put': {
      for (const scope of change.scopes) requireScope(scope);
      const role = { name: change.name, title: change.title, scopes: [...change.scopes] };
      return { ...body, roles: replaced(body.roles, role, ({ name }) => name === change.name) };
    }
    case 'role.remove':
      if (body.bindings.some(({ role }) => role === change.name))
        throw new NestError('INPUT_INVALID', `Somebody is bound to ${change.name}. Remove those bindings first.`);
      return { ...body, roles: without(body.roles, ({ name }) => name === change.name, `role ${change.name}`) };
    case 'operator.put': {
      const factor = body.operators.find(({ subject }) => subject === change.subject)?.factor;
      const operator = { subject: change.subject, title: change.title, factor };
      return { ...body, operators: replaced(body.operators, operator, ({ subject }) => subject === change.subject) };
    }
    case 'operator.remove': {
      const operators = without(body.operators, ({ subject }) => subject === change.subject, change.subject);
      return { ...unbound(body, change.subject), operators };
    }
    case 'cluster.put': {
      const cluster = { id: change.id, title: change.title, agentIds: [...new Set(change.hostIds)].sort() };
      return { ...body, clusters: replaced(body.clusters, cluster, ({ id }) => id === change.id) };
    }
    case 'cluster.remove': {
      const clusters = without(body.clusters, ({ id }) => id === change.id, `cluster ${change.id}`);
      return { ...body, clusters, bindings: body.bindings.filter(({ level }) => level !== `cluster/${change.id}`) };
    }
    case 'binding.add':
    case 'binding.remove':
    case 'lock':
    case 'unlock':
      return editRights(body, change, context);
    case 'client.put':
    case 'client.remove':
    case 'client.key.add':
    case 'client.key.remove':
      return editClients(body, change, context);
    case 'factor.put':
    case 'factor.remove':
    case 'stepUp.require':
      return editFactors(body, change, context);
    case 'owner.add':
    case 'owner.remove':
    case 'owner.threshold':
      return editOwners(body, change);
    default:
      return change satisfies never;
  }
};

const unbound = (body: AccessBody, name: string): AccessBody => ({
  ...body,
  bindings: body.bindings.filter(({ subject }) => subject !== name),
});

type Kind<Name extends AccessEdit['kind']> = Extract<AccessEdit, { readonly kind: Name }>;

const editRights = (
  body: AccessBody,
  change: Kind<'binding.add' | 'binding.remove' | 'lock' | 'unlock'>,
  { newId, nowMs }: EditContext,
): AccessBody => {
  switch (change.kind) {
    case 'binding.add': {
      const { subject, role, level } = change;
      requireLevel(level);
      if (body.bindings.some((one) => one.subject === subject && one.role === role && one.level === level)) return body;
      return { ...body, bindings: [...body.bindings, { id: newId(), subject, role, level }] };
    }
    case 'binding.remove':
      return { ...body, bindings: without(body.bindings, ({ id }) => id === change.id, `binding ${change.id}`) };
    case 'lock': {
      const { target, reason } = change;
      return {
        ...body,
        locks: replaced(body.locks, { id: newId(), target, reason, sinceMs: BigInt(Math.round(nowMs)) }, (lock) => lock.target === target),
      };
    }
    case 'unlock':
      return { ...body, locks: without(body.locks, ({ id, target }) => id === change.id || target === change.id, `lock ${change.id}`) };
    default:
      return change satisfies never;
  }
};

const editClients = (
  body: AccessBody,
  change: Kind<'client.put' | 'client.remove' | 'client.key.add' | 'client.key.remove'>,
  { newKey, nowMs }: EditContext,
): AccessBody => {
  const known = body.clients.find(({ subject }) => subject === change.subject);
  if (change.kind === 'client.put')
    return {
      ...body,
      clients: replaced(body.clients, { subject: change.subject, title: change.title, keys: known?.keys ?? [] }, (one) => one === known),
    };
  if (known === undefined) throw new NestError('NOT_FOUND', `There is no ${change.subject}. Add it first.`);
  if (change.kind === 'client.remove') return { ...unbound(body, change.subject), clients: body.clients.filter((one) => one !== known) };
  if (change.kind === 'client.key.remove') {
    const keys = without(known.keys, ({ keyId }) => keyId === change.keyId, `key ${change.keyId}`);
    return { ...body, clients: replaced(body.clients, { ...known, keys }, (one) => one === known) };
  }
  const live = known.keys.filter(({ expiresAtMs }) => expiresAtMs === 0n || Number(expiresAtMs) > nowMs);
  if (live.length >= clientKeysMax)
    throw new NestError(
      'LIMIT_REACHED',
      `${change.subject} has ${String(clientKeysMax)} live keys. Remove the one that is not used any more first.`,
    );
  const keys = [...live, newKey(change.expiresAt ?? 0)];
  return { ...body, clients: replaced(body.clients, { ...known, keys }, (one) => one === known) };
};

const editFactors = (
  body: AccessBody,
  change: Kind<'factor.put' | 'factor.remove' | 'stepUp.require'>,
  { nowMs }: EditContext,
): AccessBody => {
  if (change.kind === 'stepUp.require') return { ...body, stepUpRequired: change.isRequired };
  const known = body.operators.find(({ subject }) => subject === change.subject);
  if (known === undefined) throw new NestError('NOT_FOUND', `There is no ${change.subject}. Add it first.`);
  if (change.kind === 'factor.remove' && known.factor === undefined)
    throw new NestError('NOT_FOUND', `${change.subject} has no second factor.`);
  const factor =
    change.kind === 'factor.remove'
      ? undefined
      : { id: change.factorId, witnesses: [...change.witnesses], enrolledAtMs: BigInt(Math.round(nowMs)) };
  return { ...body, operators: replaced(body.operators, { ...known, factor }, (one) => one === known) };
};

const editOwners = (body: AccessBody, change: Kind<'owner.add' | 'owner.remove' | 'owner.threshold'>): AccessBody => {
  if (change.kind === 'owner.threshold') return { ...body, ownerThreshold: change.threshold };
  if (change.kind === 'owner.remove') {
    const owners = without(body.owners, ({ keyId }) => keyId === change.keyId, `owner key ${change.keyId}`);
    return { ...body, owners, ownerThreshold: Math.min(body.ownerThreshold, Math.max(1, owners.length)) };
  }
  const publicKey = Buffer.from(change.publicKey, 'base64');
  const key = ownerKey(publicKey);
  if (key === null)
    throw new NestError('INPUT_INVALID', 'This is not the public key of an owner. Ask for the output of "nest access key".');
  const entry = { keyId: keyIdOf(key).toString('hex'), publicKey, subject: change.subject };
  return { ...body, owners: replaced(body.owners, entry, ({ keyId }) => keyId === entry.keyId) };
};
