import { generateKeyPairSync } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AccessHead } from '../../../proto/gen/nest/v1/access.ts';
import { emptyChain, takeUpdate } from '../../../proto/model/access/chain.ts';
import type { AccessChain } from '../../../proto/model/access/chain.ts';
import { makeOwner, put, signerOf, TestBundle } from '../../../proto/model/access/test-bundle.ts';
import type { SignedEnvelope } from '../../../proto/model/access/update.ts';
import { NestError } from '../../../proto/model/error.ts';
import { cancelled, systemRandom } from '../../lib/api.ts';
import { createManualClock, settle } from '../../lib/manual-clock.ts';
import type { ManagedHost } from '../hosts/managed-host.ts';
import { AccessBook } from './access-book.ts';
import { AccessSync } from './access-sync.ts';
import type { AccessSyncOptions } from './access-sync.ts';

const fleetId = '01jz000000000000000000000a';
const hosts = 80;
const minute = 60_000;

const root = signerOf(generateKeyPairSync('ec', { namedCurve: 'P-256' }));
const trust = { keys: [root.publicKey], vouched: '' };
const clock = createManualClock();

/** A host that takes updates as an agent does, and answers when it is told to. */
const createHost = (index: number) => {
  let chain: AccessChain = emptyChain(fleetId, trust);
  const said = { asked: 0, sent: 0, taken: 0 };
  const held: (() => void)[] = [];
  let isHolding = false;
  const answer = async (signal?: AbortSignal): Promise<AccessHead> => {
    if (isHolding)
      await new Promise<void>((resolve, reject) => {
        held.push(resolve);
        signal?.addEventListener('abort', () => reject(cancelled(signal.reason)));
      });
    const { epoch = 0, revision = 0, hash = '' } = chain.head ?? {};
    return AccessHead.fromPartial({ epoch: BigInt(epoch), revision: BigInt(revision), hash: Buffer.from(hash, 'hex') });
  };
  const client = {
    accessHead: () => {
      said.asked += 1;
      return answer();
    },
    accessUpdates: () => Promise.resolve({ updates: [], more: false }),
    pushAccessUpdates: async (updates: readonly SignedEnvelope[], { signal }: { readonly signal: AbortSignal }) => {
      said.sent += 1;
      for (const update of updates) {
        if (update === refused) throw new NestError('ACCESS_INVALID', 'Not this one.');
        ({ chain } = takeUpdate(chain, update, 0));
      }
      const head = await answer(signal);
      said.taken += 1;
      return head;
    },
  };
  let refused: SignedEnvelope | null = null;
  const host = {
    record: { hostId: `host-${String(index)}`, name: `host-${String(index)}` },
    linkState: { kind: 'up', since: clock.now(), client },
    standing: null as { accessHash: string; warnings: readonly [] } | null,
    heardAt: null as number | null,
    client: () => Promise.resolve(client),
  };
  return {
    host: host as unknown as ManagedHost,
    said,
    get revision() {
      return chain.head?.revision ?? 0;
    },
    hold: () => (isHolding = true),
    letGo: () => {
      isHolding = false;
      for (const wake of held.splice(0)) wake();
    },
    refuse: (update: SignedEnvelope) => (refused = update),
    /** It has this, by whatever way. */
    has: (updates: readonly SignedEnvelope[]) => updates.forEach((update) => ({ chain } = takeUpdate(chain, update, 0))),
    /** What a status tells. */
    tell: () => Object.assign(host, { heardAt: clock.now(), standing: { accessHash: chain.head?.hash ?? '', warnings: [] } }),
  };
};

let all: ReturnType<typeof createHost>[];
let bundle: TestBundle;
let book: AccessBook;
let sync: AccessSync;
let hurries: number;
let onReading: (host: ManagedHost) => void;

beforeEach(() => {
  all = Array.from({ length: hosts }, (_, index) => createHost(index));
  bundle = new TestBundle({ fleetId, root }, { owner: makeOwner('operator/ada'), atMs: clock.now() });
  const values = new Map<string, unknown>();
  book = new AccessBook({
    cache: {
      value: <Value>(name: string) => (values.get(name) ?? null) as Value | null,
      putValue: (name: string, value: unknown) => void values.set(name, value),
      dropValue: (name: string) => void values.delete(name),
    },
    clock,
    random: systemRandom,
    fleetId,
    rootKey: () => null,
    trust: () => trust,
    subject: 'operator/ada',
    ownerKey: null,
  });
  book.take(bundle.updates);
  hurries = 0;
  const roster = {
    all: all.map(({ host }) => host),
    onReading: (listener: (host: ManagedHost) => void) => (onReading = listener),
    hurry: () => (hurries += 1),
  } as unknown as AccessSyncOptions['roster'];
  sync = new AccessSync({ book, roster, clock, report: (message, fields) => expect.fail(`${message} ${JSON.stringify(fields)}`) });
});
afterEach(async () => {
  for (const { letGo } of all) letGo();
  await sync.close();
});

const lock = (name: string): SignedEnvelope =>
  bundle.change(put({ locks: [{ id: name, target: `operator/${name}`, reason: '', sinceMs: 1n }] }));
const sum = (pick: (host: (typeof all)[number]) => number): number => all.reduce((total, host) => total + pick(host), 0);
/** A status of every host that says what it has. */
const tellAll = async (): Promise<void> => {
  await clock.advance(1_000);
  for (const { tell, host } of all) {
    tell();
    onReading(host);
  }
  await settle();
};

describe('delivery of access bundles', () => {
  it('has a lock under way to all hosts before any has answered, with no question before it, and lets other work wait', async () => {
    for (const { has } of all) has(bundle.updates);
    sync.start();
    await settle();
    const before = { asked: sum(({ said }) => said.asked), hurries };
    for (const { hold } of all) hold();
    book.take([lock('bob')]);
    await settle();
    expect([sum(({ said }) => said.sent), sum(({ revision }) => revision)]).toEqual([hosts, 2 * hosts]);
    expect([sum(({ said }) => said.asked) - before.asked, hurries - before.hurries]).toEqual([0, 1]);
    expect(new Set(sync.states().map(({ state }) => state))).toEqual(new Set(['behind']));
    for (const { letGo } of all) letGo();
    await settle();
    expect(new Set(sync.states().map(({ state }) => state))).toEqual(new Set(['current']));
  });

  it('sends a lock to a host that has said what it has, whatever questions are unanswered', async () => {
    for (const { has, hold } of all) {
      has(bundle.updates);
      hold();
    }
    sync.start();
    await settle();
    expect(sum(({ said }) => said.asked)).toBe(32);
    await tellAll();
    book.take([lock('bob')]);
    await settle();
    expect(sum(({ revision }) => revision)).toBe(2 * hosts);
    // What is answered late is older than what was sent.
    for (const { letGo } of all) letGo();
    await settle();
    expect(new Set(sync.states().map(({ state }) => state))).toEqual(new Set(['current']));
  });

  it('sends what came meanwhile after what is under way, one delivery at a time for a host', async () => {
    const [first] = all;
    for (const { has } of all) has(bundle.updates);
    sync.start();
    await settle();
    first?.hold();
    for (const name of ['bob', 'eve', 'kim']) {
      book.take([lock(name)]);
      await settle();
    }
    expect(first?.said.sent).toBe(1);
    first?.letGo();
    await settle();
    expect([first?.said.sent, first?.revision]).toEqual([2, 4]);
  });

  it('asks a host anew that another console has reached while it was being sent something', async () => {
    const [first] = all;
    for (const { has } of all) has(bundle.updates);
    sync.start();
    await settle();
    first?.hold();
    book.take([lock('bob')]);
    await settle();
    first?.has([lock('eve')]);
    first?.letGo();
    await settle();
    expect([first?.said.asked, sync.states()[0]?.state]).toEqual([2, 'behind']);
    await tellAll();
    expect(first?.said.asked).toBe(3);
  });

  it('lets what is being sent end when the session closes, for two seconds and no longer', async () => {
    const [quick, slow] = all;
    for (const { has } of all) has(bundle.updates);
    sync.start();
    await settle();
    for (const one of [quick, slow]) one?.hold();
    book.take([lock('bob')]);
    await settle();
    const closed = sync.close();
    await clock.advance(1_900);
    quick?.letGo();
    await clock.advance(100);
    await closed;
    expect([quick?.said, slow?.said]).toMatchObject([
      { sent: 1, taken: 1 },
      { sent: 1, taken: 0 },
    ]);
  });

  it('asks a host that did not take what was sent, and shows why', async () => {
    const [first] = all;
    for (const { has } of all) has(bundle.updates);
    sync.start();
    await settle();
    const update = lock('bob');
    first?.refuse(update);
    book.take([update]);
    await settle();
    expect(sync.states()[0]).toMatchObject({ state: 'refused', problem: 'Not this one.' });
    expect([first?.said.asked, sync.states()[1]?.state]).toEqual([3, 'current']);
  });

  it('asks hosts anew now and then, seldom those whose statuses say what they have, at once one that says something else', async () => {
    const [first, ...others] = all;
    for (const { has } of all) has(bundle.updates);
    sync.start();
    await settle();
    const asked = sum(({ said }) => said.asked);
    await clock.advance(minute);
    await tellAll();
    expect(sum(({ said }) => said.asked)).toBe(asked);
    first?.has([lock('bob')]);
    await tellAll();
    expect([first?.said.asked, sum(({ said }) => said.asked) - asked]).toEqual([2, 1]);
    expect(others.length).toBe(hosts - 1);
    await clock.advance(10 * minute);
    await tellAll();
    expect(sum(({ said }) => said.asked) - asked).toBeGreaterThanOrEqual(hosts);
  });
});
