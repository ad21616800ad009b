/** Shows a break-glass grant to an agent, over a connection of its own: who has no role is not greeted on others. */
import type { SignedEnvelope } from '../../proto/gen/nest/v1/envelope.ts';
import { SessionServiceService } from '../../proto/gen/nest/v1/session.ts';
import { callUnary } from './call.ts';
import { openChannel } from './channel.ts';
import type { Endpoint } from './channel.ts';
import type { OperatorIdentity } from './operator-identity.ts';
import { agentIdentityProblem, agentServerName } from './peer-identity.ts';
import type { AgentIdentity } from './peer-identity.ts';
import { helloTimeoutMs } from './wire-limits.ts';

export interface GrantExchange {
  readonly endpoint: Endpoint;
  readonly identity: AgentIdentity;
  readonly operator: OperatorIdentity;
  readonly grant: SignedEnvelope;
  /** Console clock, milliseconds since the Unix epoch. */
  readonly now: number;
  readonly signal: AbortSignal;
}

/** How long the grant lives on that host from now on, milliseconds. Raises what the agent says, HOST_UNREACHABLE, TIMED_OUT, CANCELLED. */
export const presentGrant = async ({ endpoint, identity, operator, grant, now, signal }: GrantExchange): Promise<number> => {
  const channel = openChannel(endpoint, {
    operator,
    serverName: agentServerName(identity.agentId),
    sessionKey: `${identity.agentId} ${identity.spkiSha256}`,
    isChainVerified: true,
    judge: (certificate) => agentIdentityProblem(certificate, identity, operator.rootNames),
  });
  try {
    await channel.settled(helloTimeoutMs, signal);
    const request = { statements: [], grant, timeMs: BigInt(Math.round(now)) };
    return (await callUnary(channel, SessionServiceService.authenticate, { request, signal })).lifeMs;
  } finally {
    channel.close();
  }
};
