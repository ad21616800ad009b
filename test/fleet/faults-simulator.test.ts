/** Faults of whole processes over simulated agents: a console that is killed at any moment, and half of the fleet that is gone at once. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { randomInt } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { StagedRollout } from '../../desktop/bridge/rollout-model.ts';
import { createConsoleCore } from '../../desktop/core/api.ts';
import type { ConsoleCore } from '../../desktop/core/api.ts';
import { simulatedConsolePorts } from '../simulator/simulated-fleet.ts';
import { Simulator } from '../simulator/simulator.ts';
import { nextPolicy, until } from '../support/rollout-console.ts';

const program = fileURLToPath(new URL('../support/rollout-console-child.ts', import.meta.url));
const never = new AbortController().signal;
const agents = 8;
/** Records a console writes for eight hosts at least: told, applied, soaking, keeping and kept, wave after wave. */
const writtenMax = 16;
const kills = 2;

describe.skipIf(process.platform !== 'linux')('over a simulated fleet', { timeout: 120_000 }, () => {
  let simulator: Simulator;
  let folder: string;
  const cores: ConsoleCore[] = [];

  /** The console of the simulator, as it was before anything was rolled out. */
  const folderOf = (name: string): string => {
    const path = join(folder, name);
    cpSync(simulator.fleet.dataDirectory, path, { recursive: true });
    return path;
  };
  const openCore = async (name: string): Promise<ConsoleCore> => {
    const core = createConsoleCore(simulatedConsolePorts({ dataDirectory: folderOf(name) }));
    cores.push(core);
    await core.handlers['fleet.unlock']({ passphrase: simulator.fleet.passphrase }, never);
    await until('the fleet', async () => (await core.handlers['hosts.list']({}, never)).every(({ state }) => state === 'healthy'));
    return core;
  };

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'nest-faults-simulator-'));
    simulator = await Simulator.up({ agents, readingMs: 200 });
  }, 60_000);
  afterEach(async () => {
    await Promise.all(cores.splice(0).map((core) => core.close()));
    await simulator[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
  });

  it('a console killed -9 at any moment of a rollout leaves what another finishes', async () => {
    const second = await openCore('second');
    for (let kill = 0; kill < kills; kill += 1) {
      const policy = nextPolicy();
      const killAt = randomInt(2, writtenMax);
      const words = [folderOf(`killed-${String(kill)}`), simulator.fleet.passphrase, policy];
      const child = fork(program, words, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
      const exited = once(child, 'exit');
      let [rolloutId, written] = ['', 0];
      child.on('message', (said: { readonly kind: string; readonly rolloutId?: string }) => {
        if (said.kind !== 'written') return;
        rolloutId = said.rolloutId ?? '';
        written += 1;
        if (written === killAt) child.kill('SIGKILL');
      });
      await exited;
      const where = `killed after ${String(written)} of ${String(killAt)} records`;
      const known = (await second.handlers['rollouts.list']({}, never)).find((one) => one.rolloutId === rolloutId);
      // Killed before any host was told nothing has happened.
      if (known === undefined) continue;
      if (known.phase !== 'finished') await second.handlers['rollouts.takeOver']({ rolloutId }, never);
      let end = known;
      for await (const shown of second.handlers['rollouts.watch']({ rolloutId }, AbortSignal.timeout(60_000))) end = shown;
      expect({ where, phase: end.phase, states: end.hosts.map(({ state }) => state) }).toEqual({
        where,
        phase: 'finished',
        states: Array(agents).fill('kept'),
      });
      const rows = async () => second.handlers['hosts.list']({}, never);
      await until('nothing waits', async () => (await rows()).every(({ pendingUntil }) => pendingUntil === null));
      expect(new Set((await rows()).map(({ generation }) => generation)).size).toBe(1);
    }
  });

  it('half of the fleet that is gone while it soaks stops the rollout: the others go back at once, the lost are asked until their time is over', async () => {
    const core = await openCore('console');
    const hostIds = (await core.handlers['hosts.list']({}, never)).map(({ hostId }) => hostId);
    const gates = { dropFloorPps: 1e9, flowFailureFloorPps: 1e9 };
    const settings = { waves: [100], soakSeconds: 600, baselineSeconds: 0, maxUnavailable: agents, gates };
    const { planId } = await core.handlers['rollouts.plan']({ ...settings, name: 'web', policy: nextPolicy(), hostIds }, never);
    const { rolloutId } = await core.handlers['rollouts.start']({ planId }, never);
    let end: StagedRollout | undefined;
    let isGone = false;
    for await (const shown of core.handlers['rollouts.watch']({ rolloutId }, AbortSignal.timeout(60_000))) {
      end = shown;
      if (isGone && shown.hosts.filter(({ state }) => state === 'taken-back').length === agents / 2) break;
      if (isGone || !shown.hosts.every(({ state }) => state === 'soaking')) continue;
      isGone = true;
      await simulator.loseHalf();
    }
    expect(end).toMatchObject({ phase: 'stopping', reason: { code: 'ROLLOUT_STOPPED' } });
    expect(end?.reason?.message).toContain('does not answer since the change');
    const others = end?.hosts.filter(({ state }) => state !== 'taken-back').map(({ state }) => state);
    expect(others).toEqual(Array(agents / 2).fill('undoing'));
    const rows = await core.handlers['hosts.list']({}, never);
    expect(rows.filter(({ state, pendingUntil }) => state === 'healthy' && pendingUntil !== null)).toEqual([]);
  });
});
