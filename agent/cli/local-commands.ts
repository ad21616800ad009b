import type { AgentConfig } from '../config/schema.ts';
import { agentVersion } from '../config/version.ts';
import type { System } from '../system.ts';
import type { JoinAnswer, LeaveAnswer, LocalRequest, StatusAnswer } from './local-protocol.ts';

/** What the running agent does for commands of its own host. */
export const handleLocal = async (
  request: LocalRequest,
  system: System,
  config: AgentConfig,
): Promise<JoinAnswer | LeaveAnswer | StatusAnswer> => {
  if (request.command === 'status') return statusOf(system, config);
  if (request.command === 'leave') {
    const fleetId = system.identity.identity()?.fleetId ?? '';
    await system.auditLocal('enrollment.leave', () => system.identity.leave());
    await system.server.settled();
    return { fleetId };
  }
  const opened = await system.auditLocal('enrollment.join', () => system.identity.openEnrollment(request.token));
  // The console dials as soon as the operator sees the answer: the port must be open by then.
  await system.server.settled();
  return { ...opened, address: config.listen.address, port: system.server.grpcPort };
};

const statusOf = ({ identity, server, traffic, revisions, host }: System, config: AgentConfig): StatusAnswer => {
  const own = identity.identity();
  const enrollment = identity.enrollment();
  const { mode, observeReason, generation, adopted, flows, interfaces } = traffic.status();
  const pending = revisions.pending();
  return {
    name: config.name,
    version: agentVersion,
    fingerprint: identity.fingerprint(),
    agentId: own?.agentId ?? null,
    fleetId: own?.fleetId ?? null,
    certificateEndsAtMs: own?.endsAtMs ?? null,
    enrollment: enrollment === null ? null : { expiresAtMs: enrollment.expiresAtMs, attemptsLeft: enrollment.attemptsLeft },
    grpc: { mode: server.mode, port: server.grpcPort },
    traffic: { mode, observeReason, generation, adopted, flows },
    interfaces: interfaces.map(({ name, mode: attached, problem }) => ({ name, mode: attached, problem })),
    revision: revisions.current().revision,
    pending:
      pending === null
        ? null
        : { revision: pending.revision, previousRevision: pending.previousRevision, remainingMs: pending.remainingMs },
    warnings: host.warnings().map(({ code, severity, title, message }) => ({ code, severity, title, message })),
  };
};
