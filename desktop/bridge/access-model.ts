/** Who may do what, as it crosses the bridge; and the changes an owner may make. Times: milliseconds since the Unix epoch. */
import { z } from 'zod/mini';

export interface AccessHeadInfo {
  readonly epoch: number;
  readonly revision: number;
  /** SHA-256, hex. */
  readonly hash: string;
  readonly author: string;
  readonly issuedAt: number;
  readonly notAfter: number;
  /** Changes wait on every host until an owner's console signs a newer one. */
  readonly stale: boolean;
}

export interface AccessHostState {
  readonly hostId: string;
  readonly name: string;
  /** "none": no bundle yet. "unknown": never asked. "unsupported": its agent is older. "refused": it does not take ours, or does not let us ask. */
  readonly state: 'current' | 'behind' | 'stale' | 'forked' | 'none' | 'unknown' | 'unsupported' | 'refused';
  readonly epoch: number | null;
  readonly revision: number | null;
  readonly checkedAt: number | null;
  readonly problem: string | null;
}

export interface AccessForkInfo {
  readonly revision: number;
  readonly kept: string;
  readonly refused: string;
  readonly refusedAuthor: string;
  readonly refusedAt: number;
  readonly seenAt: number;
}

export interface AccessView {
  /** Null before the fleet has a bundle: every operator of the fleet may do everything. */
  readonly head: AccessHeadInfo | null;
  /** Who this console acts as, and whether it holds an owner's key. */
  readonly self: { readonly subject: string; readonly keyId: string | null; readonly isOwner: boolean };
  readonly owners: readonly { readonly subject: string; readonly keyId: string }[];
  readonly ownerThreshold: number;
  readonly roles: readonly {
    readonly name: string;
    readonly title: string;
    readonly scopes: readonly string[];
    readonly builtIn: boolean;
  }[];
  readonly operators: readonly { readonly subject: string; readonly title: string; readonly locked: boolean }[];
  readonly clients: readonly {
    readonly subject: string;
    readonly title: string;
    readonly locked: boolean;
    readonly keys: readonly { readonly keyId: string; readonly createdAt: number; readonly expiresAt: number | null }[];
  }[];
  readonly clusters: readonly { readonly id: string; readonly title: string; readonly hostIds: readonly string[] }[];
  readonly bindings: readonly { readonly id: string; readonly subject: string; readonly role: string; readonly level: string }[];
  readonly locks: readonly { readonly id: string; readonly target: string; readonly reason: string; readonly since: number }[];
  readonly dangerousScopes: readonly string[];
  readonly forks: readonly AccessForkInfo[];
  readonly hosts: readonly AccessHostState[];
  /** An update that waits for the signatures of other owners, to be handed to them as text. */
  readonly proposal: string | null;
}

export interface AccessChangeResult {
  readonly view: AccessView;
  /** The key of a client: shown now and never again. */
  readonly clientKey: string | null;
}

/** PEM each. */
export interface ClientCertificate {
  readonly certificate: string;
  readonly privateKey: string;
  readonly fleetRoot: string;
}

export interface AccessOwnKey {
  readonly subject: string;
  readonly keyId: string;
  /** Base64. */
  readonly publicKey: string;
}

export interface AccessCheck {
  readonly allowed: boolean;
  /** Code, for instance "SCOPE_MISSING"; null when allowed. */
  readonly reason: string | null;
}

const title = z.string().check(z.maxLength(120));
const id = z.string().check(z.regex(/^[a-z0-9][a-z0-9-]{0,62}$/));
const subject = z.string().check(z.regex(/^(operator|client)\/[A-Za-z0-9._@+-]{1,128}$/));
const operator = z.string().check(z.regex(/^operator\/[A-Za-z0-9._@+-]{1,128}$/));
const client = z.string().check(z.regex(/^client\/[A-Za-z0-9._@+-]{1,128}$/));
const level = z.string().check(z.minLength(1), z.maxLength(80));
const scope = z.string().check(z.minLength(3), z.maxLength(64));
const entryId = z.string().check(z.minLength(1), z.maxLength(64));
const hostId = z.string().check(z.regex(/^[0-9A-HJKMNP-TV-Z]{26}$/));

/** One change of the bundle. */
export const accessChange = z.discriminatedUnion('kind', [
  /** The first bundle of a fleet that has none. */
  z.strictObject({ kind: z.literal('begin') }),
  /** A new epoch under the fleet root, with a new owner key: after an owner's key has leaked. Owners elsewhere must be added again. */
  z.strictObject({ kind: z.literal('epoch') }),
  /** The same content for another 30 days. */
  z.strictObject({ kind: z.literal('renew') }),
  z.strictObject({ kind: z.literal('role.put'), name: id, title, scopes: z.array(scope).check(z.maxLength(100)) }),
  z.strictObject({ kind: z.literal('role.remove'), name: id }),
  z.strictObject({ kind: z.literal('operator.put'), subject: operator, title }),
  /** With all bindings of it. */
  z.strictObject({ kind: z.literal('operator.remove'), subject: operator }),
  z.strictObject({ kind: z.literal('cluster.put'), id, title, hostIds: z.array(hostId).check(z.maxLength(10_000)) }),
  z.strictObject({ kind: z.literal('cluster.remove'), id }),
  z.strictObject({ kind: z.literal('binding.add'), subject, role: id, level }),
  z.strictObject({ kind: z.literal('binding.remove'), id: entryId }),
  /** target: a subject, or "device/<SHA-256 of its key in hex>". */
  z.strictObject({ kind: z.literal('lock'), target: z.string().check(z.minLength(1), z.maxLength(160)), reason: title }),
  z.strictObject({ kind: z.literal('unlock'), id: entryId }),
  z.strictObject({ kind: z.literal('client.put'), subject: client, title }),
  z.strictObject({ kind: z.literal('client.remove'), subject: client }),
  /** At most two keys live at a time; the answer carries the new one, once. */
  z.strictObject({ kind: z.literal('client.key.add'), subject: client, expiresAt: z.optional(z.int().check(z.minimum(1))) }),
  z.strictObject({ kind: z.literal('client.key.remove'), subject: client, keyId: z.string().check(z.regex(/^[0-9a-f]{8}$/)) }),
  /** publicKey: Ed25519, SPKI, DER, base64. The new owner's console has to sign as well. */
  z.strictObject({ kind: z.literal('owner.add'), subject: operator, publicKey: z.string().check(z.maxLength(200)) }),
  z.strictObject({ kind: z.literal('owner.remove'), keyId: z.string().check(z.regex(/^[0-9a-f]{64}$/)) }),
  /** A second factor in the place of the one before; its witnesses have its secret already. */
  z.strictObject({
    kind: z.literal('factor.put'),
    subject: operator,
    factorId: hostId,
    witnesses: z.array(hostId).check(z.minLength(1), z.maxLength(3)),
  }),
  z.strictObject({ kind: z.literal('factor.remove'), subject: operator }),
  /** Whether operators without a second factor may do what is dangerous. */
  z.strictObject({ kind: z.literal('stepUp.require'), isRequired: z.boolean() }),
  z.strictObject({ kind: z.literal('owner.threshold'), threshold: z.int().check(z.minimum(1), z.maximum(7)) }),
]);

export type AccessChange = z.output<typeof accessChange>;

export const accessClientInput = z.strictObject({ subject: client });

export const accessCheckInput = z.strictObject({
  subject,
  scope,
  /** Where; without it the question is about no host in particular, and only global rights count. */
  hostId: z.optional(hostId),
  mapping: z.optional(z.string().check(z.maxLength(63))),
  device: z.optional(z.string().check(z.regex(/^[0-9a-f]{64}$/))),
});
