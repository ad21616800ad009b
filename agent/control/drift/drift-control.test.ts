import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { NestError } from '../../../proto/model/error.ts';
import { silentLogger } from '../../lib/log.ts';
import { createManualClock } from '../../lib/manual-clock.ts';
import type { DriftControl, DriftFound } from './api.ts';
import { createDriftControl, driftCheckMs } from './drift-control.ts';

const lost: DriftFound = { resource: 'interface wan0', message: 'No program runs there.', canHeal: true };
const foreign: DriftFound = { resource: 'interface lan0', message: 'Another program runs there.', canHeal: false };

describe('drift control', () => {
  let directory = '';
  let kernel: DriftFound[] = [];
  let asked: (readonly string[])[] = [];
  let failure: Error | null = null;
  const notes: string[] = [];
  const warnings = new Map<string, string>();
  const opened: DriftControl[] = [];
  let clock = createManualClock();

  const open = async (): Promise<DriftControl> => {
    const control = await createDriftControl({
      stateDir: directory,
      clock,
      log: silentLogger,
      audit: { note: ({ action, target, result }) => void notes.push(`${action} ${target} ${result}`) },
      raise: (code, warning) => void (warning === null ? warnings.delete(code) : warnings.set(code, warning.message)),
      port: {
        inspect: async () => [...kernel],
        heal: async (resources) => {
          asked.push(resources);
          if (failure !== null) throw failure;
          kernel = kernel.filter(({ resource }) => !resources.includes(resource));
        },
      },
    });
    opened.push(control);
    return control;
  };
  const minute = async (): Promise<void> => {
    clock.advance(driftCheckMs);
    for (let turn = 0; turn < 8; turn++) await setImmediate();
  };

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'nest-drift-'));
    clock = createManualClock();
    [kernel, asked, failure] = [[], [], null];
    notes.length = 0;
    warnings.clear();
  });
  afterEach(async () => {
    for (const control of opened.splice(0)) await control.close();
    rmSync(directory, { recursive: true, force: true });
  });

  it('reports what it finds each minute once, with since when, and takes it back', async () => {
    const control = await open();
    expect(control.status()).toEqual({ mode: 'report', checkedAtMs: null, findings: [], healed: 0 });
    kernel = [lost];
    await minute();
    const sinceMs = clock.nowMs();
    expect(control.status()).toEqual({ mode: 'report', checkedAtMs: sinceMs, findings: [{ ...lost, sinceMs }], healed: 0 });
    expect(warnings.get('DRIFT')).toBe('interface wan0: No program runs there.');
    await minute();
    expect(control.status().findings).toMatchObject([{ sinceMs }]);
    expect(asked).toEqual([]);
    kernel = [];
    await minute();
    expect(control.status()).toMatchObject({ findings: [], healed: 0 });
    expect(warnings.has('DRIFT')).toBe(false);
    expect(notes.map((note) => note.split(' ')[0])).toEqual(['drift.found', 'drift.gone']);
  });

  it('heals what it can when it is told to, also after a restart', async () => {
    kernel = [lost, foreign];
    const control = await open();
    expect(await control.setMode('heal')).toMatchObject({ mode: 'heal', findings: [{ resource: 'interface lan0' }], healed: 1 });
    expect(asked).toEqual([['interface wan0']]);
    expect(notes.map((note) => note.split(' ')[0])).toEqual(['drift.found', 'drift.found', 'drift.healed']);
    await control.close();
    const again = await open();
    expect(again.status().mode).toBe('heal');
    kernel = [lost];
    await minute();
    expect(again.status()).toMatchObject({ findings: [], healed: 1 });
  });

  it('tells when it cannot put right, and goes on looking', async () => {
    kernel = [lost];
    failure = new NestError('ENGINE_FAILED', 'The driver refuses.');
    const control = await open();
    expect(await control.setMode('heal')).toMatchObject({ findings: [{ resource: 'interface wan0' }], healed: 0 });
    expect(notes.at(-1)).toBe('drift.heal resource=interface wan0 ENGINE_FAILED');
    failure = null;
    await minute();
    expect(control.status()).toMatchObject({ findings: [], healed: 1 });
  });
});
