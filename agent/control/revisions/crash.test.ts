import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../lib/clock.ts';
import { silentLogger } from '../../lib/log.ts';
import { fileActivation, kernelPolicy } from './crash-kernel.ts';
import { createRevisionControl } from './revisions.ts';

const kills = 8;
const child = fileURLToPath(new URL('crash-child.ts', import.meta.url));
let directory = '';

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'nest-crash-'));
});

afterEach(() => rmSync(directory, { recursive: true, force: true }));

/** Lets a child change revisions for a while and kills it at whatever point it is. */
const runAndKill = async (afterMs: number): Promise<void> => {
  const running = spawn(process.execPath, [child, directory], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(running.stdout, 'data');
  await pause(afterMs);
  running.kill('SIGKILL');
  await once(running, 'exit');
};

describe('revision control, killed at any point', () => {
  it('comes back with one whole state that the kernel agrees with', async () => {
    const signal = new AbortController().signal;
    const seed = Date.now() % 1_000_000;
    let random = seed;
    for (let kill = 0; kill < kills; kill++) {
      random = (random * 1_103_515_245 + 12_345) % 2_147_483_648;
      await runAndKill(5 + (random % 60));
      let damaged = false;
      const control = createRevisionControl({
        stateDir: directory,
        activation: fileActivation(directory),
        clock: systemClock,
        log: silentLogger,
        raise: (code, warning) => void (damaged ||= code === 'STATE_CORRUPT' && warning !== null),
      });
      await control.start(signal);
      const current = control.current();
      const waiting = control.list().filter(({ state }) => state === 'pending');
      const confirmed = control.list().filter(({ state }) => state === 'confirmed');
      const where = `seed ${String(seed)}, kill ${String(kill)}`;
      expect({ damaged, kernel: kernelPolicy(directory) }, where).toEqual({ damaged: false, kernel: current.policyJson });
      expect(
        waiting.map(({ revision }) => revision),
        where,
      ).toEqual(control.pending() === null ? [] : [current.revision]);
      expect(confirmed.length, where).toBeLessThanOrEqual(1);
      if (control.pending() !== null) await control.rollback({ toRevision: 0, author: 'test', comment: '' }, signal);
      await control.close();
    }
  });
});
