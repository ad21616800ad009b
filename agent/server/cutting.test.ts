import { describe, expect, it } from 'vitest';
import { createManualClock } from '../lib/manual-clock.ts';
import type { Connection } from './connections.ts';
import { createCutting } from './cutting.ts';

const setUp = () => {
  const clock = createManualClock();
  const destroyed: string[] = [];
  const connectionOf = (name: string): Connection => ({ socket: { destroy: () => destroyed.push(name) } }) as unknown as Connection;
  const busy = new Set<Connection>();
  const cutting = createCutting(clock, (connection) => busy.has(connection));
  return { clock, destroyed, connectionOf, busy, cutting };
};

describe('cutting connections', () => {
  it('ends a connection a moment after its last call was told why, and an idle one a moment after the cut', () => {
    const { clock, destroyed, connectionOf, busy, cutting } = setUp();
    const [idle, talking] = [connectionOf('idle'), connectionOf('talking')];
    busy.add(talking);
    cutting.cut(idle);
    cutting.cut(talking);
    clock.advance(300);
    expect(destroyed).toEqual(['idle']);
    cutting.told(talking);
    busy.delete(talking);
    cutting.told(talking);
    clock.advance(150);
    expect(destroyed).toEqual(['idle']);
    clock.advance(1_000);
    expect(destroyed).toEqual(['idle', 'talking']);
  });

  it('waits for no call longer than its time, and forgets what is over', () => {
    const { clock, destroyed, connectionOf, busy, cutting } = setUp();
    const stuck = connectionOf('stuck');
    busy.add(stuck);
    cutting.cut(stuck);
    cutting.cut(stuck);
    clock.advance(699);
    expect(destroyed).toEqual([]);
    clock.advance(1);
    expect(destroyed).toEqual(['stuck']);
    cutting.told(connectionOf('other'));
    clock.advance(1_000);
    expect(destroyed).toEqual(['stuck']);
  });
});
