import { setImmediate } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { createRecordQueue, recordsWaitingMax, rowsPerTurn } from './record-queue.ts';

const batchOf = (count: number) => ({ rows: Buffer.alloc(0), count });

const collecting = () => {
  const seen: string[] = [];
  let turns = 0;
  const queue = createRecordQueue<string>({
    visit: (_batch, position, context) => void seen.push(`${context}${position}`),
    giveWay: async () => {
      turns++;
      await setImmediate();
    },
  });
  return { queue, seen, turns: () => turns };
};

describe('the queue of records', () => {
  it('looks at nothing at once, then at everything in order, a few rows a turn', async () => {
    const { queue, seen, turns } = collecting();
    queue.push(batchOf(rowsPerTurn * 2 + 1), 'a');
    queue.push(batchOf(0), 'b');
    queue.push(batchOf(2), 'c');
    expect(seen).toEqual([]);
    await queue.settled();
    expect(seen).toEqual([...Array.from({ length: rowsPerTurn * 2 + 1 }, (_, position) => `a${position}`), 'c0', 'c1']);
    expect(turns()).toBeGreaterThanOrEqual(4);
    queue.push(batchOf(1), 'd');
    await queue.settled();
    expect(seen.at(-1)).toBe('d0');
  });

  it('drops a batch that does not fit, whole, and takes the next that does', async () => {
    const { queue, seen } = collecting();
    queue.push(batchOf(recordsWaitingMax - 1), 'a');
    queue.push(batchOf(2), 'b');
    queue.push(batchOf(1), 'c');
    expect(queue.dropped).toBe(2);
    await queue.settled();
    expect([seen.length, seen.at(-1)]).toEqual([recordsWaitingMax, 'c0']);
  });

  it('drops and counts what waits when it is stopped', async () => {
    const { queue, seen } = collecting();
    queue.push(batchOf(rowsPerTurn * 50), 'a');
    await setImmediate();
    await setImmediate();
    queue.stop();
    await queue.settled();
    expect(seen.length + queue.dropped).toBe(rowsPerTurn * 50);
    expect(queue.dropped).toBeGreaterThan(0);
  });
});
