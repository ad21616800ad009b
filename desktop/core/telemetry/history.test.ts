import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { History } from './history.ts';

it('has the last points in the order in which they came, however many there were', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.integer(), fc.integer()), { maxLength: 120 }),
      fc.integer({ min: 1, max: 50 }),
      (points, pointsMax) => {
        const history = new History(2, pointsMax);
        for (const point of points) history.push(...point);
        expect(history.map((value) => [value(0), value(1)])).toEqual(points.slice(-pointsMax));
      },
    ),
    { numRuns: 300 },
  );
});
