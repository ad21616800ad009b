/** Counts wrong passphrases on disk: after five, a pause of 15 minutes that a restart does not end. */
import { readFile, rm } from 'node:fs/promises';
import { z } from 'zod';
import { NestError } from '../../../proto/model/error.ts';
import type { Clock } from '../../lib/api.ts';
import { writePrivateFile } from './vault-file.ts';

export const wrongPassphrasesMax = 5;
export const pauseMs = 15 * 60_000;

const schema = z.strictObject({ failures: z.int().min(0), pausedUntil: z.number() });

export interface AttemptGuard {
  /** Counts an attempt before it is made, so that ending the process does not save it. Raises LIMIT_REACHED during the pause. Returns how many are left after this one. */
  begin(): Promise<number>;
  succeed(): Promise<void>;
}

/** A guard that remembers in the file `path`. */
export const createAttemptGuard = (path: string, clock: Clock): AttemptGuard => {
  const read = async (): Promise<z.output<typeof schema>> => {
    try {
      return schema.parse(JSON.parse(await readFile(path, 'utf8')));
    } catch {
      // No file yet, or one that somebody damaged: counting starts again.
      return { failures: 0, pausedUntil: 0 };
    }
  };
  return {
    begin: async () => {
      const now = clock.now();
      const before = await read();
      // A clock set back must not make the pause longer than it is meant to be.
      const leftMs = Math.min(before.pausedUntil - now, pauseMs);
      if (leftMs > 0) {
        const minutes = Math.ceil(leftMs / 60_000);
        throw new NestError(
          'LIMIT_REACHED',
          `Too many wrong passphrases. Try again in ${String(minutes)} ${minutes === 1 ? 'minute' : 'minutes'}.`,
          { details: { retryAt: now + leftMs } },
        );
      }
      const failures = (before.pausedUntil > 0 ? 0 : before.failures) + 1;
      await writePrivateFile(path, JSON.stringify({ failures, pausedUntil: failures >= wrongPassphrasesMax ? now + pauseMs : 0 }));
      return wrongPassphrasesMax - failures;
    },
    succeed: async () => {
      await rm(path, { force: true });
    },
  };
};
