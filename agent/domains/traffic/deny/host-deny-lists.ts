import type { DatabaseSync } from 'node:sqlite';
import { NestError } from '../../../../proto/model/error.ts';
import { inTransaction } from '../../../control/revisions/api.ts';
import { formatPrefix, networkOf, parsePrefix } from '../../../engine/api.ts';

/** Lists that a host keeps; with those of the policy the data path knows 256. */
export const hostListsMax = 64;
/** Prefixes of all lists together. */
export const hostPrefixesMax = 500_000;

export interface DenyListUpdate {
  readonly name: string;
  /** Addresses and CIDRs, in any spelling. */
  readonly add: readonly string[];
  readonly remove: readonly string[];
  /** When the added prefixes go, milliseconds since the Unix epoch; null = never. */
  readonly expiresAtMs: number | null;
  /** Removes the list whole. */
  readonly delete: boolean;
}

export interface DenyListEffect {
  /** Canonical prefixes that are new, and that went. */
  readonly added: readonly string[];
  readonly removed: readonly string[];
  /** Left in the list. */
  readonly prefixes: number;
}

/**
 * Deny lists that the host keeps beside its policy document: changed at once, on disk, with an expiry for each prefix.
 * Every change raises STATE_FAILED when the disk fails, and then nothing has changed.
 */
export interface HostDenyLists {
  /** Sorted by name. */
  names(): readonly string[];
  /** Canonical prefixes in the order in which they came, and the first moment at which one goes (null: none does). */
  list(name: string): { readonly prefixes: readonly string[]; readonly expiresAtMs: number | null };
  /** Raises INPUT_INVALID for an unknown list, a prefix that is none, or too many. */
  update(update: DenyListUpdate, nowMs: number): DenyListEffect;
  /** Removes what is over; returns it by list. */
  expire(nowMs: number): ReadonlyMap<string, readonly string[]>;
  /** The next moment at which a prefix goes; null: none does. */
  nextExpiryMs(): number | null;
}

/** SQL that makes the tables: one more schema version of the traffic database. */
export const denyListMigration = `CREATE TABLE deny_prefix (
     list TEXT NOT NULL,
     prefix TEXT NOT NULL,
     expires_at_ms INTEGER NOT NULL,
     PRIMARY KEY (list, prefix)
   ) STRICT, WITHOUT ROWID;
   CREATE INDEX deny_prefix_expiry ON deny_prefix (expires_at_ms) WHERE expires_at_ms > 0`;

/** The lists in an opened and migrated database. */
export const openHostDenyLists = (database: DatabaseSync): HostDenyLists => new StoredLists(database);

/** Stands for "never" on disk. */
const never = 0;

class StoredLists implements HostDenyLists {
  readonly #database: DatabaseSync;
  /** Prefix to expiry, by list. */
  readonly #lists = new Map<string, Map<string, number>>();

  constructor(database: DatabaseSync) {
    this.#database = database;
    for (const row of database.prepare('SELECT list, prefix, expires_at_ms FROM deny_prefix').iterate())
      this.#listOf(String(row['list'])).set(String(row['prefix']), Number(row['expires_at_ms']));
  }

  names(): readonly string[] {
    return [...this.#lists.keys()].sort();
  }

  list(name: string): { readonly prefixes: readonly string[]; readonly expiresAtMs: number | null } {
    const list = this.#lists.get(name) ?? new Map<string, number>();
    return { prefixes: [...list.keys()], expiresAtMs: earliest(list.values()) };
  }

  update({ name, add, remove, expiresAtMs, delete: whole }: DenyListUpdate, nowMs: number): DenyListEffect {
    const known = this.#lists.get(name);
    if (known === undefined && (whole || add.length === 0)) throw unknownList(name, this.names());
    if (expiresAtMs !== null && expiresAtMs <= nowMs)
      throw new NestError('INPUT_INVALID', 'The expiry lies in the past. Give a moment to come, or none for prefixes that stay.');
    const before = known ?? new Map<string, number>();
    const removed = whole ? [...before.keys()] : unique(remove.map(canonical)).filter((prefix) => before.has(prefix));
    const wanted = whole ? [] : unique(add.map(canonical));
    const back = new Set(wanted);
    const added = wanted.filter((prefix) => !before.has(prefix));
    const lost = removed.filter((prefix) => !back.has(prefix));
    this.#checkRoom(name, known === undefined, added.length - lost.length);
    const expires = expiresAtMs ?? never;
    inTransaction(this.#database, () => {
      const drop = this.#database.prepare('DELETE FROM deny_prefix WHERE list = ? AND prefix = ?');
      for (const prefix of removed) drop.run(name, prefix);
      const put = this.#database.prepare('INSERT OR REPLACE INTO deny_prefix VALUES (?, ?, ?)');
      for (const prefix of wanted) put.run(name, prefix, expires);
    });
    const list = this.#listOf(name);
    for (const prefix of removed) list.delete(prefix);
    for (const prefix of wanted) list.set(prefix, expires);
    if (list.size === 0) this.#lists.delete(name);
    return { added, removed: lost, prefixes: list.size };
  }

  expire(nowMs: number): ReadonlyMap<string, readonly string[]> {
    const gone = new Map<string, readonly string[]>();
    for (const [name, list] of this.#lists) {
      const over = [...list].filter(([, expires]) => expires !== never && expires <= nowMs).map(([prefix]) => prefix);
      if (over.length > 0) gone.set(name, over);
    }
    if (gone.size === 0) return gone;
    inTransaction(
      this.#database,
      () => void this.#database.prepare('DELETE FROM deny_prefix WHERE expires_at_ms > 0 AND expires_at_ms <= ?').run(nowMs),
    );
    for (const [name, prefixes] of gone) {
      const list = this.#listOf(name);
      for (const prefix of prefixes) list.delete(prefix);
      if (list.size === 0) this.#lists.delete(name);
    }
    return gone;
  }

  nextExpiryMs(): number | null {
    return earliest([...this.#lists.values()].flatMap((list) => earliest(list.values()) ?? []));
  }

  #listOf(name: string): Map<string, number> {
    const list = this.#lists.get(name) ?? new Map<string, number>();
    this.#lists.set(name, list);
    return list;
  }

  #checkRoom(name: string, isNew: boolean, growth: number): void {
    if (isNew && this.#lists.size >= hostListsMax)
      throw new NestError('INPUT_INVALID', `This host keeps ${hostListsMax} deny lists already. Delete one before you make "${name}".`);
    const total = [...this.#lists.values()].reduce((sum, list) => sum + list.size, 0);
    if (total + growth > hostPrefixesMax)
      throw new NestError(
        'INPUT_INVALID',
        `The deny lists of this host would hold ${(total + growth).toLocaleString('en-US')} prefixes and ${hostPrefixesMax.toLocaleString('en-US')} are allowed. Remove some, or deny wider prefixes.`,
      );
  }
}

/** The smallest that is not "never". */
const earliest = (expiries: Iterable<number>): number | null => {
  let first = Infinity;
  for (const expires of expiries) if (expires !== never && expires < first) first = expires;
  return first === Infinity ? null : first;
};

const unique = (prefixes: readonly string[]): string[] => [...new Set(prefixes)];

const canonical = (text: string): string => {
  const prefix = parsePrefix(text);
  const shown = JSON.stringify(text.slice(0, 63));
  if (prefix === undefined)
    throw new NestError('INPUT_INVALID', `${shown} is not an address or CIDR. Write for instance 198.18.4.7 or 2001:db8:4::/48.`);
  const network = formatPrefix(networkOf(prefix));
  if (network !== formatPrefix(prefix))
    throw new NestError('INPUT_INVALID', `${shown} has bits set behind its prefix length. Write ${network}.`);
  return network;
};

const unknownList = (name: string, names: readonly string[]): NestError =>
  new NestError(
    'INPUT_INVALID',
    names.length === 0
      ? `This host keeps no deny list "${name}". Add a prefix to make it.`
      : `This host keeps no deny list "${name}". It keeps ${names.slice(0, 5).join(', ')}${names.length > 5 ? ' and others' : ''}.`,
  );
