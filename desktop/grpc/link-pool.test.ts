import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { NestError, errorCodeOf } from '../../proto/model/error.ts';
import { createFleetKeys, rootSpkiHash, signAgent } from '../core/authority/fleet-authority.ts';
import type { FleetKeys } from '../core/authority/fleet-authority.ts';
import { stepUpType } from '../../proto/model/step-up.ts';
import { systemClock, systemRandom } from '../lib/api.ts';
import type { AgentLink, LinkState } from './agent-link.ts';
import { createEnrollmentExchange, joinTokenOf } from './enrollment-exchange.ts';
import { createFakeAgent } from './fake-agent.ts';
import type { FakeAgent } from './fake-agent.ts';
import { createLinkPool } from './link-pool.ts';
import type { LinkPool } from './link-pool.ts';
import { createOperatorIdentity } from './operator-identity.ts';
import type { OperatorIdentity } from './operator-identity.ts';
import type { AgentIdentity } from './peer-identity.ts';
import type { ConsoleEnd, ShardBatch, ShardEnd, ShardEvent, ShardOrder } from './shard/shard-message.ts';
import { serveShard } from './shard/shard-server.ts';
import { openShardThread } from './shard/shard-thread.ts';

const agentId = '01JZ0000000000000000000000';
const never = new AbortController().signal;
const context = { now: Date.now(), random: systemRandom };
const hostsOfBigFleet = 1000;

/** A shard in this thread; what is said crosses as a copy, as between threads. */
const openShardHere = (): ConsoleEnd & { lose(): void } => {
  const listeners: {
    console?: (batch: ShardBatch<ShardEvent>) => void;
    shard?: (batch: ShardBatch<ShardOrder>) => void;
    lost?: (cause: unknown) => void;
  } = {};
  let isOver = false;
  const carry = <Item>(batch: ShardBatch<Item>, to: () => ((batch: ShardBatch<Item>) => void) | undefined): void => {
    const copy = structuredClone(batch);
    setImmediate(() => isOver || to()?.(copy));
  };
  const shardEnd: ShardEnd = {
    post: (batch) => carry(batch, () => listeners.console),
    receive: (listener) => void (listeners.shard = listener),
    onLost: () => undefined,
    close: () => Promise.resolve(),
  };
  serveShard({ port: shardEnd, clock: systemClock(), random: systemRandom });
  return {
    post: (batch) => carry(batch, () => listeners.shard),
    receive: (listener) => void (listeners.console = listener),
    onLost: (listener) => void (listeners.lost = listener),
    close: () => {
      isOver = true;
      return Promise.resolve();
    },
    lose: () => {
      isOver = true;
      listeners.lost?.(new Error('lost by the test'));
    },
  };
};

let agent: FakeAgent;
let fleet: FleetKeys;
let operator: OperatorIdentity;
let identity: AgentIdentity;
let stop: AbortController;
let upkeep: Promise<unknown>[];
let pools: LinkPool[];

const enroll = async (): Promise<void> => {
  const token = joinTokenOf(rootSpkiHash(fleet), systemRandom);
  agent.join(token.text);
  const exchange = createEnrollmentExchange({
    endpoint: { address: '127.0.0.1', port: agent.port },
    operator,
    token,
    random: systemRandom,
  });
  const { signingRequest, spkiSha256 } = await exchange.prove(never);
  const signed = await signAgent(fleet, { agentId, hostName: 'edge', signingRequest, spkiSha256 }, context);
  await exchange.complete({ certificateChain: signed.chain, fleetRoot: signed.fleetRoot, fleetId: fleet.fleetId }, never);
  exchange.close();
  identity = { fleetId: fleet.fleetId, agentId, spkiSha256 };
  // The agent comes back under its certificate a moment after its answer.
  await new Promise((resolve) => setTimeout(resolve, 120));
};

const poolOf = (openShard: () => ConsoleEnd, hosts = hostsOfBigFleet): LinkPool => {
  const pool = createLinkPool({
    clock: systemClock(),
    random: systemRandom,
    consoleVersion: '0.0.0',
    hostCount: () => hosts,
    openShard,
    report: () => undefined,
  });
  pools.push(pool);
  return pool;
};

const maintain = (pool: LinkPool, as: AgentIdentity = identity): AgentLink => {
  const link = pool.link({ endpoint: { address: '127.0.0.1', port: agent.port }, identity: as, operator });
  const work: Parameters<AgentLink['maintain']>[0] = async (client, signal) => {
    await client.watchStatus(() => undefined, signal);
    throw new NestError('HOST_UNREACHABLE', 'ended');
  };
  upkeep.push(link.maintain(work, stop.signal).catch(errorCodeOf));
  return link;
};

const reached = async (link: AgentLink, isWanted: (state: LinkState) => boolean): Promise<LinkState> => {
  for await (const state of link.follow(AbortSignal.timeout(10_000))) if (isWanted(state)) return state;
  throw new Error(`the link stayed ${link.state.kind}`);
};
const isUp = ({ kind }: LinkState): boolean => kind === 'up';

beforeEach(async () => {
  [stop, upkeep, pools] = [new AbortController(), [], []];
  fleet = await createFleetKeys({ fleetId: '01jz0000000000000000000001', fleetName: 'Test', operatorName: 'Test Operator' }, context);
  operator = createOperatorIdentity({ fleetRoot: fleet.root.certificate, ...fleet.operator });
  agent = await createFakeAgent();
  await enroll();
});

afterEach(async () => {
  stop.abort();
  expect([...new Set(await Promise.all(upkeep))]).toEqual(['CANCELLED']);
  await Promise.all(pools.map((pool) => pool.rest()));
  await agent.stop();
});

describe('a link whose connection lives in a shard', () => {
  it('is down as soon as a stream says that its operator is locked out, before whoever used it has done anything', async () => {
    const link = poolOf(openShardHere).link({ endpoint: { address: '127.0.0.1', port: agent.port }, identity, operator });
    const done = Promise.withResolvers<void>();
    const work: Parameters<AgentLink['maintain']>[0] = async (client, signal) => {
      const watching = client.watchStatus(() => seen.resolve(), signal).catch(errorCodeOf);
      await done.promise;
      throw new NestError('HOST_UNREACHABLE', String(await watching));
    };
    const seen = Promise.withResolvers<void>();
    upkeep.push(link.maintain(work, stop.signal).catch(errorCodeOf));
    await seen.promise;
    agent.lockOut();
    expect(await reached(link, ({ kind }) => kind === 'down')).toMatchObject({ error: { code: 'REVOKED' } });
    done.resolve();
    expect(link.state.kind).toBe('down');
  });

  it('comes up, carries calls, refusals, deadlines and cancellation, and goes down with its agent', async () => {
    const link = maintain(poolOf(openShardHere));
    expect(await reached(link, isUp)).toMatchObject({ agentVersion: '1.2.3', isResumed: false });
    const client = await link.client(100, never);
    expect((await client.getHost({ signal: never })).facts).toBeDefined();
    agent.state.refusal = new NestError('REVISION_CONFLICT', 'Revision 7 is current.', { details: { currentRevision: 7 } });
    const request = { baseRevision: 1n, policyJson: '{}', flowWindowMinutes: 15 };
    await expect(client.planConfig(request, { signal: never })).rejects.toMatchObject({
      code: 'REVISION_CONFLICT',
      details: { currentRevision: 7 },
    });
    agent.state.refusal = null;
    agent.state.hold = new Promise(() => undefined);
    await expect(client.planConfig(request, { signal: never, deadlineMs: 60 })).rejects.toMatchObject({ code: 'TIMED_OUT' });
    const gone = new AbortController();
    const call = client.planConfig(request, { signal: gone.signal }).catch(errorCodeOf);
    gone.abort();
    expect(await call).toBe('CANCELLED');
    agent.state.hold = null;
    await agent.stop();
    expect(await reached(link, ({ kind }) => kind === 'down')).toMatchObject({ error: { code: 'HOST_UNREACHABLE' } });
    await expect(client.getHost({ signal: never })).rejects.toMatchObject({ code: 'HOST_UNREACHABLE' });
    await agent.start();
    expect(await reached(link, isUp)).toMatchObject({ isResumed: false });
  });

  it('gives statuses as they come, to a reader who is slow as well', async () => {
    const link = maintain(poolOf(openShardHere));
    const client = await link.client(8_000, never);
    const seen: number[] = [];
    const enough = new AbortController();
    const emitLater = async (): Promise<void> => {
      if (seen.length % 7 === 0) await new Promise((resolve) => setTimeout(resolve, 5));
      agent.emit();
    };
    await client.watchStatus(
      ({ timeMs }) => {
        seen.push(Number(timeMs));
        if (seen.length === 30) enough.abort();
        else void emitLater();
      },
      AbortSignal.any([enough.signal, AbortSignal.timeout(8_000)]),
    );
    expect(seen).toHaveLength(30);
  });

  it('is judged by the key that is approved now', async () => {
    const record = { ...identity, spkiSha256: 'ab'.repeat(32) };
    const pool = poolOf(openShardHere);
    const link = maintain(pool, record);
    expect(await reached(link, ({ kind }) => kind === 'down')).toMatchObject({ error: { code: 'IDENTITY_MISMATCH' } });
    record.spkiSha256 = identity.spkiSha256;
    pool.identityChanged(agentId);
    await reached(link, isUp);
  });

  it('moves when its shard is lost, and calls that ran there fail', async () => {
    const shards: ReturnType<typeof openShardHere>[] = [];
    const open = (): ConsoleEnd => {
      const shard = openShardHere();
      shards.push(shard);
      return shard;
    };
    const link = maintain(poolOf(open));
    const client = await link.client(8_000, never);
    agent.state.hold = new Promise(() => undefined);
    const call = client.planConfig({ baseRevision: 1n, policyJson: '{}', flowWindowMinutes: 15 }, { signal: never }).catch(errorCodeOf);
    await new Promise((resolve) => setTimeout(resolve, 30));
    shards[0]?.lose();
    expect(await call).toBe('HOST_UNREACHABLE');
    await reached(link, isUp);
    expect(shards).toHaveLength(2);
  });

  it('shows agents what was proven with a second factor, also what is proven later', async () => {
    agent.state.sessionToken = 'token-1';
    const link = maintain(poolOf(openShardHere));
    await reached(link, isUp);
    const client = await link.client(100, never);
    const request = { baseRevision: 1n, policyJson: '{}', flowWindowMinutes: 15 };
    await expect(client.planConfig(request, { signal: never })).rejects.toMatchObject({ code: 'MFA_REQUIRED' });
    const statement = { payloadType: stepUpType, payload: Buffer.from('{}'), signatures: [] };
    operator.show({ statements: [statement], expiresAt: Date.now() + 60_000 });
    expect(await client.planConfig(request, { signal: never })).toMatchObject({ canApply: true });
    agent.state.sessionToken = 'token-2';
    // What was shown once is not shown again to an agent that wants something fresher.
    await expect(client.planConfig(request, { signal: never })).rejects.toMatchObject({ code: 'MFA_REQUIRED' });
    operator.show({ statements: [statement], expiresAt: Date.now() + 120_000 });
    expect(await client.planConfig(request, { signal: never })).toMatchObject({ canApply: true });
  });

  it('lives in a thread of its own in a big fleet, and in the console itself in a small one', async () => {
    let threads = 0;
    const open = (): ConsoleEnd => {
      threads += 1;
      return openShardThread(new URL('shard/shard-main.ts', import.meta.url));
    };
    await reached(maintain(poolOf(open, 249)), isUp);
    expect(threads).toBe(0);
    const link = maintain(poolOf(open, 250));
    await reached(link, isUp);
    expect((await (await link.client(100, never)).getHost({ signal: never })).facts).toBeDefined();
    expect(threads).toBe(1);
  });
});
