import { beforeEach, describe, expect, it } from 'vitest';
import { ConfigRevision_State } from '../../../proto/gen/nest/v1/config.ts';
import { NestError, errorCodeOf } from '../../../proto/model/error.ts';
import { systemRandom } from '../../lib/api.ts';
import { createManualClock, settle } from '../../lib/manual-clock.ts';
import type { ManualClock } from '../../lib/manual-clock.ts';
import { createOwnerKey, signerOf } from '../access/owner-key.ts';
import type { ManagedHost } from '../hosts/managed-host.ts';
import { IntentQueue } from './intent-queue.ts';
import type { IntentQueueOptions } from './intent-queue.ts';

const policy = JSON.stringify({ apiVersion: 'nest/v1', kind: 'Policy', defaultAction: 'allow', services: [], mappings: [] });
const hostId = '01JZ0000000000000000000001';
const signer = signerOf(createOwnerKey());

let clock: ManualClock;
let records: Map<string, { readonly at: number; readonly content: unknown }>;
let calls: string[];
let deliver: (signal: AbortSignal) => Promise<ConfigRevision_State>;
let confirm: () => Promise<void>;
let listeners: Set<(host: ManagedHost) => void>;

const host = {
  record: { hostId, name: 'edge-1' },
  isLive: true,
  row: () => ({ revision: 3 }),
  client: () =>
    Promise.resolve({
      deliverIntent: async (_request: unknown, { signal }: { readonly signal: AbortSignal }) => {
        calls.push('deliver');
        return { config: { revision: 4n, state: await deliver(signal), settledReason: 'Not confirmed within 60 s.' } };
      },
      confirmConfig: async () => {
        calls.push('confirm');
        await confirm();
      },
    }),
} as unknown as ManagedHost;

/** Another process of this console has another queue over the same records. */
const openQueue = (): IntentQueue => {
  const roster = {
    all: [host],
    get: () => host,
    onReading: (listener: (changed: ManagedHost) => void, signal: AbortSignal) => {
      listeners.add(listener);
      signal.addEventListener('abort', () => listeners.delete(listener));
    },
  } as unknown as IntentQueueOptions['roster'];
  const cache = {
    records: () => [...records.values()].map(({ content }) => content).reverse(),
    record: (_kind: string, id: string) => records.get(id)?.content ?? null,
    putRecord: (_kind: string, id: string, record: { readonly at: number; readonly content: unknown }) => records.set(id, record),
  } as unknown as IntentQueueOptions['cache'];
  const report = (message: string): void => expect.fail(message);
  const by = { signer, operator: 'operator/ada', fleetId: '01jz000000000000000000000a' };
  return new IntentQueue({ ...by, roster, cache, clock, random: systemRandom, report });
};

const hear = async (): Promise<void> => {
  for (const listener of listeners) listener(host);
  await settle();
};
const leave = async (queue: IntentQueue): Promise<string> => {
  const { intentId } = queue.leave({ hostId, policy, comment: '' });
  await settle();
  return intentId;
};

beforeEach(() => {
  clock = createManualClock();
  records = new Map();
  calls = [];
  listeners = new Set();
  deliver = () => Promise.resolve(ConfigRevision_State.PENDING);
  confirm = () => Promise.resolve();
});

describe('the queue of intents', () => {
  it('finishes what it delivers before it closes, and begins nothing more', async () => {
    const queue = openQueue();
    await leave(queue);
    const closed = queue.close();
    await clock.advance(2_000);
    await closed;
    await hear();
    expect([queue.list()[0]?.state, calls, listeners.size]).toEqual(['kept', ['deliver', 'confirm'], 0]);
  });

  it('leaves what does not end to the next process, which waits until this one is dead and asks what became of it', async () => {
    const first = openQueue();
    deliver = (signal) => clock.sleep(60_000, signal).then(() => ConfigRevision_State.PENDING);
    await leave(first);
    const second = openQueue();
    await hear();
    expect([calls.length, second.list()[0]?.state]).toEqual([1, 'delivering']);
    const closed = first.close();
    await clock.advance(10_000);
    await closed;
    deliver = () => Promise.resolve(ConfigRevision_State.ROLLED_BACK);
    await hear();
    const [row] = second.list();
    expect([row?.state, row?.problem?.message]).toEqual([
      'taken-back',
      'Taken back by the host. Not confirmed within 60 s. Review the change, then leave it again.',
    ]);
    expect(calls).toEqual(['deliver', 'deliver']);
    await second.close();
  });

  it('says that a change is taken back when the time of the host ends in the middle', async () => {
    const queue = openQueue();
    confirm = () => Promise.reject(new NestError('NOTHING_TO_CONFIRM', 'Revision 4 ...', { details: { state: 'rolled-back' } }));
    await leave(queue);
    await clock.advance(2_000);
    expect(queue.list()[0]?.state).toBe('taken-back');
    await queue.close();
  });

  it('asks again after a delivery without an answer, and neither refuses nor withdraws it meanwhile', async () => {
    const queue = openQueue();
    deliver = () => Promise.reject(new NestError('TIMED_OUT', 'No answer.'));
    const intentId = await leave(queue);
    expect(queue.list()[0]).toMatchObject({ state: 'delivering', problem: { code: 'TIMED_OUT' } });
    expect(
      await Promise.resolve(intentId)
        .then((id) => queue.cancel(id))
        .catch(errorCodeOf),
    ).toBe('NOT_FOUND');
    deliver = () => Promise.resolve(ConfigRevision_State.CONFIRMED);
    await hear();
    expect(calls.length).toBe(1);
    await clock.advance(5_000);
    await hear();
    expect(queue.list()[0]).toMatchObject({ state: 'kept', problem: null });
    await queue.close();
  });

  it('lets one that the host has no place for wait, so that it can be withdrawn', async () => {
    const queue = openQueue();
    deliver = () => Promise.reject(new NestError('APPLY_IN_PROGRESS', 'Another one waits.'));
    const intentId = await leave(queue);
    expect(queue.list()[0]?.state).toBe('waiting');
    expect(queue.cancel(intentId).state).toBe('cancelled');
    await queue.close();
  });
});
