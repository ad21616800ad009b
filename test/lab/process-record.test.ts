import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { endProcesses, isAlive, recordOf } from './process-record.ts';

describe.runIf(process.platform === 'linux')('a recorded process', () => {
  it('is alive until it is ended, and ending it twice is no error', async () => {
    const child = spawn('sleep', ['60'], { stdio: 'ignore' });
    const record = recordOf('sleeper', child.pid ?? 0);
    expect(isAlive(record)).toBe(true);
    expect(await endProcesses([record])).toEqual([]);
    expect(isAlive(record)).toBe(false);
    expect(await endProcesses([record])).toEqual([]);
  });

  it('is killed when it does not obey in time, and that is said', async () => {
    const child = spawn('sh', ['-c', "trap '' TERM; echo ready; while :; do sleep 1; done"], { stdio: ['ignore', 'pipe', 'ignore'] });
    await once(child.stdout, 'data');
    const record = recordOf('deaf', child.pid ?? 0);
    expect(await endProcesses([record], 50)).toEqual([record]);
    expect(isAlive(record)).toBe(false);
  });

  it('is not mistaken for a later one of the same number', () => {
    const mine = recordOf('this process', process.pid);
    expect(isAlive(mine)).toBe(true);
    expect(isAlive({ ...mine, startTime: '1' })).toBe(false);
  });

  it('is refused when it has ended already', () => {
    expect(() => recordOf('nobody', 2 ** 22 + 1)).toThrow(/ended before it could be recorded/);
  });
});
