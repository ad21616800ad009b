/**
 * Where the connections of a fleet live: those of a small one in this thread, those of a big one in shards beside it, so that
 * handshakes, TLS and framing of thousands of hosts never hold up what an operator does.
 */
import { backoffDelayMs, createGate, createLatest, isCancelled, throwIfCancelled } from '../lib/api.ts';
import type { Clock, RandomBytes } from '../lib/api.ts';
import { linkOver, maintainHere } from './agent-link.ts';
import type { AgentLink, LinkState } from './agent-link.ts';
import type { Endpoint } from './channel.ts';
import type { OperatorIdentity } from './operator-identity.ts';
import type { AgentIdentity } from './peer-identity.ts';
import { createHandshakePace } from './handshake-pace.ts';
import { createRemoteShard } from './shard/shard-client.ts';
import type { RemoteShard } from './shard/shard-client.ts';
import type { ConsoleEnd } from './shard/shard-message.ts';
import {
  agentsPerShard,
  connectsInFlightMax,
  connectsWaitingMax,
  reconnectLimits,
  shardsFromHosts,
  shardsMax,
  shardStartsMax,
} from './wire-limits.ts';

export interface LinkPoolOptions {
  readonly clock: Clock;
  readonly random: RandomBytes;
  readonly consoleVersion: string;
  /** Of the fleet, now. */
  readonly hostCount: () => number;
  /** Starts a shard; absent: everything stays in this thread. */
  readonly openShard?: (() => ConsoleEnd) | undefined;
  readonly report: (message: string, fields: Readonly<Record<string, unknown>>) => void;
}

export interface LinkPool {
  /** A link that does nothing until `maintain` runs. */
  link(to: { readonly endpoint: Endpoint; readonly identity: AgentIdentity; readonly operator: OperatorIdentity }): AgentLink;
  /** Hosts that wait for their handshake. */
  readonly waiting: number;
  /** The identity of this agent says something else from now on. */
  identityChanged(agentId: string): void;
  /** Ends the shards; the next link starts new ones. Links must have ended. */
  rest(): Promise<void>;
}

interface Shard {
  readonly remote: RemoteShard;
  readonly stopFollowing: () => void;
}

/** An empty pool. */
export const createLinkPool = (options: LinkPoolOptions): LinkPool => {
  const gate = createGate({ inFlightMax: connectsInFlightMax, waitingMax: connectsWaitingMax });
  const pace = createHandshakePace();
  const shards = new Set<Shard>();
  let failures = 0;
  const start = (openShard: () => ConsoleEnd, operator: OperatorIdentity): Shard => {
    const remote = createRemoteShard({
      port: openShard(),
      clock: options.clock,
      onLost: (cause) => {
        failures += 1;
        shard.stopFollowing();
        shards.delete(shard);
        options.report('a shard of connections ended', { error: cause, failures });
      },
    });
    const identify = (): void => remote.identify(operator.material, operator.evidence);
    identify();
    const shard: Shard = {
      remote,
      stopFollowing: operator.onChanged(identify),
    };
    shards.add(shard);
    return shard;
  };
  /** Null: this thread. */
  const place = (operator: OperatorIdentity): Shard | null => {
    const { openShard } = options;
    if (openShard === undefined || options.hostCount() < shardsFromHosts || failures >= shardStartsMax) return null;
    const wanted = Math.min(shardsMax, Math.ceil(options.hostCount() / agentsPerShard));
    if (shards.size < wanted) return start(openShard, operator);
    return [...shards].reduce((least, shard) => (shard.remote.links < least.remote.links ? shard : least));
  };
  return {
    link: (to) => {
      const { clock, random, consoleVersion } = options;
      const state = createLatest<LinkState>({ kind: 'connecting' });
      return linkOver(state, clock, async (work, signal) => {
        for (let attempts = 1; ; attempts += 1) {
          throwIfCancelled(signal);
          const shard = place(to.operator);
          if (shard === null) return maintainHere({ ...to, gate, pace, clock, random, consoleVersion }, { state, work }, signal);
          try {
            await shard.remote.maintain({ options: { ...to, consoleVersion }, state, work }, signal);
          } catch (error) {
            if (signal.aborted || isCancelled(error)) throw error;
          }
          // That place is lost: elsewhere, after a moment.
          await clock.sleep(backoffDelayMs(attempts, reconnectLimits, random), signal);
        }
      });
    },
    get waiting() {
      return [...shards].reduce((sum, { remote }) => sum + remote.waiting, gate.waiting);
    },
    identityChanged: (agentId) => {
      for (const { remote } of shards) remote.identityChanged(agentId);
    },
    rest: async () => {
      const ending = [...shards];
      shards.clear();
      failures = 0;
      for (const { stopFollowing } of ending) stopFollowing();
      await Promise.all(ending.map(({ remote }) => remote.close()));
    },
  };
};
