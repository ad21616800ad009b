import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { revisionsKept } from '../../../proto/model/limits.ts';
import { createRevisionStore, outcomeLifeMs, revisionMigrations } from './revision-store.ts';
import type { NewRevision, RevisionStore } from './revision-store.ts';
import { openStateDatabase } from './state-database.ts';

let directory = '';
const opened: RevisionStore[] = [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'nest-store-'));
});

afterEach(() => {
  for (const store of opened.splice(0)) store.close();
  rmSync(directory, { recursive: true, force: true });
});

const openDatabase = (migrations: readonly string[] = revisionMigrations) =>
  openStateDatabase({ path: join(directory, 'revisions.sqlite'), migrations }).database;

const open = (): RevisionStore => {
  const store = createRevisionStore(openDatabase());
  opened.push(store);
  return store;
};

const revisionOf = (name: string): NewRevision => ({
  etag: `e-${name}`,
  policyJson: `{"name":"${name}"}`,
  generation: `g-${name}`,
  state: 'pending',
  author: 'ada',
  comment: 'why',
  createdAtMs: 1_000,
  settledAtMs: null,
  settledReason: '',
  mappingCount: 1,
  serviceCount: 2,
});

const deadline = { wallMs: 9_000, bootId: 'boot-1', uptimeMs: 12.5, windowMs: 5_000 };

const keep = (store: RevisionStore, name: string, atMs = 2_000): number => {
  const revision = store.begin(revisionOf(name), { previousRevision: 0, transactionId: `t-${name}`, deadline });
  store.activated(deadline, { transactionId: `t-${name}`, revision, loadMs: 1, flipMs: 1, error: null }, atMs);
  store.confirm(atMs);
  return revision;
};

describe('stored revisions', () => {
  it('of the first schema are all there after the change to the second', () => {
    const old = openDatabase(revisionMigrations.slice(0, 1));
    const insert = `INSERT INTO revision (etag, generation, state, author, comment, created_at_ms, settled_at_ms, settled_reason,
      mapping_count, service_count, policy_json) VALUES ('e-' || ?1, 'g-' || ?1, ?2, 'ada', 'why', 1000, ?3, '', 1, 2, '{"name":"' || ?1 || '"}')`;
    old.prepare(insert).run('a', 'superseded', 2_000);
    old.prepare(insert).run('b', 'confirmed', 2_000);
    old.prepare(insert).run('c', 'pending', null);
    old.exec("INSERT INTO pending VALUES (1, 3, 2, 't-c', 9000, 'boot-1', 12.5, 5000, 1)");
    old.close();
    const store = open();
    const settled = { settledAtMs: 2_000, settledReason: '' };
    expect([store.get(1), store.confirmed(), store.get(3)]).toEqual([
      { ...revisionOf('a'), ...settled, revision: 1, state: 'superseded' },
      { ...revisionOf('b'), ...settled, revision: 2, state: 'confirmed' },
      { ...revisionOf('c'), revision: 3 },
    ]);
    expect(store.pending()).toEqual({ revision: 3, previousRevision: 2, transactionId: 't-c', deadline, isActivated: true });
  });

  it('that are dropped take their documents along, and the one in force stays however old', () => {
    const store = open();
    const first = keep(store, 'first');
    for (let number = 0; number < revisionsKept + 3; number++) {
      store.begin(revisionOf(`tried-${String(number)}`), { previousRevision: first, transactionId: 't', deadline });
      store.drop('rolled-back', 'no', { atMs: 3_000 });
    }
    store.close();
    const database = openDatabase();
    const numbers = (table: string): unknown[] =>
      database
        .prepare(`SELECT revision FROM ${table} ORDER BY revision`)
        .all()
        .map(({ revision }) => revision);
    const kept = [first, ...Array.from({ length: revisionsKept }, (_, index) => first + 4 + index)];
    expect({ revisions: numbers('revision'), documents: numbers('document') }).toEqual({ revisions: kept, documents: kept });
    database.close();
  });

  it('forget the outcome of a transaction after its time', () => {
    const store = open();
    keep(store, 'a', 2_000);
    keep(store, 'b', 2_001 + outcomeLifeMs);
    expect([store.outcome('t-a', 0), store.outcome('t-b', 0)?.revision]).toEqual([undefined, 2]);
  });
});
