import { setImmediate } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { silentLogger } from '../../lib/log.ts';
import { createManualClock } from '../../lib/manual-clock.ts';
import type { ManualClock } from '../../lib/manual-clock.ts';
import { recordBytes } from '../layout.ts';
import { createFakeFastpathHost } from './fake-host.ts';
import type { FakeFastpathHost } from './fake-host.ts';
import { portTriesMax } from './port-book.ts';
import type { WantedPort } from './port-book.ts';
import { hangMs, restartFirstMs, restartLongestMs, restartsMax, stableMs, Supervisor, watchMs } from './supervisor.ts';
import type { SupervisorOptions } from './supervisor.ts';

const port = (name: string, more: Partial<WantedPort> = {}): WantedPort => ({
  name,
  index: Number(/\d+$/.exec(name)?.[0]) + 2,
  queues: 1,
  fallback: 'xdp',
  ...more,
});
const image = Uint8Array.of(1, 2, 3);
const policyDeny = 9;

let host: FakeFastpathHost;
let clock: ManualClock;
let opened: Supervisor[];
beforeEach(() => {
  host = createFakeFastpathHost();
  clock = createManualClock();
  opened = [];
});
afterEach(async () => {
  for (const supervisor of opened) await supervisor.close();
});

const open = (more: Partial<SupervisorOptions> = {}): Supervisor => {
  const supervisor = new Supervisor({
    engine: 'af_xdp',
    host,
    folder: '/state',
    pins: '/pins',
    program: '/pins/nest_xdp',
    clock,
    log: silentLogger,
    takeOff: async (name) => void host.events.push(`take off ${name}`),
    onChange: () => undefined,
    state: () => ({ loadedSequence: 5, instance: 'boot:1' }),
    ...more,
  });
  opened.push(supervisor);
  return supervisor;
};

const settle = async (): Promise<void> => {
  for (let turn = 0; turn < 20; turn++) await setImmediate();
};
const pass = async (milliseconds: number): Promise<void> => {
  for (let passed = 0; passed < milliseconds; passed += watchMs) {
    clock.advance(Math.min(watchMs, milliseconds - passed));
    await settle();
  }
};
const states = (supervisor: Supervisor, ...names: string[]): unknown[] => names.map((name) => supervisor.ports.of(name)?.state);

describe('Supervisor', () => {
  it('starts nothing before there are tables, then gives it the tables before the first port', async () => {
    const supervisor = open();
    await supervisor.want([port('lan0'), port('lan1')]);
    expect(host.events).toEqual([]);
    await supervisor.use({ image, loaded: 5 });
    expect(host.events).toEqual(['start', 'load 5', 'take off lan0', 'add-port lan0', 'take off lan1', 'add-port lan1']);
    expect(states(supervisor, 'lan0', 'lan1')).toEqual(['serving', 'serving']);
  });

  it('leaves the fallback in place while the process is away, starts it again after a growing pause, and counts each packet once', async () => {
    const supervisor = open();
    await supervisor.want([port('lan0')]);
    await supervisor.use({ image, loaded: 5 });
    host.process().count(70, { reason: policyDeny, mapping: 3 });
    for (let deaths = 0; deaths < 3; deaths++) {
      const pauseMs = restartFirstMs * 2 ** deaths;
      host.events.length = 0;
      host.process().count(10, { reason: policyDeny, mapping: 3 });
      host.process().die('it was ended by SIGKILL');
      await settle();
      expect(supervisor.ports.of('lan0')).toEqual({
        state: 'covered',
        reason: expect.stringContaining(`next try in ${String(pauseMs)} ms`),
      });
      await pass(pauseMs - 1);
      expect(host.events).toEqual([]);
      await pass(1);
      expect(host.events).toEqual(['start', 'load 5', 'take off lan0', 'add-port lan0']);
    }
    supervisor.tally.collect();
    expect(supervisor.tally.policy(5)?.mappings.slice(6, 8)).toEqual(BigUint64Array.of(100n, 10_000n));
    expect(supervisor.tally.interfaces.get('lan0')?.reasons.slice(18, 20)).toEqual(BigUint64Array.of(100n, 10_000n));
  });

  it('gives the interfaces back after too many deaths in a row, until an operator chooses again', async () => {
    const supervisor = open();
    await supervisor.want([port('lan0')]);
    await supervisor.use({ image, loaded: 5 });
    host.startRefusal = 'the library is missing';
    host.process().die('it was ended by SIGSEGV');
    await settle();
    await pass(restartLongestMs * restartsMax);
    expect(host.events.filter((event) => event === 'start')).toHaveLength(restartsMax);
    expect(host.events.at(-1)).toBe('unpin lan0');
    expect(supervisor.ports.of('lan0')).toEqual({ state: 'lost', reason: expect.stringContaining('the library is missing') });
    host.startRefusal = '';
    supervisor.forgive('lan0');
    await supervisor.want([port('lan0')]);
    expect(states(supervisor, 'lan0')).toEqual(['serving']);
  });

  it('forgets deaths after a time without trouble', async () => {
    const supervisor = open();
    await supervisor.want([port('lan0')]);
    await supervisor.use({ image, loaded: 5 });
    for (let deaths = 0; deaths < restartsMax * 2; deaths++) {
      await pass(stableMs);
      host.process().die('it was ended by SIGKILL');
      await settle();
      await pass(restartFirstMs);
      expect(states(supervisor, 'lan0')).toEqual(['serving']);
    }
  });

  it('adopts a running process with its ports, and loads nothing when it has the same tables', async () => {
    const first = open();
    await first.want([port('lan0')]);
    await first.use({ image, loaded: 5 });
    host.process().count(10, { reason: policyDeny, mapping: 0 });
    await first.close();
    host.events.length = 0;
    host.process().count(5, { reason: policyDeny, mapping: 0 });
    const second = open();
    await second.want([port('lan0')]);
    expect(states(second, 'lan0')).toEqual(['serving']);
    await second.use({ image, loaded: 5 });
    expect(host.events).toEqual([]);
    second.tally.collect();
    expect(second.tally.policy(5)?.mappings[0]).toBe(15n);
    await second.use({ image: Uint8Array.of(9), loaded: 6 });
    expect(host.events).toEqual(['load 6']);
    await second.want([]);
    expect(host.events).toEqual(['load 6', 'stop detach']);
  });

  it('keeps what a dead process counted for the next agent, and not for another loading of the data path', async () => {
    const first = open();
    await first.want([port('lan0')]);
    await first.use({ image, loaded: 5 });
    host.process().count(10, { reason: policyDeny, mapping: 0 });
    host.process().die('it was ended by SIGKILL');
    await settle();
    await first.close();
    expect(open().tally.policy(5)?.mappings[0]).toBe(10n);
    expect(open({ state: () => ({ loadedSequence: 1, instance: 'boot:2' }) }).tally.policy(5)).toBeNull();
  });

  it('takes off what an agent before has left when nobody wants it', async () => {
    host.pins.add('lan7');
    await open().want([]);
    expect(host.events).toEqual(['unpin lan7']);
  });

  it('keeps what is wanted of it in place until there are tables to start with', async () => {
    host.pins.add('lan0');
    const supervisor = open();
    await supervisor.want([port('lan0')]);
    expect([host.events, states(supervisor, 'lan0')]).toEqual([[], ['covered']]);
    await supervisor.use({ image, loaded: 5 });
    expect(states(supervisor, 'lan0')).toEqual(['serving']);
  });

  it('takes its ports back from a process that refuses the tables in force', async () => {
    const supervisor = open();
    await supervisor.want([port('lan0')]);
    await supervisor.use({ image, loaded: 5 });
    host.refusals.set('load', 'the image does not fit');
    host.events.length = 0;
    await supervisor.use({ image: Uint8Array.of(4), loaded: 6 });
    expect(host.events.slice(0, 2)).toEqual(['load 6', 'remove-port lan0']);
    expect(supervisor.ports.of('lan0')).toEqual({ state: 'refused', reason: expect.stringContaining('does not fit') });
  });

  it('tries a refused port a limited number of times', async () => {
    const supervisor = open();
    host.refusals.set('add-port', 'its packets do not fit\nset a smaller MTU');
    await supervisor.want([port('lan0')]);
    await supervisor.use({ image, loaded: 5 });
    for (let minute = 0; minute < 60; minute++) {
      await pass(60_000);
      await supervisor.want([port('lan0')]);
    }
    expect(host.events.filter((event) => event === 'add-port lan0')).toHaveLength(portTriesMax);
    expect(supervisor.ports.of('lan0')).toEqual({ state: 'refused', reason: 'its packets do not fit: set a smaller MTU' });
  });

  it('ends a process whose worker stands still without waiting for packets, and no other', async () => {
    const supervisor = open();
    await supervisor.want([port('lan0')]);
    await supervisor.use({ image, loaded: 5 });
    await pass(hangMs * 2);
    expect(host.events).not.toContain('kill');
    host.process().work(false);
    await pass(hangMs + 2 * watchMs);
    expect(host.events).toContain('kill');
  });

  it('gives records in the numbering of the data path, those of a dead process too, and frees their places', async () => {
    const supervisor = open();
    await supervisor.want([port('lan0')]);
    await supervisor.use({ image, loaded: 5 });
    const first = host.process();
    const marks = (rows: Buffer): number[] =>
      Array.from({ length: rows.length / recordBytes }, (_, row) => rows.readUInt8(row * recordBytes));
    for (const mark of [1, 2, 3]) first.record(mark);
    expect(marks(supervisor.takeRecords(2))).toEqual([1, 2]);
    for (const mark of [4, 5]) expect(first.record(mark)).toBe(true);
    expect(marks(supervisor.takeRecords(10))).toEqual([3, 4, 5]);
    first.record(6);
    first.die('it was ended by SIGKILL');
    await settle();
    expect(marks(supervisor.takeRecords(10))).toEqual([6]);
    // The same data path loads other tables for the states of backends: the process must count on.
    await pass(restartFirstMs);
    await supervisor.use({ image: Uint8Array.of(7), loaded: 5 });
    expect(host.process().sequence).toBe(6);
    expect(supervisor.sequenceOf(6)).toBe(5);
  });
});
