import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setImmediate } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { NestError } from '../../../proto/model/error.ts';
import { silentLogger } from '../../lib/log.ts';
import { createManualClock } from '../../lib/manual-clock.ts';
import type { ManualClock } from '../../lib/manual-clock.ts';
import type { ApplyRequest, ReturnRequest, Revision, RevisionControl, RevisionEvent } from './api.ts';
import { attemptsMax } from './paced-retry.ts';
import { emptyPolicyJson } from './api.ts';
import { createRevisionControl } from './revisions.ts';

/** What the kernel would run: survives the control under test, as the kernel survives the agent. */
class Kernel {
  policyJson = '';
  activations = 0;
  failure: unknown = null;

  readonly activation = {
    activate: async (policyJson: string) => {
      await setImmediate();
      if (this.failure !== null) throw this.failure;
      this.policyJson = policyJson;
      this.activations++;
      return { generation: `g-${policyJson}`, loadMs: 2, flipMs: 1 };
    },
  };
}

const signal = new AbortController().signal;
let directory = '';
let clock: ManualClock;
let kernel: Kernel;
let bootId = 'boot-1';
let warnings: Map<string, string>;
const opened: RevisionControl[] = [];

const open = async (): Promise<RevisionControl> => {
  const control = createRevisionControl({
    stateDir: directory,
    activation: kernel.activation,
    clock,
    log: silentLogger,
    raise: (code, warning) => void (warning === null ? warnings.delete(code) : warnings.set(code, warning.message)),
    boot: { bootId, uptimeMs: () => clock.monotonicMs() },
  });
  opened.push(control);
  await control.start(signal);
  return control;
};

const request = (control: RevisionControl, name: string, more: Partial<ApplyRequest> = {}): ApplyRequest => ({
  policyJson: name,
  generation: `g-${name}`,
  mappingCount: 1,
  serviceCount: 2,
  baseEtag: control.current().etag,
  transactionId: `t-${name}`,
  confirmWithinSeconds: 60,
  author: 'ada',
  comment: '',
  ...more,
});

const back = (toRevision: number): ReturnRequest => ({
  toRevision,
  transactionId: 't-back',
  confirmWithinSeconds: 60,
  author: 'bob',
  comment: 'back',
});

const keep = async (control: RevisionControl, name: string): Promise<Revision> => {
  const { revision } = await control.apply(request(control, name), signal);
  return await control.confirm({ revision: revision.revision, transactionId: `t-${name}` });
};

const advance = async (milliseconds: number): Promise<void> => {
  clock.advance(milliseconds);
  for (let turn = 0; turn < 10; turn++) await setImmediate();
};

const state = (control: RevisionControl): unknown => ({
  kernel: kernel.policyJson,
  current: control.current().policyJson,
  pending: control.pending()?.revision ?? null,
});

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'nest-revisions-'));
  clock = createManualClock();
  kernel = new Kernel();
  bootId = 'boot-1';
  warnings = new Map();
});

afterEach(async () => {
  for (const control of opened.splice(0)) await control.close();
  rmSync(directory, { recursive: true, force: true });
});

describe('revision control', () => {
  it('begins with revision 0, the empty policy', async () => {
    const control = await open();
    expect(state(control)).toEqual({ kernel: emptyPolicyJson, current: emptyPolicyJson, pending: null });
    expect(control.current()).toMatchObject({ revision: 0, state: 'confirmed' });
  });

  it('keeps a confirmed revision, also after a restart', async () => {
    const control = await open();
    await keep(control, 'a');
    const second = await keep(control, 'b');
    expect(second).toMatchObject({ revision: 2, state: 'confirmed', author: 'ada', mappingCount: 1, serviceCount: 2 });
    expect(control.list().map(({ revision, state: was, policyJson }) => ({ revision, was, policyJson }))).toEqual([
      { revision: 2, was: 'confirmed', policyJson: '' },
      { revision: 1, was: 'superseded', policyJson: '' },
    ]);
    await control.close();
    await advance(100_000);
    expect(state(await open())).toEqual({ kernel: 'b', current: 'b', pending: null });
  });

  it('knows the same after each step as an agent that reads it from the disk', async () => {
    const told = (control: RevisionControl): unknown => ({ ...control.current(), pending: control.pending() });
    const control = await open();
    for (const step of [
      () => control.apply(request(control, 'a'), signal),
      () => control.confirm({ revision: 1, transactionId: 't-a' }),
      () => control.apply(request(control, 'b'), signal),
      () => control.confirm({ revision: 2, transactionId: 't-b' }),
    ]) {
      await step();
      expect(told(await open())).toEqual(told(control));
    }
    expect(control.get(1).state).toBe('superseded');
  });

  it('takes an unconfirmed revision back when its time is over, not before', async () => {
    const control = await open();
    await keep(control, 'a');
    const applied = await control.apply(request(control, 'b'), signal);
    expect(applied).toMatchObject({
      remainingMs: 60_000,
      rollbackAtMs: clock.nowMs() + 60_000,
      loadMs: 2,
      flipMs: 1,
      revision: { revision: 2, state: 'pending' },
    });
    await advance(59_999);
    expect(state(control)).toEqual({ kernel: 'b', current: 'b', pending: 2 });
    await advance(1);
    expect(state(control)).toEqual({ kernel: 'a', current: 'a', pending: null });
    expect(control.get(2)).toMatchObject({ state: 'rolled-back', settledReason: 'Not confirmed within 60 s.', settledAtMs: clock.nowMs() });
  });

  it('goes on with the timer after a restart in between', async () => {
    const control = await open();
    await control.apply(request(control, 'a'), signal);
    await advance(20_000);
    await control.close();
    const again = await open();
    expect(again.pending()).toMatchObject({ revision: 1, remainingMs: 40_000, transactionId: 't-a' });
    await advance(40_000);
    expect(state(again)).toEqual({ kernel: emptyPolicyJson, current: emptyPolicyJson, pending: null });
  });

  it('takes back at once when the time went over while the agent was not running', async () => {
    const control = await open();
    await control.apply(request(control, 'a'), signal);
    await control.close();
    clock.advance(61_000);
    expect(state(await open())).toEqual({ kernel: emptyPolicyJson, current: emptyPolicyJson, pending: null });
  });

  it('bounds the time left by the window when the host rebooted and its wall clock went back', async () => {
    const control = await open();
    await control.apply(request(control, 'a'), signal);
    await control.close();
    bootId = 'boot-2';
    clock = createManualClock(clock.nowMs() - 3_600_000);
    expect((await open()).pending()).toMatchObject({ remainingMs: 60_000 });
  });

  it('takes a revision back and marks it failed when the agent died while applying it', async () => {
    const control = await open();
    await control.apply(request(control, 'a'), signal);
    await control.close();
    const database = new DatabaseSync(join(directory, 'revisions.sqlite'));
    database.exec('UPDATE pending SET is_activated = 0; DELETE FROM outcome');
    database.close();
    const again = await open();
    expect(state(again)).toEqual({ kernel: emptyPolicyJson, current: emptyPolicyJson, pending: null });
    expect(again.get(1).state).toBe('failed');
  });

  it('refuses a second apply while one is pending, and one on an old base', async () => {
    const control = await open();
    const stale = control.current().etag;
    await keep(control, 'a');
    await expect(control.apply(request(control, 'b', { baseEtag: stale }), signal)).rejects.toMatchObject({
      code: 'REVISION_CONFLICT',
      details: { revision: 1, author: 'ada' },
    });
    await control.apply(request(control, 'b'), signal);
    await expect(control.apply(request(control, 'c'), signal)).rejects.toMatchObject({ code: 'APPLY_IN_PROGRESS' });
    await expect(control.returnTo(back(1), signal)).rejects.toMatchObject({
      code: 'APPLY_IN_PROGRESS',
    });
  });

  it('answers a repeated transaction with its first outcome for 24 hours, also at the same moment and after a restart', async () => {
    const control = await open();
    const first = request(control, 'a');
    const [one, two] = await Promise.all([control.apply(first, signal), control.apply(first, signal)]);
    expect(two).toEqual(one);
    await control.confirm({ revision: 1, transactionId: 't-a' });
    await control.close();
    const again = await open();
    expect(await again.apply(first, signal)).toMatchObject({ revision: { revision: 1, state: 'confirmed' }, remainingMs: 0 });
    expect(await again.confirm({ revision: 1, transactionId: 't-a' })).toMatchObject({ revision: 1, state: 'confirmed' });
    clock.advance(24 * 3_600_000 + 1);
    await expect(again.apply(first, signal)).rejects.toMatchObject({ code: 'REVISION_CONFLICT' });
  });

  it('leaves the previous revision in force when the activation fails, and repeats that failure', async () => {
    const control = await open();
    await keep(control, 'a');
    kernel.failure = new NestError('ENGINE_FAILED', 'No room for tables.', { details: { native: 'x' } });
    const failing = request(control, 'b');
    await expect(control.apply(failing, signal)).rejects.toMatchObject({ code: 'ENGINE_FAILED' });
    kernel.failure = null;
    expect(state(control)).toEqual({ kernel: 'a', current: 'a', pending: null });
    await expect(control.apply(failing, signal)).rejects.toMatchObject({
      code: 'ENGINE_FAILED',
      message: 'No room for tables.',
      details: { native: 'x' },
    });
    expect(control.get(2)).toMatchObject({ state: 'failed', settledReason: 'No room for tables.' });
    kernel.failure = new TypeError('bug');
    await expect(control.apply(request(control, 'c'), signal)).rejects.toMatchObject({ code: 'APPLY_FAILED' });
  });

  it('tries a failing rollback again, paced, and warns until it works', async () => {
    const control = await open();
    await control.apply(request(control, 'a'), signal);
    kernel.failure = new NestError('ENGINE_FAILED', 'Busy.');
    await advance(60_000);
    expect({ state: state(control), warned: warnings.get('POLICY_NOT_ACTIVE') }).toEqual({
      state: { kernel: 'a', current: 'a', pending: 1 },
      warned: 'Busy. It is being tried again.',
    });
    await expect(control.confirm({ revision: 1, transactionId: 't-a' })).rejects.toMatchObject({ code: 'NOTHING_TO_CONFIRM' });
    kernel.failure = null;
    await advance(250);
    expect({ state: state(control), warned: warnings.get('POLICY_NOT_ACTIVE') }).toEqual({
      state: { kernel: emptyPolicyJson, current: emptyPolicyJson, pending: null },
      warned: undefined,
    });
  });

  it('stops trying after a bounded number of attempts', async () => {
    const control = await open();
    await control.apply(request(control, 'a'), signal);
    kernel.failure = new Error('never');
    for (let count = 0; count <= attemptsMax + 2; count++) await advance(60_000);
    expect(warnings.get('POLICY_NOT_ACTIVE')).toContain('Restart the agent');
    kernel.failure = null;
    await advance(3_600_000);
    expect(kernel.policyJson).toBe('a');
    await control.rollback({ author: 'ada', comment: '' }, signal);
    expect(state(control)).toEqual({ kernel: emptyPolicyJson, current: emptyPolicyJson, pending: null });
  });

  it('takes back on demand and says who did', async () => {
    const control = await open();
    await expect(control.rollback({ author: 'ada', comment: '' }, signal)).rejects.toMatchObject({
      code: 'NOTHING_TO_CONFIRM',
    });
    await control.apply(request(control, 'a'), signal);
    await control.rollback({ author: 'ada', comment: 'wrong host' }, signal);
    expect(control.get(1)).toMatchObject({ state: 'rolled-back', settledReason: 'Taken back by ada: wrong host' });
    await expect(control.confirm({ revision: 1, transactionId: 't-a' })).rejects.toMatchObject({ code: 'NOTHING_TO_CONFIRM' });
  });

  it('returns to an older revision as a new one that waits, and takes even that back when nobody confirms it', async () => {
    const control = await open();
    await keep(control, 'a');
    await keep(control, 'b');
    const first = await control.returnTo(back(1), signal);
    expect(first).toMatchObject({
      revision: { revision: 3, state: 'pending', policyJson: 'a', generation: 'g-a', author: 'bob', comment: 'back' },
      remainingMs: 60_000,
    });
    expect(await control.returnTo(back(1), signal)).toEqual(first);
    expect(kernel.policyJson).toBe('a');
    await advance(60_000);
    expect({ ...state(control), ended: control.get(3).state }).toEqual({ kernel: 'b', current: 'b', pending: null, ended: 'rolled-back' });
    const second = { ...back(1), transactionId: 't-back-2' };
    await control.returnTo(second, signal);
    await control.confirm({ revision: 4, transactionId: second.transactionId });
    await advance(60_000);
    expect(state(control)).toEqual({ kernel: 'a', current: 'a', pending: null });
    await expect(control.returnTo({ ...back(99), transactionId: 't-back-3' }, signal)).rejects.toMatchObject({ code: 'REVISION_UNKNOWN' });
  });

  it('keeps fifty revisions and never the same etag twice', async () => {
    const control = await open();
    const etags = new Set<string>([control.current().etag]);
    for (let count = 1; count <= 55; count++) etags.add((await keep(control, `p${String(count)}`)).etag);
    expect({ etags: etags.size, kept: control.list().length, newest: control.list()[0]?.revision }).toEqual({
      etags: 56,
      kept: 50,
      newest: 55,
    });
    expect(() => control.get(5)).toThrow(expect.objectContaining({ code: 'REVISION_UNKNOWN' }));
  });

  it('watches: the present first, then each change, until the signal aborts', async () => {
    const control = await open();
    const stop = new AbortController();
    const seen: RevisionEvent[] = [];
    const reading = (async () => {
      for await (const event of control.watch(stop.signal)) seen.push(event);
    })();
    await setImmediate();
    await control.apply(request(control, 'a'), signal);
    await advance(60_000);
    stop.abort();
    await reading;
    expect(seen.map(({ revision, pending }) => [revision.revision, revision.state, pending?.revision ?? null])).toEqual([
      [0, 'confirmed', null],
      [1, 'pending', 1],
      [1, 'rolled-back', null],
      [0, 'confirmed', null],
    ]);
  });

  it('leaves the tables of the kernel alone when the stored revisions were damaged', async () => {
    const control = await open();
    await keep(control, 'a');
    await control.close();
    rmSync(join(directory, 'revisions.sqlite-wal'), { force: true });
    writeFileSync(join(directory, 'revisions.sqlite'), 'x'.repeat(5000));
    const again = await open();
    expect({ kernel: kernel.policyJson, current: again.current().revision, warned: warnings.has('STATE_CORRUPT') }).toEqual({
      kernel: 'a',
      current: 0,
      warned: true,
    });
    await keep(again, 'b');
    expect(state(again)).toEqual({ kernel: 'b', current: 'b', pending: null });
  });

  it('goes on without activating when the host only observes', async () => {
    kernel.failure = new NestError('OBSERVE_ONLY', 'No permission.');
    const control = await open();
    await expect(control.apply(request(control, 'a'), signal)).rejects.toMatchObject({ code: 'OBSERVE_ONLY' });
    expect({ pending: control.pending(), warnings: [...warnings.keys()] }).toEqual({ pending: null, warnings: [] });
  });

  it('honours a signal that is aborted before it starts', async () => {
    const control = await open();
    await expect(control.apply(request(control, 'a'), AbortSignal.abort())).rejects.toMatchObject({ name: 'AbortError' });
    expect(control.list()).toEqual([]);
  });
});
