/** A small file system of its own that a test can fill to the last byte. Needs root. */
import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const ballastSteps = [1 << 16, 1 << 12, 1] as const;

export interface FullDisk extends Disposable {
  readonly path: string;
  /** Leaves no byte free. */
  fill(): void;
  /** Gives back what `fill` took. */
  free(): void;
}

/** Why there can be none here; null when there can. */
export const fullDiskProblem = (): string | null => {
  if (process.platform !== 'linux') return 'a file system of its own needs Linux';
  return process.getuid?.() === 0 ? null : 'mounting a file system needs root';
};

/** Mounts it; disposing unmounts it with all that is on it. */
export const mountFullDisk = (megabytes: number): FullDisk => {
  const path = mkdtempSync(join(tmpdir(), 'nest-full-disk-'));
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${String(megabytes)}m`, 'nest-full-disk', path]);
  const ballast = join(path, 'ballast');
  return {
    path,
    fill: () => {
      const file = openSync(ballast, 'a');
      for (const step of ballastSteps) {
        const bytes = Buffer.alloc(step);
        while (hasTaken(file, bytes));
      }
      closeSync(file);
    },
    free: () => rmSync(ballast, { force: true }),
    [Symbol.dispose]: () => {
      execFileSync('umount', ['-l', path]);
      rmSync(path, { recursive: true, force: true });
    },
  };
};

const hasTaken = (file: number, bytes: Buffer): boolean => {
  try {
    return writeSync(file, bytes) > 0;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOSPC') return false;
    throw error;
  }
};
