/** The audit logs of the fleet, as the bridge asks for them. */
import { brokenAt } from '../../../proto/model/audit.ts';
import type { ChainEnd } from '../../../proto/model/audit.ts';
import { AuditWalk, auditProblemOf } from '../../../proto/model/audit-walk.ts';
import type { AuditProblem } from '../../../proto/model/audit-walk.ts';
import type { BridgeHandlers } from '../../bridge/contract.ts';
import type { AuditCheck } from '../../bridge/model.ts';
import type { AgentClient } from '../../grpc/api.ts';
import { throwIfCancelled } from '../../lib/api.ts';
import type { HandlerContext } from '../handler-context.ts';
import { exportHeader, exportPiece } from './audit-export.ts';
import { auditTimeline } from './audit-timeline.ts';

type Handled = Extract<keyof BridgeHandlers, `audit.${string}`>;

/** Entries asked for at a time while a log is walked. */
const walkPage = 50_000;

export const auditHandlers = (context: HandlerContext): Pick<BridgeHandlers, Handled> => ({
  'audit.heads': () => Promise.resolve(context.roster.all.map((host) => host.witness.row())),
  'audit.list': (filter, signal) => auditTimeline(context, filter, signal),
  'audit.verify': ({ hostId }, signal) => walkLog(context, hostId, signal),
  'audit.accept': async ({ hostId }, signal) => {
    const host = context.roster.get(hostId);
    await host.witness.accept(await host.client(signal), signal);
    return host.witness.row();
  },
  'audit.exportHeader': ({ hostIds }) => exportHeader(context, hostIds),
  'audit.export': (request, signal) => exportPiece(context, request, signal),
});

/** Walks everything the host keeps up to a fresh head, and past what this console remembers. Raises what the host says. */
const walkLog = async ({ roster, clock }: HandlerContext, hostId: string, signal: AbortSignal): Promise<AuditCheck> => {
  const startedMs = clock.monotonicMs();
  const host = roster.get(hostId);
  const client = await host.client(signal);
  const { head: envelope, firstNumber } = await client.getAuditHead({ signal });
  const head = host.witness.headOf(envelope);
  const first = Number(firstNumber);
  const walk = new AuditWalk();
  let problem: AuditCheck['problem'];
  try {
    await walkEntries({ client, walk, first, last: head.number, remembered: host.witness.remembered() }, signal);
    problem = walk.end.hash.equals(head.hash) ? walk.beginning() : notSigned(head.number);
  } catch (error) {
    problem = auditProblemOf(error, walk.end.number + 1);
  }
  const last = walk.end.number;
  return {
    hostId,
    hostName: host.record.name,
    first,
    last,
    entries: Math.max(0, last - first + 1),
    durationMs: Math.round(clock.monotonicMs() - startedMs),
    problem: problem ?? cutOff(host.witness.remembered(), head.number),
  };
};

interface WalkRequest {
  readonly client: AgentClient;
  readonly walk: AuditWalk;
  readonly first: number;
  readonly last: number;
  readonly remembered: ChainEnd | null;
}

const walkEntries = async ({ client, walk, first, last, remembered }: WalkRequest, signal: AbortSignal): Promise<void> => {
  for (let after = first - 1; after < last; after = walk.end.number) {
    for await (const piece of client.listAuditEntries({ after, max: Math.min(walkPage, last - after) }, signal)) {
      for (const bytes of piece) {
        walk.take(bytes, first);
        const { number, hash } = walk.end;
        if (number === remembered?.number && !hash.equals(remembered.hash)) throw brokenAt(number, notSigned(number).message);
      }
    }
    throwIfCancelled(signal);
    if (walk.end.number <= after) throw brokenAt(after + 1, `Entry ${String(after + 1)} was signed for, but the host does not give it.`);
  }
};

const notSigned = (number: number): AuditProblem => ({ number, message: `Entry ${String(number)} is not the one that was signed for.` });

const cutOff = (remembered: ChainEnd | null, last: number): AuditProblem | null =>
  remembered === null || remembered.number <= last
    ? null
    : { number: last + 1, message: `Entries ${String(last + 1)} to ${String(remembered.number)} were signed for and are missing.` };
