import { mkdtempSync, openSync, readdirSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { FleetCache, HostRecord } from './fleet-cache.ts';
import { openFleetCache } from './sqlite-fleet-cache.ts';

let folder: string;
let path: string;
let opened: FleetCache[];

const open = (): ReturnType<typeof openFleetCache> => {
  const result = openFleetCache(path, 1);
  opened.push(result.cache);
  return result;
};
const host = (index: number): HostRecord => ({
  hostId: `H${String(index).padStart(25, '0')}`,
  name: `edge-${String(index)}`,
  address: '198.18.240.6',
  port: 50051,
  labels: ['lab'],
  spkiSha256: 'ab',
  certificateEndsAt: 2,
  enrolledAt: 1,
});

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'nest-cache-'));
  path = join(folder, 'data', 'fleet.sqlite');
  opened = [];
});
afterEach(() => {
  for (const cache of opened) cache.close();
  rmSync(folder, { recursive: true });
});

describe('the fleet cache', () => {
  it('gives back hosts, documents, values and rollouts after it was closed', () => {
    const { cache, problem } = open();
    expect(problem).toBeNull();
    cache.putHost(host(1));
    cache.putHost({ ...host(1), name: 'north' });
    cache.putDocuments([
      { hostId: host(1).hostId, kind: 'sample', at: 5, content: { flows: 7 } },
      { hostId: 'unknown', kind: 'sample', at: 5, content: {} },
    ]);
    cache.putValue('draft', { policy: 'x' });
    cache.putRollout('r1', 1, { id: 'r1' });
    cache.putRollout('r2', 2, { id: 'r2' });
    cache.close();
    const again = open().cache;
    expect({
      hosts: again.hosts(),
      sample: again.document(host(1).hostId, 'sample'),
      foreign: again.document('unknown', 'sample'),
      draft: again.value('draft'),
      rollouts: again.rollouts(10),
    }).toEqual({
      hosts: [{ ...host(1), name: 'north' }],
      sample: { at: 5, content: { flows: 7 } },
      foreign: null,
      draft: { policy: 'x' },
      rollouts: [{ id: 'r2' }, { id: 'r1' }],
    });
  });

  it('forgets the documents of a removed host and a dropped value', () => {
    const { cache } = open();
    cache.putHost(host(1));
    cache.putDocuments([{ hostId: host(1).hostId, kind: 'flows', at: 1, content: [] }]);
    cache.removeHost(host(1).hostId);
    cache.putValue('draft', 1);
    cache.dropValue('draft');
    expect([cache.hosts(), cache.document(host(1).hostId, 'flows'), cache.value('draft')]).toEqual([[], null, null]);
  });

  it('sees that another process wrote, once, and not its own writes', () => {
    const one = open().cache;
    const two = open().cache;
    one.putValue('a', 1);
    expect(one.isChangedElsewhere()).toBe(false);
    expect([two.isChangedElsewhere(), two.isChangedElsewhere()]).toEqual([true, false]);
  });

  it('moves a damaged file aside and takes over the hosts it can still read', () => {
    const { cache } = open();
    for (let index = 0; index < 40; index += 1) cache.putHost(host(index));
    for (let index = 0; index < 40; index += 1)
      cache.putDocuments([{ hostId: host(index).hostId, kind: 'flows', at: 1, content: 'x'.repeat(20_000) }]);
    cache.close();
    const file = openSync(path, 'r+');
    const { size } = new DatabaseSync(path)
      .prepare('SELECT page_count * page_size AS size FROM pragma_page_count(), pragma_page_size()')
      .get() as { size: number };
    writeSync(file, Buffer.alloc(8_192, 0xa5), 0, 8_192, Math.floor(size / 2 / 4_096) * 4_096);
    const { cache: fresh, problem } = open();
    expect(problem).toContain('40 hosts could be taken over');
    expect(fresh.hosts()).toHaveLength(40);
    expect(readdirSync(join(folder, 'data')).some((name) => name.includes('.damaged-1'))).toBe(true);
  });

  it('begins anew over a file that is no database', () => {
    open().cache.close();
    writeFileSync(path, 'not a database at all, and long enough to be read as a header of one');
    const { cache, problem } = open();
    expect(problem).toContain('0 hosts');
    expect(cache.hosts()).toEqual([]);
  });

  it('refuses a file of a newer console and a folder it cannot make', () => {
    open().cache.close();
    const database = new DatabaseSync(path);
    database.exec('PRAGMA user_version = 99');
    database.close();
    expect(() => open()).toThrow(expect.objectContaining({ code: 'STATE_FAILED', details: { version: 99, known: 2 } }));
    expect(() => openFleetCache(join(path, 'below-a-file', 'fleet.sqlite'), 1)).toThrow(expect.objectContaining({ code: 'STATE_FAILED' }));
  });
});
