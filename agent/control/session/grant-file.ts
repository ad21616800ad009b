/** Break-glass grants that were used here, on disk until they end: a restart neither ends one nor lets another device use it. */
import { join } from 'node:path';
import { z } from 'zod';
import { NestError } from '../../../proto/model/error.ts';
import { readTextIfPresent, writeFileAtomic } from '../../lib/atomic-file.ts';
import type { BreakGlassUse } from './api.ts';

/** Grants at the same time on one host. */
export const grantsMax = 16;

const fileSchema = z.strictObject({
  grants: z.array(
    z.strictObject({
      grantId: z.string(),
      operator: z.string(),
      device: z.string(),
      reason: z.string(),
      sinceMs: z.number(),
      untilMs: z.number(),
    }),
  ),
});

export interface GrantFile {
  load(): Promise<readonly BreakGlassUse[]>;
  /** Raises STATE_FAILED. */
  save(grants: readonly BreakGlassUse[]): Promise<void>;
}

/** In break-glass.json of the state directory. What cannot be read is no grant. */
export const createGrantFile = (stateDir: string): GrantFile => {
  const path = join(stateDir, 'break-glass.json');
  return {
    load: async () => {
      const text = await readTextIfPresent(path);
      try {
        return text === null ? [] : fileSchema.parse(JSON.parse(text)).grants;
      } catch {
        return [];
      }
    },
    save: async (grants) => {
      try {
        await writeFileAtomic(path, JSON.stringify({ grants }));
      } catch (error) {
        throw new NestError('STATE_FAILED', 'The grant cannot be stored, so it does not count. Look at the disk of the host.', {
          cause: error,
        });
      }
    },
  };
};
