import type { DatabaseSync } from 'node:sqlite';
import { policyInForce } from '../../engine/api.ts';
import type { Policy, PolicyInForce, WithheldMapping } from '../../engine/api.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';

/** SQL that makes the table: one more schema version of the traffic database. */
export const mappingEndMigration = `CREATE TABLE mapping_end (
     mapping TEXT NOT NULL,
     expires_at_ms INTEGER NOT NULL,
     ended_at_ms INTEGER NOT NULL,
     PRIMARY KEY (mapping, expires_at_ms)
   ) STRICT, WITHOUT ROWID`;

/** Ends remembered; beyond it the oldest go, and a clock set back could bring them to life. */
const endsMax = 10_000;
/** An end that could not be carried out is tried again so often. */
const retryMs = 5_000;

export interface MappingTermsOptions {
  readonly database: DatabaseSync;
  readonly clock: Clock;
  readonly log: Logger;
  /** Told once of each end; must not raise. */
  readonly onEnded?: ((ended: WithheldMapping) => void) | undefined;
}

/**
 * Which mappings of a policy are in force now. An end is final: it is kept on disk, so that neither a restart nor a clock that is set back
 * brings the mapping to life. Ends are looked for by the wall clock, second by second, so that a clock that jumps forward ends what it jumps over.
 */
export interface MappingTerms {
  inForce(policy: Policy): PolicyInForce;
  /** These are in force in the data path from now on. Raises STATE_FAILED when the disk does not keep an end; they are in force all the same. */
  loaded(terms: PolicyInForce): void;
  /** True when a mapping has ended since what was loaded last; then not again for some seconds. */
  isDue(): boolean;
  withheld(): readonly WithheldMapping[];
}

/** Terms in an opened and migrated database. */
export const openMappingTerms = ({ database, clock, log, onEnded }: MappingTermsOptions): MappingTerms => {
  const keyOf = (mapping: string, expiresAtMs: number): string => `${mapping}/${String(expiresAtMs)}`;
  const ended = new Set<string>();
  for (const row of database.prepare('SELECT mapping, expires_at_ms FROM mapping_end').iterate())
    ended.add(keyOf(String(row['mapping']), Number(row['expires_at_ms'])));
  let current: PolicyInForce | null = null;
  let notBeforeMs = 0;
  const note = (one: WithheldMapping): void => {
    if (one.why !== 'ended' || one.expiresAtMs === null || ended.has(keyOf(one.mapping, one.expiresAtMs))) return;
    ended.add(keyOf(one.mapping, one.expiresAtMs));
    log.info('the time of a mapping is over', { ...one });
    onEnded?.(one);
    database.prepare('INSERT OR REPLACE INTO mapping_end VALUES (?, ?, ?)').run(one.mapping, one.expiresAtMs, clock.nowMs());
    const oldest =
      'DELETE FROM mapping_end WHERE ended_at_ms < (SELECT ended_at_ms FROM mapping_end ORDER BY ended_at_ms DESC LIMIT 1 OFFSET ?)';
    database.prepare(oldest).run(endsMax);
  };
  return {
    inForce: (policy) => policyInForce(policy, clock.nowMs(), (mapping, expiresAtMs) => ended.has(keyOf(mapping, expiresAtMs))),
    loaded: (terms) => {
      current = terms;
      for (const one of terms.withheld) note(one);
    },
    isDue: () => {
      const next = current?.nextEndMs ?? null;
      if (next === null || clock.nowMs() < next || clock.monotonicMs() < notBeforeMs) return false;
      notBeforeMs = clock.monotonicMs() + retryMs;
      return true;
    },
    withheld: () => current?.withheld ?? [],
  };
};
