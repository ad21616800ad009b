/** The bundle in the words of the bridge. */
import { builtInRoles } from '../../../proto/model/access/role.ts';
import { isStale } from '../../../proto/model/access/chain.ts';
import { emptyBody } from '../../../proto/model/access/body.ts';
import { compileAccess } from '../../../proto/model/access/decide.ts';
import { isChangingScope } from '../../../proto/model/access/scope.ts';
import { readUpdate } from '../../../proto/model/access/update.ts';
import type { AccessCheck, AccessForkInfo, AccessHeadInfo, AccessHostState, AccessView } from '../../bridge/access-model.ts';
import type { AccessBook } from './access-book.ts';

/** Everything the page shows. */
export const accessViewOf = (book: AccessBook, hosts: readonly AccessHostState[], nowMs: number): AccessView => {
  const { chain, publicKey, subject, proposal } = book;
  const body = chain.body ?? emptyBody();
  const locked = new Set(body.locks.map(({ target }) => target));
  return {
    head: headOf(book, nowMs),
    self: { subject, keyId: publicKey?.keyId ?? null, isOwner: body.owners.some(({ keyId }) => keyId === publicKey?.keyId) },
    owners: body.owners.map(({ subject: owner, keyId }) => ({ subject: owner, keyId })),
    ownerThreshold: body.ownerThreshold,
    roles: [
      ...builtInRoles.map((role) => ({ ...role, builtIn: true })),
      ...body.roles.map(({ name, title, scopes }) => ({ name, title, scopes, builtIn: false })),
    ],
    operators: body.operators.map((operator) => ({
      subject: operator.subject,
      title: operator.title,
      locked: locked.has(operator.subject),
    })),
    clients: body.clients.map((client) => ({
      subject: client.subject,
      title: client.title,
      locked: locked.has(client.subject),
      keys: client.keys.map(({ keyId, createdAtMs, expiresAtMs }) => ({
        keyId,
        createdAt: Number(createdAtMs),
        expiresAt: expiresAtMs === 0n ? null : Number(expiresAtMs),
      })),
    })),
    clusters: body.clusters.map(({ id, title, agentIds }) => ({ id, title, hostIds: agentIds })),
    bindings: body.bindings.map(({ id, subject: bound, role, level }) => ({ id, subject: bound, role, level })),
    locks: body.locks.map(({ id, target, reason, sinceMs }) => ({ id, target, reason, since: Number(sinceMs) })),
    dangerousScopes: body.dangerousScopes,
    forks: chain.forks.map((fork): AccessForkInfo => {
      const { author, issuedAtMs } = readUpdate(fork.envelope, chain.fleetId);
      return {
        revision: fork.revision,
        kept: fork.kept,
        refused: fork.refused,
        refusedAuthor: author,
        refusedAt: issuedAtMs,
        seenAt: fork.seenAtMs,
      };
    }),
    hosts,
    proposal,
  };
};

const headOf = ({ chain }: AccessBook, nowMs: number): AccessHeadInfo | null => {
  const { head } = chain;
  if (head === null) return null;
  const { epoch, revision, hash, author, issuedAtMs, notAfterMs } = head;
  return { epoch, revision, hash, author, issuedAt: issuedAtMs, notAfter: notAfterMs, stale: isStale(chain, nowMs) };
};

export interface AccessQuestion {
  readonly subject: string;
  readonly scope: string;
  readonly hostId?: string | undefined;
  readonly mapping?: string | undefined;
  readonly device?: string | undefined;
}

/** How a host with this bundle decides. */
export const checkAccess = ({ chain }: AccessBook, question: AccessQuestion, nowMs: number): AccessCheck => {
  const { subject, scope, hostId = '', mapping = '', device = '' } = question;
  if (chain.body === null) {
    const isAllowed = subject.startsWith('operator/') || !scope.endsWith(':admin');
    return { allowed: isAllowed, reason: isAllowed ? null : 'SCOPE_MISSING' };
  }
  const refusal = compileAccess(chain.body, hostId).decide({ subject, device }, scope, mapping);
  const reason = refusal ?? (isChangingScope(scope) && isStale(chain, nowMs) ? 'ACCESS_STALE' : null);
  return { allowed: reason === null, reason };
};
