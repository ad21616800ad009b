import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { inTransaction, openStateDatabase } from './state-database.ts';

const migrations = ['CREATE TABLE entry (name TEXT PRIMARY KEY) STRICT'];
let directory = '';

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'nest-state-'));
});

afterEach(() => rmSync(directory, { recursive: true, force: true }));

const open = (sql: readonly string[] = migrations) => openStateDatabase({ path: join(directory, 'state.sqlite'), migrations: sql });

const names = (database: ReturnType<typeof open>['database']): unknown[] =>
  database
    .prepare('SELECT name FROM entry ORDER BY name')
    .all()
    .map((row) => row['name']);

describe('openStateDatabase', () => {
  it('keeps what was committed and applies new migrations once', () => {
    const first = open();
    first.database.exec("INSERT INTO entry VALUES ('a')");
    first.database.close();
    const second = open([...migrations, "INSERT INTO entry VALUES ('migrated')"]);
    second.database.close();
    const third = open([...migrations, "INSERT INTO entry VALUES ('migrated')"]);
    expect({ movedAside: third.movedAside, names: names(third.database) }).toEqual({ movedAside: null, names: ['a', 'migrated'] });
    third.database.close();
  });

  it('moves a file that is not a database aside, whole, and begins anew', () => {
    const garbage = 'garbage '.repeat(1000);
    writeFileSync(join(directory, 'state.sqlite'), garbage);
    const { database, movedAside } = open();
    expect(names(database)).toEqual([]);
    expect(readFileSync(movedAside ?? '', 'utf8')).toBe(garbage);
    database.close();
  });

  it('moves a file with a damaged page aside', () => {
    const { database } = open();
    for (let index = 0; index < 2000; index++) database.exec(`INSERT INTO entry VALUES ('${String(index).padStart(60, 'x')}')`);
    database.close();
    const path = join(directory, 'state.sqlite');
    const bytes = readFileSync(path);
    bytes.fill(0xee, 4096, 8192);
    writeFileSync(path, bytes);
    const again = open();
    expect({ aside: again.movedAside !== null, names: names(again.database) }).toEqual({ aside: true, names: [] });
    again.database.close();
  });

  it('refuses a file of a newer version and leaves it where it is', () => {
    const { database } = open([...migrations, 'CREATE TABLE later (x INTEGER) STRICT']);
    database.close();
    expect(() => open()).toThrow(expect.objectContaining({ code: 'STATE_FAILED' }));
    expect(readdirSync(directory).filter((name) => name.includes('damaged'))).toEqual([]);
  });

  it('raises STATE_FAILED when the directory is missing', () => {
    expect(() => openStateDatabase({ path: join(directory, 'none', 'state.sqlite'), migrations })).toThrow(
      expect.objectContaining({ code: 'STATE_FAILED' }),
    );
  });
});

describe('inTransaction', () => {
  it('leaves nothing behind when the work throws, and passes the error on', () => {
    const { database } = open();
    const failure = new Error('no');
    const work = (): never => {
      database.exec("INSERT INTO entry VALUES ('a')");
      throw failure;
    };
    expect(() => inTransaction(database, work)).toThrow(failure);
    expect(names(database)).toEqual([]);
    database.close();
  });

  it('translates a failure of SQLite', () => {
    const { database } = open();
    const twice = (): void => database.exec("INSERT INTO entry VALUES ('a'), ('a')");
    expect(() => inTransaction(database, twice)).toThrow(expect.objectContaining({ code: 'STATE_FAILED' }));
    database.close();
  });
});
