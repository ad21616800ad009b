import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { makeDataFolder } from './data-folder.ts';
import { openFleetCache } from './sqlite-fleet-cache.ts';

let folder: string;
beforeEach(() => void (folder = mkdtempSync(join(tmpdir(), 'nest-folder-'))));
afterEach(() => rmSync(folder, { recursive: true }));

describe('the data folder', () => {
  it('is made with all that is missing above it, for its owner alone, and once', () => {
    const path = join(folder, 'a', 'b', 'c');
    makeDataFolder(path);
    makeDataFolder(path);
    for (const made of [path, join(folder, 'a')]) expect(statSync(made).mode & 0o777).toBe(0o700);
  });

  it('is named in the refusal when a file stands in its place or above it', () => {
    writeFileSync(join(folder, 'file'), '');
    for (const path of [join(folder, 'file'), join(folder, 'file', 'data')])
      expect(() => openFleetCache(join(path, 'fleet.sqlite'), 1)).toThrow(
        expect.objectContaining({ code: 'STATE_FAILED', message: expect.stringContaining(`The data folder ${path} cannot be used`) }),
      );
  });

  it.skipIf(process.platform !== 'linux')('is refused at once where the system makes no folders', () => {
    expect(() => openFleetCache('/proc/nope/deeper/fleet.sqlite', 1)).toThrow(
      expect.objectContaining({
        code: 'STATE_FAILED',
        message: expect.stringContaining('/proc/nope/deeper cannot be used: /proc/nope cannot be made'),
      }),
    );
  });
});
