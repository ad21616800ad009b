import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { NestError } from '../../../proto/model/error.ts';
import { createManualClock } from '../../lib/manual-clock.ts';
import { withDocumentBuffer } from './document-buffer.ts';
import type { FleetCache } from './fleet-cache.ts';
import { openFleetCache } from './sqlite-fleet-cache.ts';

const record = { hostId: 'A', name: 'a', address: '192.0.2.1', port: 1, labels: [], spkiSha256: '', certificateEndsAt: 0, enrolledAt: 0 };
let folder: string;
let disk: FleetCache;
let writes: number;
let reports: string[];
let clock: ReturnType<typeof createManualClock>;
let cache: FleetCache;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'nest-buffer-'));
  const opened = openFleetCache(join(folder, 'fleet.sqlite'), 0).cache;
  writes = 0;
  reports = [];
  disk = {
    ...opened,
    putDocuments: (documents) => {
      writes += 1;
      opened.putDocuments(documents);
    },
  };
  clock = createManualClock();
  cache = withDocumentBuffer(disk, { clock, report: (message) => reports.push(message) });
  cache.putHost(record);
});
afterEach(() => {
  cache.close();
  rmSync(folder, { recursive: true });
});

const put = (at: number, content: unknown): void => cache.putDocuments([{ hostId: 'A', kind: 'sample', at, content }]);

it('answers what was put last at once and writes it once, later', async () => {
  put(1, { cpu: 1 });
  put(2, { cpu: 2 });
  expect(cache.document('A', 'sample')).toEqual({ at: 2, content: { cpu: 2 } });
  expect([disk.document('A', 'sample'), writes]).toEqual([null, 0]);
  await clock.advance(250);
  expect([disk.document('A', 'sample'), writes]).toEqual([{ at: 2, content: { cpu: 2 } }, 1]);
});

it('writes the rest when it is closed, and nothing of a host that was removed', () => {
  cache.putHost({ ...record, hostId: 'B' });
  put(1, 'kept');
  cache.putDocuments([{ hostId: 'B', kind: 'sample', at: 1, content: 'gone' }]);
  cache.removeHost('B');
  expect(cache.document('B', 'sample')).toBeNull();
  cache.close();
  const again = openFleetCache(join(folder, 'fleet.sqlite'), 0).cache;
  expect([again.document('A', 'sample')?.content, again.document('B', 'sample')]).toEqual(['kept', null]);
  again.close();
});

it('does not grow without end and says when the disk refuses', async () => {
  for (let host = 0; host < 600; host += 1) cache.putDocuments([{ hostId: `H${host}`, kind: 'sample', at: 1, content: host }]);
  expect(writes).toBe(1);
  const refused = withDocumentBuffer(
    {
      ...disk,
      putDocuments: () => {
        throw new NestError('STATE_FAILED', 'The disk is full.');
      },
    },
    { clock, report: (message) => reports.push(message) },
  );
  refused.putDocuments([{ hostId: 'A', kind: 'sample', at: 1, content: 1 }]);
  await clock.advance(250);
  expect(reports).toEqual(['what hosts said last could not be stored']);
});
