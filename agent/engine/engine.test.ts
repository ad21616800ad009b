import { describe, expect, it } from 'vitest';
import type { NativeAddon } from '../../native/addon.ts';
import { compilePolicy, parsePolicy, recordAt } from './api.ts';
import type { Engine } from './api.ts';
import { createEngine } from './engine.ts';
import type { EngineOptions } from './engine.ts';
import { createFakeKernel } from './fake-data-path.ts';

const options = (more: Partial<EngineOptions>): EngineOptions => ({
  mode: 'auto',
  objectPath: 'x',
  pinPath: 'x',
  platform: 'linux',
  bootId: async () => 'boot',
  ...more,
});

const failing = (code: string, message: string, step: string): NativeAddon => ({
  ...createFakeKernel().addon,
  open: async () => {
    throw Object.assign(new Error(message), { code, step, verifierLog: 'R1 invalid' });
  },
});

const opened = async (kernel = createFakeKernel()): Promise<Engine> => {
  const { engine } = await createEngine(options({ loadAddon: () => kernel.addon })).open();
  if (engine === null) throw new Error('no engine');
  return engine;
};

const image = compilePolicy(
  parsePolicy({
    apiVersion: 'nest/v1',
    kind: 'Policy',
    defaultAction: 'allow',
    services: [],
    mappings: [
      { name: 'deny-telnet', sources: ['any'], destinations: ['any'], protocols: ['tcp'], ports: ['23'], action: 'deny', priority: 1 },
    ],
  }),
).image;

describe('createEngine', () => {
  it('says why there is no engine and what to do', async () => {
    const reasons = await Promise.all(
      [
        options({ platform: 'win32' }),
        options({ mode: 'observe', loadAddon: () => createFakeKernel().addon }),
        options({ loadAddon: () => failing('NATIVE_PERMISSION', 'loading programs is not permitted', 'run the agent as root') }),
        options({
          loadAddon: () => {
            throw Object.assign(new Error('the native addon is not there'), {
              code: 'NATIVE_UNAVAILABLE',
              step: 'build it (npm run build)',
            });
          },
        }),
      ].map(async (each) => await createEngine(each).open()),
    );
    expect(reasons.map(({ engine, reason }) => [engine, reason])).toEqual([
      [null, 'Enforcing policy needs Linux; this host runs win32. Run the agent on a Linux host to enforce.'],
      [null, 'The configuration says observe (traffic.mode). Set it to "auto" or "enforce" and restart the agent to enforce.'],
      [null, 'Loading programs is not permitted: run the agent as root.'],
      [null, 'The native addon is not there: build it (npm run build).'],
    ]);
    expect(reasons[2]?.probes).toMatchObject([{ engine: 'xdp-native', available: true }]);
  });

  it('names one loading of the data path the same as long as it lives', async () => {
    const kernel = createFakeKernel();
    const first = (await opened(kernel)).state();
    const second = (await opened(kernel)).state();
    kernel.reboot();
    const third = (await opened(kernel)).state();
    expect([first.adopted, second.adopted, third.adopted]).toEqual([false, true, false]);
    expect([second.instance === first.instance, third.instance === first.instance]).toEqual([true, false]);
  });

  it('translates native failures to codes, with the verifier log', async () => {
    const engine = await opened();
    await expect(engine.attach('none0')).rejects.toMatchObject({
      code: 'INTERFACE_UNKNOWN',
      details: { native: 'NATIVE_INTERFACE_UNKNOWN' },
    });
    await expect(engine.swap(image, 7)).rejects.toMatchObject({ code: 'ENGINE_FAILED' });
    await expect(engine.swap(new Uint8Array(10), 1)).rejects.toMatchObject({ code: 'IMAGE_INVALID' });
  });

  it('decodes records of both families', async () => {
    const kernel = createFakeKernel();
    const engine = await opened(kernel);
    await engine.attach('wan0');
    await engine.swap(image, 1);
    kernel.advance(1_500);
    kernel.send({
      source: '2001:db8::1',
      destination: '2001:db8::2',
      sourcePort: 65_535,
      destinationPort: 23,
      bytes: 74,
      interface: 'wan0',
    });
    kernel.send({ source: '198.18.0.1', destination: '198.18.0.2', sourcePort: 1, destinationPort: 80, interface: 'wan0' });
    kernel.advance(250);
    kernel.send({ source: '198.18.0.2', destination: '198.18.0.1', sourcePort: 80, destinationPort: 1, interface: 'wan0', bytes: 1_000 });
    const { rows, count } = engine.takeRecords(10);
    expect(count).toBe(2);
    const denied = recordAt(rows, 0);
    expect({
      kind: denied.kind,
      reason: denied.reason,
      from: denied.sourceText,
      to: denied.destinationText,
      port: denied.sourcePort,
      mapping: denied.mapping,
      bytes: denied.forward.bytes,
      age: denied.ageMs,
    }).toEqual({
      kind: 3,
      reason: 'POLICY_DENY',
      from: '2001:db8::1',
      to: '2001:db8::2',
      port: 65_535,
      mapping: 0,
      bytes: 74n,
      age: null,
    });
    const live = recordAt((await engine.flows(10)).rows, 0);
    expect({
      from: live.sourceText,
      reverse: live.reverse,
      age: live.ageMs,
      interface: live.interfaceIndex,
      sequence: live.sequence,
    }).toEqual({
      from: '198.18.0.1',
      reverse: { packets: 1n, bytes: 1_000n },
      age: 250,
      interface: 3,
      sequence: 1,
    });
    expect(engine.wallTimeMs(live.timeNs) - engine.wallTimeMs(0n)).toBe(2_750);
  });

  it('leaves reasons out that were never counted', async () => {
    const kernel = createFakeKernel();
    const engine = await opened(kernel);
    await engine.attach('lan0');
    kernel.send({ source: '198.18.0.1', destination: '198.18.0.2', bytes: 60 });
    expect(engine.counters().interfaces).toEqual([{ name: 'lan0', index: 2, reasons: [{ reason: 'NO_POLICY', packets: 1n, bytes: 60n }] }]);
  });
});
