import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createFakeFastpathHost } from '../../engine/fastpath/fake-host.ts';
import type { FakeFastpathHost } from '../../engine/fastpath/fake-host.ts';
import { createFastpath } from '../../engine/fastpath/fastpath.ts';
import type { Fastpath } from '../../engine/api.ts';
import { silentLogger } from '../../lib/log.ts';
import type { Traffic } from './api.ts';
import { createFakeHost, db, denyDb, policy } from './fake-host.ts';
import type { FakeHost } from './fake-host.ts';

const probes = [
  { engine: 'af_xdp', available: true, reason: 'Kernel 6.1.' },
  { engine: 'dpdk', available: false, reason: 'nest-fastpathd-dpdk is not installed.' },
];
const signal = new AbortController().signal;
const policyDeny = 9;

let host: FakeHost;
let user: FakeFastpathHost;
beforeEach(() => {
  host = createFakeHost();
  user = createFakeFastpathHost(probes);
});
afterEach(async () => await host.close());

const fastpath = (fallback: 'xdp' | 'pass' = 'xdp'): Fastpath =>
  createFastpath({
    host: user,
    folder: '/state',
    pinPath: '/pins',
    fallbacks: new Map([['lan0', fallback]]),
    clock: host.clock,
    log: silentLogger,
  });

const lan0 = (traffic: Traffic): { readonly engine: string; readonly mode: string | null; readonly reason: string } => {
  const found = traffic.status().interfaces.find(({ name }) => name === 'lan0');
  if (found === undefined) throw new Error('lan0 is gone');
  return { engine: found.engine, mode: found.mode, reason: found.reason };
};
const attached = async (traffic: Traffic): Promise<readonly string[]> =>
  traffic
    .status()
    .interfaces.filter(({ mode }) => mode !== null)
    .map(({ name }) => name);
const denied = (traffic: Traffic): bigint | undefined =>
  traffic.counters().mappings.find(({ mapping }) => mapping === 'deny-db')?.count.packets;

describe('engines beside the kernel', () => {
  it('are refused with the reason of the probe, and never chosen by themselves', async () => {
    const traffic = await host.open({ fastpath: fastpath() });
    await traffic.activate(policy([denyDb]), signal);
    await expect(traffic.setInterfaceEngine('lan0', 'dpdk')).rejects.toMatchObject({
      code: 'ENGINE_UNAVAILABLE',
      message: expect.stringContaining('nest-fastpathd-dpdk is not installed.'),
    });
    expect(traffic.status().engines.filter(({ engine }) => engine === 'af_xdp' || engine === 'dpdk')).toEqual(probes);
    await traffic.setInterfaceEngine('lan0', 'auto');
    await host.advance(10_000);
    expect(user.events).toEqual([]);
    expect(await attached(traffic)).toEqual(['lan0', 'wan0']);
  });

  it('take an interface over from the kernel, count with it, and give it back', async () => {
    const traffic = await host.open({ fastpath: fastpath() });
    await traffic.activate(policy([denyDb]), signal);
    host.kernel.send({ ...db, interface: 'lan0' });
    expect(await traffic.setInterfaceEngine('lan0', 'af_xdp')).toMatchObject({
      engine: 'af_xdp',
      reason: expect.stringContaining('nest-fastpathd (process'),
    });
    expect(await attached(traffic)).toEqual(['wan0']);
    user.process().count(20, { reason: policyDeny, mapping: 0 });
    expect(denied(traffic)).toBe(21n);
    const row = traffic.counters().interfaces.find(({ name }) => name === 'lan0');
    expect(row?.reasons.find(({ reason }) => reason === 'POLICY_DENY')?.count).toEqual({ packets: 20n, bytes: 2000n });
    expect(await traffic.setInterfaceEngine('lan0', 'auto')).toMatchObject({ engine: 'xdp-native' });
    expect(await attached(traffic)).toEqual(['lan0', 'wan0']);
    host.kernel.send({ ...db, interface: 'lan0' });
    expect(denied(traffic)).toBe(22n);
  });

  it('are told when connections cross one and the kernel, until they do not any more', async () => {
    const traffic = await host.open({ fastpath: fastpath() });
    await traffic.activate(policy([denyDb], 'deny'), signal);
    expect(host.warnings.has('ENGINES_MIXED')).toBe(false);
    const { warning } = await traffic.setInterfaceEngine('lan0', 'af_xdp');
    expect(warning).toContain('lan0 by af_xdp');
    expect(warning).toContain('wan0 by xdp');
    expect(host.warnings.get('ENGINES_MIXED')).toBe(warning);
    await traffic.activate(policy([denyDb], 'allow'), signal);
    expect(host.warnings.has('ENGINES_MIXED')).toBe(false);
    await traffic.activate(policy([denyDb], 'deny'), signal);
    expect(host.warnings.get('ENGINES_MIXED')).toBe(warning);
    expect(await traffic.setInterfaceEngine('lan0', 'auto')).toMatchObject({ warning: '' });
    expect(host.warnings.has('ENGINES_MIXED')).toBe(false);
  });

  it('leave a trace to the tables in the kernel, and the trace says so', async () => {
    const traffic = await host.open({ fastpath: fastpath() });
    await traffic.activate(policy([denyDb]), signal);
    await traffic.setInterfaceEngine('lan0', 'af_xdp');
    const packet = Buffer.alloc(66);
    packet.writeUInt16BE(0x0800, 12);
    packet.writeUInt8(0x45, 14);
    packet.writeUInt8(6, 23);
    packet.set([198, 18, 1, 10, 198, 19, 1, 10], 26);
    packet.writeUInt16BE(5432, 36);
    const { reason, steps } = await traffic.trace({ interface: 'lan0', packet }, signal);
    expect(reason).toBe('POLICY_DENY');
    expect(steps.find(({ title }) => title === 'Engine')?.detail).toContain('lan0 is served by af_xdp');
    expect((await traffic.trace({ interface: 'wan0', packet }, signal)).steps.map(({ title }) => title)).not.toContain('Engine');
    await expect(traffic.trace({ interface: 'eth9', packet }, signal)).rejects.toMatchObject({
      code: 'INTERFACE_UNKNOWN',
      message: expect.stringContaining('wan0, lan0'),
    });
  });

  it('get each policy that is made current', async () => {
    const traffic = await host.open({ fastpath: fastpath() });
    await traffic.activate(policy([denyDb]), signal);
    await traffic.setInterfaceEngine('lan0', 'af_xdp');
    user.process().count(5, { reason: policyDeny, mapping: 0 });
    await traffic.activate(policy([{ ...denyDb, ports: ['5433'] }]), signal);
    user.process().count(7, { reason: policyDeny, mapping: 0 });
    expect(user.events.filter((event) => event.startsWith('load'))).toHaveLength(2);
    expect(denied(traffic)).toBe(12n);
  });

  it('say who judges while they are away', async () => {
    const traffic = await host.open({ fastpath: fastpath() });
    await traffic.activate(policy([denyDb]), signal);
    await traffic.setInterfaceEngine('lan0', 'af_xdp');
    user.process().die('it was ended by SIGKILL');
    await host.advance(100);
    expect(lan0(traffic)).toEqual({
      engine: 'xdp-native',
      mode: null,
      reason: expect.stringContaining("The kernel's verdict judges meanwhile"),
    });
    expect(host.warnings.get('ENGINE_FALLBACK')).toContain('SIGKILL');
    await host.advance(1000);
    expect(lan0(traffic)).toMatchObject({ engine: 'af_xdp' });
    expect(host.warnings.has('ENGINE_FALLBACK')).toBe(false);
  });

  it('leave the interface to the attached program, or to nobody, when they cannot take it', async () => {
    user.refusals.set('add-port', 'no such queue');
    const traffic = await host.open({ fastpath: fastpath() });
    await traffic.activate(policy([denyDb]), signal);
    expect(await traffic.setInterfaceEngine('lan0', 'af_xdp')).toMatchObject({
      engine: 'xdp-native',
      reason: expect.stringContaining('no such queue'),
    });
    expect(await attached(traffic)).toEqual(['lan0', 'wan0']);
    await traffic.close();
    const passing = await host.open({ fastpath: fastpath('pass') });
    await passing.activate(policy([denyDb]), signal);
    await host.advance(100);
    expect(lan0(passing)).toMatchObject({ engine: '', reason: expect.stringContaining('Packets pass unjudged meanwhile, as configured') });
  });

  it('go on without the agent, and the next one takes them over', async () => {
    const first = await host.open({ fastpath: fastpath() });
    await first.activate(policy([denyDb]), signal);
    await first.setInterfaceEngine('lan0', 'af_xdp');
    user.process().count(20, { reason: policyDeny, mapping: 0 });
    await first.close();
    user.process().count(3, { reason: policyDeny, mapping: 0 });
    const second = await host.open({ fastpath: fastpath() });
    expect(lan0(second)).toMatchObject({ engine: 'af_xdp' });
    await second.activate(policy([denyDb]), signal);
    expect(user.events.filter((event) => event === 'start')).toHaveLength(1);
    expect(denied(second)).toBe(23n);
  });
});
