/** A port for a server that is started later: below those which the system gives to others in the meantime. */
import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';

const lowest = 20_000;
/** Linux gives ports from 32768 on to whoever asks for any. */
const highest = 32_000;
const triesMax = 100;
const given = new Set<number>();

/** Nobody listens there now, and no other test of this process was given it. Raises when none was found. */
export const freePort = async (): Promise<number> => {
  for (let tries = 0; tries < triesMax; tries += 1) {
    const port = randomInt(lowest, highest);
    if (given.has(port) || !(await isFree(port))) continue;
    given.add(port);
    return port;
  }
  throw new Error(`no free port between ${String(lowest)} and ${String(highest)}`);
};

const isFree = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const probe = createServer().once('error', () => resolve(false));
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)));
  });
