import { spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../lib/clock.ts';
import { silentLogger } from '../../lib/log.ts';
import { fileActivation, kernelPolicy } from './crash-kernel.ts';
import { emptyPolicyJson } from './api.ts';
import { createRevisionControl } from './revisions.ts';

const kills = 8;
const child = fileURLToPath(new URL('crash-child.ts', import.meta.url));
let directory = '';

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'nest-crash-'));
});

afterEach(() => rmSync(directory, { recursive: true, force: true }));

/** Lets a child take so many steps and kills it at whatever point of the next one it is. */
const runAndKill = async (steps: number): Promise<void> => {
  const running = spawn(process.execPath, [child, directory], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(running, 'exit');
  let taken = 0;
  for await (const dots of running.stdout) {
    taken += (dots as Buffer).length;
    if (taken >= steps) break;
  }
  running.kill('SIGKILL');
  await ended;
  expect(taken).toBeGreaterThanOrEqual(steps);
};

describe('revision control, killed at any point', () => {
  it('comes back with one whole state that the kernel agrees with', async () => {
    const signal = new AbortController().signal;
    const seed = randomInt(1_000_000);
    let random = seed;
    for (let kill = 0; kill < kills; kill++) {
      random = (random * 1_103_515_245 + 12_345) % 2_147_483_648;
      await runAndKill(1 + (random % 24));
      const kernelAtKill = kernelPolicy(directory);
      let damaged = false;
      const control = createRevisionControl({
        stateDir: directory,
        activation: fileActivation(directory),
        clock: systemClock,
        log: silentLogger,
        raise: (code, warning) => void (damaged ||= code === 'STATE_CORRUPT' && warning !== null),
      });
      const stored = [emptyPolicyJson, ...control.list().map(({ revision }) => control.get(revision).policyJson)];
      expect(stored).toContain(kernelAtKill);
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
      if (control.pending() !== null) await control.rollback({ author: 'test', comment: '' }, signal);
      await control.close();
    }
  });
});
