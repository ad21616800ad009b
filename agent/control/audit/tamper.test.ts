/** Whoever may write the files may change them: every change of what was signed for is found, and the first entry it touches is named. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { auditNumberOf } from '../../../proto/model/audit.ts';
import { frameHeadBytes, framesOf, framesStart, listSegments, segmentMagic } from './segment.ts';
import { openTestLog, testFact } from './test-log.ts';
import { verifyLog } from './verify-log.ts';

const entryCount = 120;

interface Place {
  readonly path: string;
  readonly start: number;
  readonly end: number;
}

let home = '';
let sound = '';
/** Where each entry's frame lies, by number - 1. */
let places: readonly Place[] = [];
/** First entries by file. */
let firsts: ReadonlyMap<string, number>;

beforeAll(async () => {
  home = mkdtempSync(join(tmpdir(), 'nest-tamper-'));
  sound = join(home, 'sound', 'audit');
  const log = await openTestLog(join(home, 'sound'), { segmentBytesMax: 6000 });
  for (let index = 0; index < entryCount; index++) await log.append(testFact(index, { count: 1 + (index % 3) }), { durable: true });
  await log.close();
  const segments = await listSegments(sound);
  firsts = new Map(segments.map(({ path, first }) => [path, first]));
  places = segments.flatMap(({ path }) => {
    const content = readFileSync(path);
    let start = framesStart(content) ?? 0;
    return [...framesOf(content, start)].map((body) => {
      const place = { path, start, end: start + frameHeadBytes + body.length };
      start = place.end;
      return place;
    });
  });
  expect([places.length, segments.length > 3, (await verifyLog(sound)).problem]).toEqual([entryCount, true, null]);
});
afterAll(() => rmSync(home, { recursive: true }));

/** Verifies a copy of the log after `change` has had its files. */
const verdictAfter = async (change: (pathOf: (path: string) => string) => void): Promise<number | null> => {
  const copy = mkdtempSync(join(home, 'copy-'));
  cpSync(sound, copy, { recursive: true });
  change((path) => join(copy, path.slice(sound.length + 1)));
  const { problem } = await verifyLog(copy);
  rmSync(copy, { recursive: true });
  return problem?.number ?? null;
};
const placeOf = (number: number): Place => places[number - 1] ?? { path: '', start: 0, end: 0 };
const bytesOf = (number: number): Buffer => {
  const { path, start, end } = placeOf(number);
  return readFileSync(path).subarray(start, end);
};

const runs = { numRuns: 150, verbose: 1 } as const;
const number = fc.integer({ min: 1, max: entryCount });

describe('a log that somebody changed', () => {
  it('names the entry of any flipped bit', async () => {
    const property = fc.asyncProperty(number, fc.nat(1 << 20), async (touched, bit) => {
      const { path, start, end } = placeOf(touched);
      const found = await verdictAfter((pathOf) => {
        const content = readFileSync(path);
        const at = start + ((bit >> 3) % (end - start));
        content[at] = (content[at] ?? 0) ^ (1 << (bit & 7));
        writeFileSync(pathOf(path), content);
      });
      expect(found).toBe(touched);
    });
    await fc.assert(property, runs);
  });

  it('finds every flipped bit of the first bytes of a file and of the signed heads', async () => {
    for (const [path, first] of firsts)
      for (let bit = 0; bit < segmentMagic.length * 8; bit += 7) {
        const found = await verdictAfter((pathOf) => flip(path, pathOf(path), bit));
        expect(found).toBe(first);
      }
    const heads = join(sound, 'heads.log');
    const bits = readFileSync(heads).length * 8;
    for (let bit = 0; bit < bits; bit += 61) expect(await verdictAfter((pathOf) => flip(heads, pathOf(heads), bit))).not.toBeNull();
  });

  it('names a removed entry', async () => {
    const property = fc.asyncProperty(number, async (removed) => {
      const { path, start, end } = placeOf(removed);
      const found = await verdictAfter((pathOf) => {
        const content = readFileSync(path);
        writeFileSync(pathOf(path), Buffer.concat([content.subarray(0, start), content.subarray(end)]));
      });
      expect(found).toBe(removed);
    });
    await fc.assert(property, runs);
  });

  it('names the first of two entries that changed places', async () => {
    const property = fc.asyncProperty(number, number, async (one, other) => {
      fc.pre(one !== other);
      const [low, high] = one < other ? [one, other] : [other, one];
      const found = await verdictAfter((pathOf) => {
        replace(pathOf, high, bytesOf(low));
        replace(pathOf, low, bytesOf(high));
      });
      expect(found).toBe(low);
    });
    await fc.assert(property, runs);
  });

  it('names the first entry behind a cut past a signed head, also when whole files are gone', async () => {
    const property = fc.asyncProperty(fc.integer({ min: 1, max: entryCount - 1 }), async (kept) => {
      const { path, end } = placeOf(kept);
      const found = await verdictAfter((pathOf) => {
        writeFileSync(pathOf(path), readFileSync(path).subarray(0, end));
        for (const [other, first] of firsts) if (first > kept) rmSync(pathOf(other));
      });
      expect(found).toBe(kept + 1);
    });
    await fc.assert(property, runs);
  });

  it('names a file that was taken out of the middle, and a beginning that nobody retired', async () => {
    const [first, second, third] = [...firsts];
    expect(await verdictAfter((pathOf) => rmSync(pathOf(second?.[0] ?? '')))).toBe(second?.[1]);
    expect(await verdictAfter((pathOf) => rmSync(pathOf(first?.[0] ?? '')))).toBe((second?.[1] ?? 0) - 1);
    expect(third?.[1]).toBeGreaterThan(2);
  });

  it('finds a log that was written anew from some entry on: its head was signed for another', async () => {
    const other = join(home, 'other');
    const log = await openTestLog(other, { segmentBytesMax: 6000 });
    for (let index = 0; index < entryCount; index++) await log.append(testFact(index, { count: 1 + (index % 3) }), { durable: true });
    await log.close();
    const copy = mkdtempSync(join(home, 'copy-'));
    cpSync(sound, copy, { recursive: true });
    for (const { path } of await listSegments(join(other, 'audit'))) cpSync(path, join(copy, path.slice(other.length + '/audit/'.length)));
    const { problem } = await verifyLog(copy);
    expect(problem).toMatchObject({ number: entryCount, message: expect.stringContaining('not what was signed for') });
    expect(auditNumberOf(bytesOf(7).subarray(frameHeadBytes))).toBe(7);
  });
});

const flip = (from: string, to: string, bit: number): void => {
  const content = readFileSync(from);
  content[bit >> 3] = (content[bit >> 3] ?? 0) ^ (1 << (bit & 7));
  writeFileSync(to, content);
};

/** Puts a frame in the place of an entry, from the copy as it is. */
const replace = (pathOf: (path: string) => string, at: number, frame: Buffer): void => {
  const { path, start, end } = placeOf(at);
  const content = readFileSync(pathOf(path));
  writeFileSync(pathOf(path), Buffer.concat([content.subarray(0, start), frame, content.subarray(end)]));
};
