import { describe, expect, it } from 'vitest';
import type { Engine, EngineLocal } from '../../engine/api.ts';
import { createEngine } from '../../engine/engine.ts';
import { createFakeKernel } from '../../engine/fake-data-path.ts';
import { silentLogger } from '../../lib/log.ts';
import { createLocalTraffic } from './local-traffic.ts';

const open = async (answer?: EngineLocal): Promise<{ readonly engine: Engine; readonly calls: string[] }> => {
  const kernel = createFakeKernel();
  const source = createEngine({
    mode: 'auto',
    pinPath: 'x',
    objectPath: 'x',
    loadAddon: () => kernel.addon,
    platform: 'linux',
    bootId: async () => 'boot',
  });
  const { engine } = await source.open();
  if (engine === null) throw new Error('no engine');
  const calls: string[] = [];
  const watched: Engine = {
    ...engine,
    attachLocal: async (path) => {
      calls.push(`attach ${path}`);
      return answer ?? (await engine.attachLocal(path));
    },
    detachLocal: async () => {
      calls.push('detach');
      await engine.detachLocal();
    },
  };
  return { engine: watched, calls };
};

describe('createLocalTraffic', () => {
  it('attaches to the root of the control groups, and again, so that routes are followed', async () => {
    const { engine, calls } = await open();
    const local = createLocalTraffic({ wanted: 'auto', log: silentLogger, findGroup: async () => '/groups' });
    await local.refresh(engine);
    await local.refresh(engine);
    expect(calls).toEqual(['attach /groups', 'attach /groups']);
  });

  it('takes away what an agent before it left, once, when it is off', async () => {
    const { engine, calls } = await open();
    const local = createLocalTraffic({ wanted: 'off', log: silentLogger });
    await local.refresh(engine);
    await local.refresh(engine);
    expect(calls).toEqual(['detach']);
  });

  it('says once why the hooks are not there', async () => {
    const { engine } = await open({ attached: false, reason: 'no group', problems: ['lan0: refused'] });
    const warnings: unknown[] = [];
    const log = { ...silentLogger, warn: (_: string, fields?: object) => void warnings.push(fields) };
    const local = createLocalTraffic({ wanted: 'auto', log, findGroup: async () => '/groups' });
    await local.refresh(engine);
    await local.refresh(engine);
    expect(warnings).toEqual([{ attached: false, reason: 'no group; lan0: refused' }]);
  });
});
