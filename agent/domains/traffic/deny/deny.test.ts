import { mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync, mkdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { parsePolicy } from '../../../engine/api.ts';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readDenyFile, stampOfDenyFile } from './deny-files.ts';
import { createDenyCopies, denyCopiesMax } from './deny-copies.ts';
import { createDenySources } from './deny-sources.ts';
import type { DenyContent, DenySources } from './deny-sources.ts';
import { silentLogger } from '../../../lib/log.ts';
import { denyListMigration, hostListsMax, openHostDenyLists } from './host-deny-lists.ts';
import type { DenyListUpdate, HostDenyLists } from './host-deny-lists.ts';

const nowMs = Date.UTC(2026, 0, 1);
const openLists = (): { readonly lists: HostDenyLists; readonly again: () => HostDenyLists; readonly database: DatabaseSync } => {
  const database = new DatabaseSync(':memory:');
  database.exec(denyListMigration);
  return { lists: openHostDenyLists(database), again: () => openHostDenyLists(database), database };
};
const change = (update: Partial<DenyListUpdate>): DenyListUpdate => ({
  name: 'scanners',
  add: [],
  remove: [],
  expiresAtMs: null,
  delete: false,
  ...update,
});

describe('deny lists of the host', () => {
  it('are made by the first prefix, canonical and without repetition, and survive', () => {
    const { lists, again } = openLists();
    const effect = lists.update(change({ add: ['198.18.4.7/32', '198.18.4.7', '2001:DB8:0::/48'] }), nowMs);
    expect(effect).toEqual({ added: ['198.18.4.7', '2001:db8::/48'], removed: [], prefixes: 2 });
    expect(again().list('scanners')).toEqual({ prefixes: ['198.18.4.7', '2001:db8::/48'], expiresAtMs: null });
    expect(again().names()).toEqual(['scanners']);
  });

  it('say only what has changed', () => {
    const { lists } = openLists();
    lists.update(change({ add: ['198.18.4.7', '198.18.5.0/24'] }), nowMs);
    const effect = lists.update(change({ add: ['198.18.4.7', '198.18.6.1'], remove: ['198.18.5.0/24', '198.18.9.9'] }), nowMs);
    expect(effect).toEqual({ added: ['198.18.6.1'], removed: ['198.18.5.0/24'], prefixes: 2 });
    expect(lists.update(change({ delete: true }), nowMs)).toEqual({ added: [], removed: ['198.18.4.7', '198.18.6.1'], prefixes: 0 });
    expect(lists.names()).toEqual([]);
  });

  it('let a prefix go at its time, and tell the next such time', () => {
    const { lists, again } = openLists();
    lists.update(change({ add: ['198.18.4.7'], expiresAtMs: nowMs + 5000 }), nowMs);
    lists.update(change({ add: ['198.18.4.8'] }), nowMs);
    lists.update(change({ name: 'other', add: ['2001:db8::1'], expiresAtMs: nowMs + 9000 }), nowMs);
    expect(lists.nextExpiryMs()).toBe(nowMs + 5000);
    expect(lists.expire(nowMs + 4999).size).toBe(0);
    expect(lists.expire(nowMs + 5000)).toEqual(new Map([['scanners', ['198.18.4.7']]]));
    expect(lists.nextExpiryMs()).toBe(nowMs + 9000);
    expect(lists.expire(nowMs + 9000)).toEqual(new Map([['other', ['2001:db8::1']]]));
    expect(again().names()).toEqual(['scanners']);
    expect(lists.nextExpiryMs()).toBeNull();
  });

  it.each([
    ['an address that is none', change({ add: ['198.18.4.256'] }), 'is not an address or CIDR'],
    ['host bits', change({ add: ['198.18.4.7/24'] }), 'Write 198.18.4.0/24'],
    ['an expiry in the past', change({ add: ['198.18.4.7'], expiresAtMs: nowMs }), 'lies in the past'],
    ['removing from an unknown list', change({ remove: ['198.18.4.7'] }), 'keeps no deny list "scanners"'],
    ['deleting an unknown list', change({ delete: true }), 'keeps no deny list "scanners"'],
  ])('refuse %s and stay as they are', (_what, update, message) => {
    const { lists, again } = openLists();
    expect(() => lists.update(update, nowMs)).toThrow(message);
    expect(again().names()).toEqual([]);
  });

  it('are bounded in number', () => {
    const { lists } = openLists();
    for (let index = 0; index < hostListsMax; index++) lists.update(change({ name: `list-${index}`, add: ['198.18.4.7'] }), nowMs);
    expect(() => lists.update(change({ name: 'one-more', add: ['198.18.4.7'] }), nowMs)).toThrow('Delete one');
  });

  it('change nothing when the disk fails', () => {
    const { lists, database } = openLists();
    lists.update(change({ add: ['198.18.4.7'] }), nowMs);
    database.exec('DROP TABLE deny_prefix');
    expect(() => lists.update(change({ add: ['198.18.4.8'] }), nowMs)).toThrow();
    expect(lists.list('scanners').prefixes).toEqual(['198.18.4.7']);
  });
});

describe('a deny-list file', () => {
  let folder = '';
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'nest-deny-'));
    mkdirSync(join(folder, 'lists/sub'), { recursive: true });
    writeFileSync(join(folder, 'lists/good.txt'), '198.18.4.7\n');
    writeFileSync(join(folder, 'secret.txt'), 'not yours\n');
    symlinkSync('../secret.txt', join(folder, 'lists/link.txt'));
    symlinkSync('good.txt', join(folder, 'lists/inner.txt'));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  it('is read from the directory, also through a link inside it', async () => {
    expect(await readDenyFile(join(folder, 'lists'), 'good.txt')).toMatchObject({ text: '198.18.4.7\n', problem: null });
    expect(await readDenyFile(join(folder, 'lists'), 'inner.txt')).toMatchObject({ text: '198.18.4.7\n', problem: null });
  });

  it('has another stamp when it changed', async () => {
    const before = await readDenyFile(join(folder, 'lists'), 'good.txt');
    writeFileSync(join(folder, 'lists/good.txt'), '198.18.4.7\n198.18.4.8\n');
    expect((await readDenyFile(join(folder, 'lists'), 'good.txt')).stamp).not.toBe(before.stamp);
  });

  it('keeps its stamp while it does not change', async () => {
    const directory = join(folder, 'lists');
    expect(await stampOfDenyFile(directory, 'good.txt')).toBe((await readDenyFile(directory, 'good.txt')).stamp);
    expect(await stampOfDenyFile(directory, 'missing.txt')).toBe((await readDenyFile(directory, 'missing.txt')).stamp);
  });

  it.each([
    ['../secret.txt', 'leads out of'],
    ['/etc/hostname', 'leads out of'],
    ['sub/../../secret.txt', 'leads out of'],
    ['link.txt', 'is a link that leads out of'],
    ['missing.txt', 'There is no file missing.txt'],
    ['sub', 'is a directory'],
    ['', 'leads out of'],
  ])('%j is not read and says why', async (name, problem) => {
    const file = await readDenyFile(join(folder, 'lists'), name);
    expect(file.text).toBeNull();
    expect(file.problem).toContain(problem);
  });
});

describe('sources of deny lists', () => {
  let folder = '';
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'nest-deny-'));
    writeFileSync(join(folder, 'scanners.txt'), '198.18.4.7\n');
  });
  afterAll(() => rmSync(folder, { recursive: true }));
  const policy = parsePolicy({
    apiVersion: 'nest/v1',
    kind: 'Policy',
    defaultAction: 'allow',
    services: [],
    mappings: [],
    denyLists: [
      { name: 'from-file', file: 'scanners.txt' },
      { name: 'gone', file: 'gone.txt' },
      { name: 'for-a-while', prefixes: ['198.18.9.0/24'], expires: '2026-01-01T00:01:00Z' },
    ],
  });

  const sourcesOf = (lists: HostDenyLists, now = () => nowMs): DenySources =>
    createDenySources({
      directory: folder,
      copies: createDenyCopies({ directory: join(folder, 'copies'), log: silentLogger }),
      lists,
      nowMs: now,
    });
  const gather = async (sources: DenySources, wanted = policy): Promise<DenyContent> =>
    (await sources.load(wanted, () => 'compiled')).content;

  it('are the document, the files and the host, and say what is missing', async () => {
    const { lists } = openLists();
    lists.update(change({ add: ['198.18.5.5'] }), nowMs);
    const sources = sourcesOf(lists);
    const content = await gather(sources);
    expect(content.policy.denyLists.map(({ name }) => name)).toEqual(['from-file', 'gone', 'for-a-while', 'host/scanners']);
    expect(content.options.denyFiles).toEqual(
      new Map([
        ['scanners.txt', '198.18.4.7\n'],
        ['gone.txt', ''],
      ]),
    );
    expect([...content.problems.keys()]).toEqual(['gone']);
    expect(content.isPlain).toBe(false);
    expect([...(await sources.preview(policy)).options.denyFiles.keys()]).toEqual(['scanners.txt']);
  });

  it('are stale when a file changed, a list expired, or the host says so', async () => {
    const { lists } = openLists();
    let now = nowMs;
    const sources = sourcesOf(lists, () => now);
    expect(await sources.isStale()).toBe(false);
    await gather(sources);
    expect(await sources.isStale()).toBe(false);
    writeFileSync(join(folder, 'gone.txt'), '198.18.7.7\n');
    expect(await sources.isStale()).toBe(true);
    await gather(sources);
    expect(await sources.isStale()).toBe(false);
    now = nowMs + 60_000;
    expect(await sources.isStale()).toBe(true);
    await gather(sources);
    expect(await sources.isStale()).toBe(false);
    sources.touch();
    expect(await sources.isStale()).toBe(true);
  });

  it('leave a policy without files, expiry and host lists as it is', async () => {
    const { lists } = openLists();
    const plain = parsePolicy({ ...policy, denyLists: [{ name: 'inline', prefixes: ['198.18.9.0/24'] }] });
    const content = await gather(sourcesOf(lists), plain);
    expect(content.isPlain).toBe(true);
  });
});

describe('copies of deny-list files', () => {
  let folder = '';
  beforeAll(() => void (folder = mkdtempSync(join(tmpdir(), 'nest-deny-'))));
  afterAll(() => rmSync(folder, { recursive: true }));
  const copy = { text: '\ufeff198.18.4.7\n', readAtMs: nowMs };

  it('come back as they were, after a restart too', async () => {
    const directory = join(folder, 'plain');
    await createDenyCopies({ directory, log: silentLogger }).put('sub/feed.txt', copy, new Set(['sub/feed.txt']));
    const again = createDenyCopies({ directory, log: silentLogger });
    expect(await again.get('sub/feed.txt')).toEqual(copy);
    expect(await again.get('other.txt')).toBeNull();
  });

  it('are bounded: those that nothing uses go, the others stay', async () => {
    const directory = join(folder, 'bounded');
    const copies = createDenyCopies({ directory, log: silentLogger });
    const used = new Set(['first.txt', 'last.txt']);
    await copies.put('first.txt', copy, used);
    for (let index = 0; index < denyCopiesMax; index++) writeFileSync(join(directory, `${String(index)}.txt`), '');
    await copies.put('last.txt', copy, used);
    expect(readdirSync(directory)).toHaveLength(denyCopiesMax);
    expect(await copies.get('first.txt')).toEqual(copy);
    expect(await copies.get('last.txt')).toEqual(copy);
  });

  it('that the disk refuses are held in memory', async () => {
    const directory = join(folder, 'refused');
    writeFileSync(directory, 'a file in its place');
    const copies = createDenyCopies({ directory, log: silentLogger });
    await copies.put('feed.txt', copy, new Set(['feed.txt']));
    expect(await copies.get('feed.txt')).toEqual(copy);
  });
});
