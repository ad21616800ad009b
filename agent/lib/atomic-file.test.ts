import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { makePrivateDirectory, readTextIfPresent, writeFileAtomic } from './atomic-file.ts';

describe('atomic file', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'nest-atomic-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  it('replaces the content, readable by the owner alone, and leaves nothing beside it', async () => {
    const path = join(folder, 'key.pem');
    await writeFileAtomic(path, 'old');
    await chmod(path, 0o644);
    await writeFileAtomic(path, 'new');
    expect([await readFile(path, 'utf8'), (await stat(path)).mode & 0o777, await readdir(folder)]).toEqual(['new', 0o600, ['key.pem']]);
  });

  it('leaves no half file when it cannot finish', async () => {
    const path = join(folder, 'taken');
    await mkdir(join(path, 'inside'), { recursive: true });
    await expect(writeFileAtomic(path, 'x')).rejects.toMatchObject({ code: expect.stringMatching(/EISDIR|ENOTEMPTY|EEXIST/) as string });
    expect(await readdir(folder)).toEqual(['taken']);
  });

  it('reads null for a missing file and throws for others', async () => {
    expect(await readTextIfPresent(join(folder, 'none'))).toBeNull();
    await expect(readTextIfPresent(folder)).rejects.toMatchObject({ code: 'EISDIR' });
  });

  it('closes a directory that was open to others', async () => {
    const path = join(folder, 'state');
    await mkdir(path, { mode: 0o755 });
    await makePrivateDirectory(path);
    expect((await stat(path)).mode & 0o777).toBe(0o700);
  });
});
