import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Traffic } from './api.ts';
import { createFakeHost, db, denyDb, empty, policy, web } from './fake-host.ts';
import type { FakeHost } from './fake-host.ts';
import { upkeepMs } from './traffic.ts';

const signal = new AbortController().signal;
let host: FakeHost;

beforeEach(() => {
  host = createFakeHost();
});

afterEach(async () => await host.close());

const mappingCounts = (traffic: Traffic): unknown =>
  Object.fromEntries(traffic.counters().mappings.map(({ mapping, count }) => [mapping, Number(count.packets)]));

describe('activation', () => {
  it('makes a policy current and says which', async () => {
    const traffic = await host.open();
    const { generation, loadMs } = await traffic.activate(policy([denyDb]), signal);
    expect({ loadMs, web: host.kernel.send(web), db: host.kernel.send(db) }).toEqual({
      loadMs: 3,
      web: 'DEFAULT_ALLOW',
      db: 'POLICY_DENY',
    });
    expect(traffic.status()).toMatchObject({
      mode: 'enforce',
      generation,
      desiredGeneration: generation,
      adopted: false,
      observeReason: '',
    });
  });

  it('does not load again what the kernel already runs, also after a restart', async () => {
    const traffic = await host.open();
    await traffic.activate(policy([denyDb]), signal);
    await traffic.activate(policy([denyDb]), signal);
    await traffic.close();
    const again = await host.open();
    const { loadMs } = await again.activate(policy([denyDb]), signal);
    expect({ loadMs, swaps: host.kernel.swaps, adopted: again.status().adopted, sequence: host.kernel.sequence }).toEqual({
      loadMs: 0,
      swaps: 1,
      adopted: true,
      sequence: 1,
    });
  });

  it('loads again when the counters that name the tables were damaged', async () => {
    const traffic = await host.open();
    await traffic.activate(policy([denyDb]), signal);
    await traffic.close();
    rmSync(join(host.directory, 'traffic.sqlite-wal'), { force: true });
    writeFileSync(join(host.directory, 'traffic.sqlite'), 'x'.repeat(5000));
    const again = await host.open();
    expect({ generation: again.status().generation, warned: host.warnings.has('COUNTERS_LOST') }).toEqual({ generation: '', warned: true });
    await again.activate(policy([denyDb]), signal);
    expect({ swaps: host.kernel.swaps, sequence: host.kernel.sequence }).toEqual({ swaps: 2, sequence: 2 });
  });

  it('keeps the previous policy when the swap fails, and takes another one after it', async () => {
    const traffic = await host.open();
    const first = await traffic.activate(policy([denyDb]), signal);
    host.kernel.failNextSwap(Object.assign(new Error('out of memory'), { code: 'NATIVE_SYSTEM', step: 'free memory' }));
    await expect(traffic.activate(empty, signal)).rejects.toMatchObject({ code: 'ENGINE_FAILED', message: 'Out of memory: free memory.' });
    expect({ generation: traffic.status().generation, db: host.kernel.send(db) }).toEqual({
      generation: first.generation,
      db: 'POLICY_DENY',
    });
    await traffic.activate(empty, signal);
    expect(host.kernel.send(db)).toBe('DEFAULT_ALLOW');
  });

  it('refuses what is not a policy and touches nothing', async () => {
    const traffic = await host.open();
    await expect(traffic.activate('{', signal)).rejects.toMatchObject({ code: 'POLICY_INVALID' });
    await expect(traffic.activate('{"apiVersion":"nest/v1"}', signal)).rejects.toMatchObject({ code: 'POLICY_INVALID' });
    await expect(traffic.activate(' '.repeat(4 << 20), signal)).rejects.toMatchObject({ code: 'POLICY_TOO_LARGE' });
    expect(host.kernel.swaps).toBe(0);
  });
});

describe('observing', () => {
  it('says why and what to do, and refuses to activate and to trace', async () => {
    const traffic = await host.open({ platform: 'darwin' });
    expect(traffic.status()).toMatchObject({ mode: 'observe', flows: null, observeReason: expect.stringContaining('Linux') as string });
    await expect(traffic.activate(empty, signal)).rejects.toMatchObject({ code: 'OBSERVE_ONLY' });
    await expect(traffic.trace({ interface: 'lan0', packet: new Uint8Array(60) }, signal)).rejects.toMatchObject({ code: 'OBSERVE_ONLY' });
    const plan = await traffic.plan(
      { policyJson: policy([denyDb]), base: { revision: 0, etag: 'e', policyJson: empty }, flowWindowMinutes: 15, management: null },
      signal,
    );
    expect({ canApply: plan.canApply, impact: plan.impact, hash: plan.planHash.length }).toEqual({
      canApply: false,
      impact: null,
      hash: 64,
    });
    expect(host.warnings.get('OBSERVE_ONLY')).toContain('Linux');
  });

  it('ends the start when the configuration demands to enforce', async () => {
    await expect(host.open({ platform: 'darwin', mode: 'enforce' })).rejects.toMatchObject({ code: 'ENGINE_UNAVAILABLE' });
  });
});

describe('interfaces', () => {
  it('are attached when they appear, and a foreign program is left alone', async () => {
    host.kernel.interfaces.delete('wan0');
    host.kernel.foreign.add('lan0');
    const traffic = await host.open();
    expect(traffic.status().interfaces).toMatchObject([
      { name: 'lan0', mode: null, engine: '', problem: 'lan0 already runs a program of someone else.' },
      { name: 'wan0', mode: null, engine: '', problem: 'There is no interface wan0. It is attached when it appears.' },
    ]);
    host.kernel.interfaces.set('wan0', 9);
    await host.advance(upkeepMs);
    expect(traffic.status().interfaces[1]).toMatchObject({ name: 'wan0', mode: 'native', engine: 'xdp-native', problem: '' });
    expect(host.warnings.get('INTERFACE_NOT_ATTACHED')).toContain('lan0');
    host.kernel.foreign.clear();
    await host.advance(upkeepMs);
    expect(host.warnings.has('INTERFACE_NOT_ATTACHED')).toBe(false);
  });

  it('are switched off and on by an operator, also for the next start', async () => {
    const traffic = await host.open();
    expect(await traffic.setInterfaceEngine('lan0', 'off')).toMatchObject({
      engine: '',
      reason: expect.stringContaining('Switched off') as string,
    });
    expect(traffic.status().interfaces).toMatchObject([
      { name: 'lan0', mode: null, choice: 'off', problem: '' },
      { name: 'wan0', mode: 'native', choice: 'auto' },
    ]);
    await traffic.close();
    const again = await host.open();
    expect(again.status().interfaces[0]).toMatchObject({ name: 'lan0', mode: null, choice: 'off' });
    expect(await again.setInterfaceEngine('lan0', 'xdp')).toMatchObject({ engine: 'xdp-native' });
    await expect(again.setInterfaceEngine('dmz0', 'xdp')).rejects.toMatchObject({ code: 'INTERFACE_UNKNOWN' });
    await expect(again.setInterfaceEngine('lan0', 'dpdk')).rejects.toMatchObject({ code: 'ENGINE_UNAVAILABLE' });
  });

  it('chosen by "auto" are those that are up, but loopback and VLANs', async () => {
    host.kernel.interfaces.set('lo', 1).set('lan0.120', 8);
    const traffic = await host.open({ interfaces: 'auto' });
    expect(traffic.status().interfaces.map(({ name }) => name)).toEqual(['lan0', 'wan0']);
  });
});

describe('counters', () => {
  it('are exact by mapping name over swaps and restarts', async () => {
    let traffic = await host.open();
    await traffic.activate(policy([denyDb]), signal);
    for (let count = 0; count < 5; count++) host.kernel.send(db);
    for (let count = 0; count < 3; count++) host.kernel.send(web);
    expect(mappingCounts(traffic)).toEqual({ 'deny-db': 5, '': 3 });
    await traffic.activate(policy([{ name: 'allow-web', action: 'allow', ports: ['80'] }, denyDb], 'deny'), signal);
    host.kernel.send(db);
    host.kernel.send(web);
    await traffic.close();
    traffic = await host.open();
    await traffic.activate(empty, signal);
    expect(mappingCounts(traffic)).toEqual({ 'deny-db': 6, 'allow-web': 1, '': 3 });
    expect(traffic.counters().reasons.find(({ reason }) => reason === 'POLICY_DENY')).toMatchObject({
      dropped: true,
      count: { packets: 6n, bytes: 9000n },
    });
  });
});

describe('trace', () => {
  const frame = (destinationPort: number): Uint8Array => {
    const packet = Buffer.alloc(66);
    packet.writeUInt16BE(0x0800, 12);
    packet.writeUInt8(0x45, 14);
    packet.writeUInt8(6, 23);
    packet.set([198, 18, 1, 10], 26);
    packet.set([198, 19, 1, 10], 30);
    packet.writeUInt16BE(41_812, 34);
    packet.writeUInt16BE(destinationPort, 36);
    packet.writeUInt8(2, 47);
    return packet;
  };

  it('explains the way of a packet in words', async () => {
    const traffic = await host.open();
    await traffic.activate(
      policy(
        [
          { ...denyDb, priority: 200 },
          { name: 'allow-all', action: 'allow', priority: 10 },
        ],
        'deny',
      ),
      signal,
    );
    const result = await traffic.trace({ interface: 'lan0', packet: frame(5432) }, signal);
    expect(result).toMatchObject({
      reason: 'POLICY_DENY',
      mapping: 'deny-db',
      priority: 200,
      durationNs: 42,
      generation: traffic.status().generation,
      sourceServices: ['clients'],
    });
    expect(result.steps).toEqual([
      { stage: 'parse', title: 'Parse', detail: 'Ethernet, IPv4 (no options), TCP SYN · 66 bytes', subject: '' },
      { stage: 'flow', title: 'Flow table', detail: 'miss: no entry for this flow, policy decides', subject: '' },
      {
        stage: 'identity',
        title: 'Identity',
        detail: 'source clients (198.18.1.10:41812) · destination servers (198.19.1.10:5432)',
        subject: 'clients',
      },
      { stage: 'policy', title: 'Policy', detail: 'mapping deny-db, priority 200, deny · beat default deny', subject: 'deny-db' },
      { stage: 'verdict', title: 'Verdict', detail: 'drop: a mapping denies it', subject: 'deny-db' },
    ]);
  });

  it('refuses a packet of another size and an interface without program', async () => {
    const traffic = await host.open();
    await expect(traffic.trace({ interface: 'lan0', packet: new Uint8Array(13) }, signal)).rejects.toMatchObject({
      code: 'PACKET_INVALID',
    });
    await expect(traffic.trace({ interface: 'lan0', packet: new Uint8Array(1515) }, signal)).rejects.toMatchObject({
      code: 'PACKET_INVALID',
    });
    await expect(traffic.trace({ interface: 'eth9', packet: new Uint8Array(60) }, signal)).rejects.toMatchObject({
      code: 'INTERFACE_UNKNOWN',
    });
  });
});
