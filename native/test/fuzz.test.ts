import { expect, it } from 'vitest';
import { fuzz, fuzzObstacle } from './fuzz/fuzz.ts';

const seconds = 20;
const obstacle = fuzzObstacle();
if (obstacle !== undefined) console.log(`SKIP native/test/fuzz: ${obstacle}`);

it.skipIf(obstacle !== undefined)(
  'the verdict reads nothing outside a hostile packet or image, and does nothing undefined',
  () => {
    const { isClean, runs, output } = fuzz(seconds);
    expect(isClean, output).toBe(true);
    expect(runs, output).toBeGreaterThan(1000);
  },
  // A build with sanitizers on a busy machine, and the run.
  300_000,
);
