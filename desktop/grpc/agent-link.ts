/** One maintained connection to one agent: paced handshakes, Hello first, work while it lives, growing pauses when it breaks. */
import { NestError } from '../../proto/model/error.ts';
import { wireFeatures } from '../../proto/model/limits.ts';
import { backoffDelayMs, createLatest, isCancelled, throwIfCancelled } from '../lib/api.ts';
import type { Clock, Gate, RandomBytes } from '../lib/api.ts';
import { createAgentClient } from './agent-client.ts';
import type { AgentClient } from './agent-client.ts';
import { createBulkChannel } from './bulk-channel.ts';
import { callOnce } from './call.ts';
import type { Wire } from './call.ts';
import { openBulkChannel, openChannel } from './channel.ts';
import type { Channel, Endpoint } from './channel.ts';
import type { CredentialOptions } from './agent-credentials.ts';
import type { OperatorIdentity } from './operator-identity.ts';
import { agentIdentityProblem, agentServerName } from './peer-identity.ts';
import type { AgentIdentity } from './peer-identity.ts';
import { nestErrorOf } from './status-error.ts';
import { createWireSession } from './wire-session.ts';
import { connectPlaceMs, helloTimeoutMs, reconnectLimits, stableAfterMs } from './wire-limits.ts';

export type LinkState =
  | { readonly kind: 'connecting' }
  | {
      readonly kind: 'up';
      readonly client: AgentClient;
      /** Console clock. */
      readonly since: number;
      readonly agentVersion: string;
      /** What the agent understands beyond the first version. */
      readonly features: readonly string[];
      /** Host clock minus console clock, half the round trip taken off. */
      readonly clockSkewMs: number;
      readonly roundTripMs: number;
      readonly isResumed: boolean;
    }
  | { readonly kind: 'down'; readonly error: NestError; readonly since: number; readonly attempts: number };

export interface AgentLink {
  readonly state: LinkState;
  follow(signal: AbortSignal): AsyncIterable<LinkState>;
  /** Connects, runs `work` while the connection lives and starts over until the signal aborts. `work` ends by failing. */
  maintain(work: (client: AgentClient, signal: AbortSignal) => Promise<void>, signal: AbortSignal): Promise<void>;
  /**
   * The client, waiting at most `waitMs` for a first or renewed connection. Raises why there is none:
   * HOST_UNREACHABLE, CERTIFICATE_INVALID, IDENTITY_MISMATCH, TIMED_OUT.
   */
  client(waitMs: number, signal: AbortSignal): Promise<AgentClient>;
}

export interface AgentLinkOptions {
  readonly endpoint: Endpoint;
  readonly identity: AgentIdentity;
  readonly operator: OperatorIdentity;
  readonly consoleVersion: string;
  readonly clock: Clock;
  readonly random: RandomBytes;
  /** Shared by all links of the console. */
  readonly gate: Gate;
}

/** A link that does nothing until `maintain` runs. */
export const createAgentLink = (options: AgentLinkOptions): AgentLink => {
  const { clock } = options;
  const state = createLatest<LinkState>({ kind: 'connecting' });
  const isUp = (): boolean => state.value.kind === 'up';
  return {
    get state() {
      return state.value;
    },
    follow: (signal) => state.follow(signal),
    maintain: async (work, signal) => {
      for (let attempts = 1; !signal.aborted; attempts += 1) {
        const bulk = createBulkChannel(() => openBulkChannel(options.endpoint, credentialsOf(options)));
        let channel: Channel | undefined;
        const startedMs = clock.monotonicMs();
        try {
          // Behind the gate, too: a thousand channels made in one turn would hold up the event loop.
          const up = await options.gate.run((leave) => {
            channel = openChannel(options.endpoint, credentialsOf(options));
            return greet({ channel, client: createAgentClient(withSession(channel, options), bulk), leave }, options, signal);
          }, signal);
          state.set(up);
          await work(up.client, signal);
          throw new NestError('HOST_UNREACHABLE', 'The agent ended the connection. It will be made again.');
        } catch (error) {
          if (signal.aborted || isCancelled(error)) break;
          if (isUp() && clock.monotonicMs() - startedMs > stableAfterMs) attempts = 1;
          state.set({ kind: 'down', error: nestErrorOf(error), since: downSince(state.value, clock), attempts });
        } finally {
          bulk.close();
          channel?.close();
        }
        await clock.sleep(backoffDelayMs(attempts, reconnectLimits, options.random), signal).catch(() => undefined);
      }
      throwIfCancelled(signal);
    },
    client: async (waitMs, signal) => {
      const giveUp = new AbortController();
      const timer = clock.sleep(waitMs, AbortSignal.any([signal, giveUp.signal])).then(
        () => giveUp.abort(),
        () => undefined,
      );
      try {
        for await (const current of state.follow(AbortSignal.any([signal, giveUp.signal]))) {
          if (current.kind === 'up') return current.client;
        }
      } finally {
        giveUp.abort();
        await timer;
      }
      throwIfCancelled(signal);
      throw state.value.kind === 'down'
        ? state.value.error
        : new NestError('HOST_UNREACHABLE', 'The host has not answered yet. Check that it is up and that its agent runs.');
    },
  };
};

/** The calls of a connection, with the session that its agent may ask for. */
const withSession = (channel: Channel, { operator, clock }: AgentLinkOptions): Wire => {
  const { client, failure } = channel;
  const session = createWireSession({
    evidence: () => operator.evidence,
    now: () => clock.now(),
    ask: (method, call) => callOnce(channel, method, call),
  });
  return { client, failure, session };
};

const downSince = (before: LinkState, clock: Clock): number => (before.kind === 'down' ? before.since : clock.now());

const credentialsOf = ({ identity, operator }: AgentLinkOptions): CredentialOptions => ({
  operator,
  serverName: agentServerName(identity.agentId),
  sessionKey: `${identity.agentId} ${identity.spkiSha256}`,
  isChainVerified: true,
  judge: (certificate) => agentIdentityProblem(certificate, identity, operator.rootNames),
});

/** First call on every connection: both ends learn who the other is, and how far the clocks are apart. */
const greet = async (
  { channel, client, leave }: { readonly channel: Channel; readonly client: AgentClient; readonly leave: () => void },
  options: AgentLinkOptions,
  signal: AbortSignal,
): Promise<LinkState & { readonly kind: 'up' }> => {
  const { clock, identity } = options;
  // Without the handshakes, so that the round trip says something about the clocks.
  await channel.settled(connectPlaceMs, signal);
  if (!channel.isSettled()) {
    leave();
    await channel.settled(helloTimeoutMs - connectPlaceMs, signal);
    if (!channel.isSettled())
      throw new NestError('HOST_UNREACHABLE', 'The host does not answer. Check that it is up, that its agent runs, and the way to it.');
  }
  const askedAt = clock.now();
  const startedMs = clock.monotonicMs();
  const request = { consoleVersion: options.consoleVersion, features: [...wireFeatures], timeMs: BigInt(Math.round(askedAt)) };
  const answer = await client.hello(request, { signal, deadlineMs: helloTimeoutMs });
  const roundTripMs = clock.monotonicMs() - startedMs;
  if (answer.agentId !== identity.agentId || answer.fleetId !== identity.fleetId) {
    throw new NestError('IDENTITY_MISMATCH', 'The agent says it is another one than its certificate. Remove the host and add it again.', {
      details: { expected: identity.agentId, presented: answer.agentId },
    });
  }
  return {
    kind: 'up',
    client,
    since: clock.now(),
    agentVersion: answer.agentVersion,
    features: answer.features,
    clockSkewMs: clockSkewMs({ hostTimeMs: Number(answer.timeMs), askedAt, roundTripMs }),
    roundTripMs,
    isResumed: channel.isResumed(),
  };
};

/** Host clock minus console clock at the moment the host read it, taken as half way through the round trip. Milliseconds. */
export const clockSkewMs = (reading: { readonly hostTimeMs: number; readonly askedAt: number; readonly roundTripMs: number }): number =>
  Math.round(reading.hostTimeMs - (reading.askedAt + reading.roundTripMs / 2));
