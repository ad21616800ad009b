/** The content of an access bundle: checked, put in order, changed and encoded to exact bytes. */
import { createHash, createPublicKey } from 'node:crypto';
import { AccessBody } from '../../gen/nest/v1/access.ts';
import type { AccessDelta, AccessFactor } from '../../gen/nest/v1/access.ts';
import { keyIdOf } from '../envelope.ts';
import { NestError } from '../error.ts';
import { witnessesMax } from '../step-up-shape.ts';
import { parseLevel } from './level.ts';
import { builtInRole } from './role.ts';
import { parseScope } from './scope.ts';

export type {
  AccessBinding,
  AccessBody,
  AccessClient,
  AccessClientKey,
  AccessCluster,
  AccessDelta,
  AccessFactor,
  AccessLock,
  AccessOperator,
  AccessOwner,
  AccessRole,
} from '../../gen/nest/v1/access.ts';

/** The root signs beside them, and an envelope takes 8 signatures. */
export const ownersMax = 7;
export const clientKeysMax = 2;
const titleMax = 120;
const entriesMax = { roles: 500, operators: 2000, clients: 1000, clusters: 1000, bindings: 10_000, locks: 2000 } as const;
const clusterHostsMax = 10_000;
const scopesMax = 100;

const namePattern = /^[a-z0-9][a-z0-9-]{0,62}$/;
const subjectPattern = /^(operator|client)\/[A-Za-z0-9._@+-]{1,128}$/;
const devicePattern = /^device\/[0-9a-f]{64}$/;
const agentIdPattern = /^[0-9A-HJKMNP-TV-Z]{26}$/;

/** The keyed lists of a body, each with the key of an entry. */
const keys = {
  roles: ({ name }: AccessBody['roles'][number]) => name,
  operators: ({ subject }: AccessBody['operators'][number]) => subject,
  clients: ({ subject }: AccessBody['clients'][number]) => subject,
  clusters: ({ id }: AccessBody['clusters'][number]) => id,
  bindings: ({ id }: AccessBody['bindings'][number]) => id,
  locks: ({ id }: AccessBody['locks'][number]) => id,
} as const;

/** A body with nothing in it, and nobody who could change it. */
export const emptyBody = (): AccessBody => AccessBody.fromPartial({});

/** SHA-256. */
export const hashOf = (bytes: Uint8Array): Buffer => createHash('sha256').update(bytes).digest();

/** The bytes of a body in their one order. */
export const encodeBody = (body: AccessBody): Buffer => Buffer.from(AccessBody.encode(inOrder(body)).finish());

/** Raises ACCESS_INVALID. */
export const decodeBody = (bytes: Uint8Array): AccessBody => {
  try {
    return AccessBody.decode(bytes);
  } catch (error) {
    throw new NestError('ACCESS_INVALID', 'The access bundle cannot be read. Fetch it again from another console.', { cause: error });
  }
};

/** The body after a delta: entries of the same key are replaced, removed ones are gone. */
export const applyDelta = (body: AccessBody, delta: AccessDelta): AccessBody => {
  const put = delta.put ?? emptyBody();
  return inOrder({
    ...body,
    roles: merged(keys.roles, [body.roles, put.roles], delta.removeRoles),
    operators: merged(keys.operators, [body.operators, put.operators], delta.removeOperators),
    clients: merged(keys.clients, [body.clients, put.clients], delta.removeClients),
    clusters: merged(keys.clusters, [body.clusters, put.clusters], delta.removeClusters),
    bindings: merged(keys.bindings, [body.bindings, put.bindings], delta.removeBindings),
    locks: merged(keys.locks, [body.locks, put.locks], delta.removeLocks),
  });
};

const merged = <Entry>(
  keyOf: (entry: Entry) => string,
  [before, put]: readonly [before: readonly Entry[], put: readonly Entry[]],
  removed: readonly string[],
): Entry[] => {
  const entries = new Map(before.map((entry) => [keyOf(entry), entry]));
  for (const key of removed) entries.delete(key);
  for (const entry of put) entries.set(keyOf(entry), entry);
  return [...entries.values()];
};

const sorted = <Entry>(entries: readonly Entry[], keyOf: (entry: Entry) => string): Entry[] =>
  [...entries].sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : keyOf(a) > keyOf(b) ? 1 : 0));

/** The same content with every list in the order of its key. */
const inOrder = (body: AccessBody): AccessBody => ({
  ...body,
  owners: sorted(body.owners, ({ keyId }) => keyId),
  roles: sorted(body.roles, keys.roles),
  operators: sorted(body.operators, keys.operators),
  clients: sorted(body.clients, keys.clients),
  clusters: sorted(body.clusters, keys.clusters),
  bindings: sorted(body.bindings, keys.bindings),
  locks: sorted(body.locks, keys.locks),
  dangerousScopes: sorted(body.dangerousScopes, (scope) => scope),
});

/** Everything a body must be before anybody believes it. Raises ACCESS_INVALID with the first thing that is wrong. */
export const checkBody = (body: AccessBody): void => {
  for (const [list, max] of Object.entries(entriesMax) as [keyof typeof entriesMax, number][])
    require(body[list].length <= max, `it has more than ${String(max)} ${list}`);
  checkOwners(body);
  for (const list of Object.keys(keys) as (keyof typeof keys)[])
    checkUnique(
      body[list].map((entry) => (keys[list] as (entry: unknown) => string)(entry)),
      list,
    );
  checkPeople(body);
  checkRoles(body);
  checkBindings(body);
};

const checkOwners = ({ owners, ownerThreshold }: AccessBody): void => {
  require(owners.length >= 1 &&
    owners.length <= ownersMax, `it has ${String(owners.length)} owners, 1 to ${String(ownersMax)} are allowed`);
  require(ownerThreshold >= 1 && ownerThreshold <= owners.length, 'the number of owners who must sign is not one of 1 to all of them');
  checkUnique(
    owners.map(({ keyId }) => keyId),
    'owners',
  );
  for (const owner of owners) {
    require(subjectPattern.test(owner.subject) && owner.subject.startsWith('operator/'), `the owner ${owner.subject} is no operator`);
    const key = ownerKey(owner.publicKey);
    require(key !== null &&
      keyIdOf(key).toString('hex') === owner.keyId, `the key of the owner ${owner.subject} is not the Ed25519 key it names`);
  }
};

/** Bodies share the entries that did not change. */
const ownerKeys = new WeakMap<Uint8Array, ReturnType<typeof createPublicKey> | null>();

/** The key of an owner; null when the bytes, which must not be changed later, are no Ed25519 key. */
export const ownerKey = (publicKey: Uint8Array): ReturnType<typeof createPublicKey> | null => {
  const known = ownerKeys.get(publicKey);
  if (known !== undefined) return known;
  const key = parsedOwnerKey(publicKey);
  ownerKeys.set(publicKey, key);
  return key;
};

const parsedOwnerKey = (publicKey: Uint8Array): ReturnType<typeof createPublicKey> | null => {
  try {
    const key = createPublicKey({ key: Buffer.from(publicKey), format: 'der', type: 'spki' });
    return key.asymmetricKeyType === 'ed25519' ? key : null;
  } catch {
    // No key at all: the caller says so.
    return null;
  }
};

const checkPeople = ({ operators, clients, locks }: AccessBody): void => {
  for (const { subject, title, factor } of operators) {
    require(subjectPattern.test(subject) && subject.startsWith('operator/'), `${quoted(subject)} is no operator`);
    checkTitle(title);
    if (factor !== undefined) checkFactor(subject, factor);
  }
  for (const { subject, title, keys: held } of clients) {
    require(subjectPattern.test(subject) && subject.startsWith('client/'), `${quoted(subject)} is no client`);
    checkTitle(title);
    require(held.length <= clientKeysMax, `${subject} has more than ${String(clientKeysMax)} keys`);
    require(held.every(({ hash }) => hash.length === 32), `a key of ${subject} is not a SHA-256`);
  }
  for (const { target, reason, id } of locks) {
    require(subjectPattern.test(target) || devicePattern.test(target), `${quoted(target)} cannot be locked`);
    require(id.length >= 1 && id.length <= 64, 'a lock has no id');
    checkTitle(reason);
  }
};

const checkFactor = (subject: string, { id, witnesses }: AccessFactor): void => {
  require(agentIdPattern.test(id), `the second factor of ${subject} has no id`);
  require(witnesses.length >= 1 &&
    witnesses.length <= witnessesMax &&
    new Set(witnesses).size === witnesses.length, `the second factor of ${subject} needs 1 to ${String(witnessesMax)} witnesses`);
  require(witnesses.every((witness) => agentIdPattern.test(witness)), `a witness of ${subject} is no host`);
};

const checkRoles = ({ roles, dangerousScopes }: AccessBody): void => {
  for (const { name, scopes, title } of roles) {
    require(namePattern.test(name) && builtInRole(name) === undefined, `${quoted(name)} is not a name a role may have`);
    require(scopes.length <= scopesMax, `the role ${name} has more than ${String(scopesMax)} scopes`);
    for (const scope of scopes) require(parseScope(scope) !== null, `${quoted(scope)} in the role ${name} is no scope`);
    checkTitle(title);
  }
  require(dangerousScopes.length <= scopesMax, 'it has too many dangerous scopes');
  for (const scope of dangerousScopes) require(parseScope(scope) !== null, `${quoted(scope)} is no scope`);
};

const checkBindings = ({ bindings, clusters, operators, clients, roles }: AccessBody): void => {
  for (const { id, title, agentIds } of clusters) {
    require(namePattern.test(id), `${quoted(id)} is not a name a cluster may have`);
    require(agentIds.length <= clusterHostsMax &&
      agentIds.every((agentId) => agentIdPattern.test(agentId)), `the hosts of ${id} are not ids`);
    checkTitle(title);
  }
  const subjects = new Set([...operators, ...clients].map(({ subject }) => subject));
  const roleNames = new Set(roles.map(({ name }) => name));
  const clusterIds = new Set(clusters.map(({ id }) => id));
  for (const { id, subject, role, level } of bindings) {
    require(id.length >= 1 && id.length <= 64, 'a binding has no id');
    require(subjects.has(subject), `a binding names ${quoted(subject)}, who is neither operator nor client`);
    require(roleNames.has(role) ||
      builtInRole(role) !== undefined, `a binding of ${subject} names the role ${quoted(role)}, which does not exist`);
    const where = parseLevel(level);
    require(where !== null &&
      (where.kind !== 'cluster' ||
        clusterIds.has(where.id)), `a binding of ${subject} names the level ${quoted(level)}, which does not exist`);
  }
};

const checkUnique = (names: readonly string[], list: string): void =>
  require(new Set(names).size === names.length, `an entry of ${list} is there twice`);

const checkTitle = (title: string): void =>
  require(title.length <= titleMax, `${quoted(title)} is longer than ${String(titleMax)} characters`);

const quoted = (text: string): string => JSON.stringify(text.slice(0, 64));

const require = (holds: boolean, problem: string): void => {
  if (!holds) throw new NestError('ACCESS_INVALID', `The access bundle is refused: ${problem}. Correct it, then sign it again.`);
};
