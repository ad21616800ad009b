/** Keeps one connection to one agent: paced handshakes, Hello first, work while it lives, growing pauses when it breaks. */
import { SessionServiceService } from '../../proto/gen/nest/v1/session.ts';
import { errorCodeOf, NestError } from '../../proto/model/error.ts';
import { wireFeatures } from '../../proto/model/limits.ts';
import { backoffDelayMs, throwIfCancelled } from '../lib/api.ts';
import type { Clock, Gate, RandomBytes } from '../lib/api.ts';
import type { CredentialOptions } from './agent-tls.ts';
import { createBulkChannel } from './bulk-channel.ts';
import { callUnary } from './call.ts';
import { openBulkChannel, openChannel } from './channel.ts';
import type { Channel, Endpoint } from './channel.ts';
import type { OperatorIdentity } from './operator-identity.ts';
import { agentIdentityProblem, agentServerName } from './peer-identity.ts';
import type { AgentIdentity } from './peer-identity.ts';
import { nestErrorOf } from './status-error.ts';
import type { Wire } from './wire.ts';
import { createSessionWire, createWireSession } from './wire-session.ts';
import type { HandshakePace } from './handshake-pace.ts';
import { lockedOutLimits, reconnectLimits, stableAfterMs } from './wire-limits.ts';

/** What both ends said of themselves when the connection was made. */
export interface Greeting {
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

/** The ways to one connected agent: for calls and statuses, and for long answers. */
export interface Wires {
  readonly calls: Wire;
  readonly bulk: Pick<Wire, 'stream'>;
}

export interface Outage {
  readonly error: NestError;
  readonly since: number;
  readonly attempts: number;
}

export interface ConnectionOptions {
  readonly endpoint: Endpoint;
  /** Asked anew for each handshake: keys may change. */
  readonly identity: AgentIdentity;
  readonly operator: OperatorIdentity;
  readonly consoleVersion: string;
  readonly clock: Clock;
  readonly random: RandomBytes;
  /** Shared by all connections of the thread. */
  readonly gate: Gate;
  /** The same. */
  readonly pace: HandshakePace;
}

export interface ConnectionWork {
  /** Runs while the connection lives and ends by failing, which ends the connection. */
  work(wires: Wires, greeting: Greeting, signal: AbortSignal): Promise<void>;
  broke(outage: Outage): void;
}

/** Connects and starts over until the signal aborts; raises CANCELLED then. */
export const maintainConnection = async (options: ConnectionOptions, work: ConnectionWork, signal: AbortSignal): Promise<void> => {
  const { clock } = options;
  let since: number | null = null;
  let lockedOut = 0;
  for (let attempts = 1; !signal.aborted; attempts += 1) {
    const bulk = createBulkChannel(() => openBulkChannel(options.endpoint, credentialsOf(options)));
    let channel: Channel | undefined;
    let isUp = false;
    const startedMs = clock.monotonicMs();
    try {
      // Behind the gate, too: a thousand channels made in one turn would hold up the event loop.
      const made = await options.gate.run(async (leave) => {
        channel = openChannel(options.endpoint, credentialsOf(options));
        return { calls: withSession(channel, options), greeting: await greet({ channel, leave }, options, signal) };
      }, signal);
      isUp = true;
      since = null;
      await work.work({ calls: made.calls, bulk }, made.greeting, signal);
      throw new NestError('HOST_UNREACHABLE', 'The agent ended the connection. It will be made again.');
    } catch (error) {
      if (signal.aborted) break;
      if (isUp && clock.monotonicMs() - startedMs > stableAfterMs) attempts = 1;
      since ??= clock.now();
      // Who was locked out does not get in again by asking often, and every handshake costs the host as much as him.
      lockedOut = errorCodeOf(error) === 'REVOKED' ? lockedOut + 1 : 0;
      work.broke({ error: nestErrorOf(error), since, attempts });
    } finally {
      bulk.close();
      channel?.close();
    }
    const [pauses, limits] = lockedOut > 0 ? ([lockedOut, lockedOutLimits] as const) : ([attempts, reconnectLimits] as const);
    await clock.sleep(backoffDelayMs(pauses, limits, options.random), signal).catch(() => undefined);
  }
  throwIfCancelled(signal);
};

/** The calls of a connection, with the session that its agent may ask for. */
const withSession = (channel: Channel, { operator, clock }: ConnectionOptions): Wire => {
  const session = createWireSession({
    evidence: () => operator.evidence,
    now: () => clock.now(),
    ask: (method, call) => callUnary(channel, method, call),
  });
  return createSessionWire(
    channel.withToken(() => session.token),
    session,
  );
};

const credentialsOf = ({ identity, operator }: ConnectionOptions): CredentialOptions => ({
  operator,
  serverName: agentServerName(identity.agentId),
  sessionKey: `${identity.agentId} ${identity.spkiSha256}`,
  isChainVerified: true,
  judge: (certificate) => agentIdentityProblem(certificate, identity, operator.rootNames),
});

/** First call on every connection: both ends learn who the other is, and how far the clocks are apart. */
const greet = async (
  { channel, leave }: { readonly channel: Channel; readonly leave: () => void },
  options: ConnectionOptions,
  signal: AbortSignal,
): Promise<Greeting> => {
  const { clock, identity, pace } = options;
  const { placeMs, timeoutMs } = pace;
  const begunMs = clock.monotonicMs();
  // Without the handshakes, so that the round trip says something about the clocks.
  await channel.settled(placeMs, signal);
  if (!channel.isSettled()) {
    leave();
    await channel.settled(Math.max(0, timeoutMs - placeMs), signal);
    if (!channel.isSettled())
      throw new NestError('HOST_UNREACHABLE', 'The host does not answer. Check that it is up, that its agent runs, and the way to it.');
  }
  const askedAt = clock.now();
  const startedMs = clock.monotonicMs();
  const request = { consoleVersion: options.consoleVersion, features: [...wireFeatures], timeMs: BigInt(Math.round(askedAt)) };
  const answer = await callUnary(channel, SessionServiceService.hello, { request, signal, deadlineMs: timeoutMs });
  const roundTripMs = clock.monotonicMs() - startedMs;
  pace.took(clock.monotonicMs() - begunMs);
  if (answer.agentId !== identity.agentId || answer.fleetId !== identity.fleetId) {
    throw new NestError('IDENTITY_MISMATCH', 'The agent says it is another one than its certificate. Remove the host and add it again.', {
      details: { expected: identity.agentId, presented: answer.agentId },
    });
  }
  return {
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
