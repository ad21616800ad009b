/** Asks a host what would happen to a packet, and judges the same packet under a draft. */
import { addressFromBytes, formatAddress, openImage } from '../../../native/image/api.ts';
import type { TrafficTuple } from '../../../native/image/api.ts';
import type { VerdictProgram } from '../../../native/wasm/index.ts';
import { reasonName, reasonSentence } from '../../../proto/model/reason.ts';
import type { PolicyRevision, Trace } from '../../bridge/model.ts';
import type { AgentClient } from '../../grpc/api.ts';
import { isCancelled } from '../../lib/api.ts';
import { isAbsence } from '../hosts/live-or-kept.ts';
import type { ManagedHost } from '../hosts/managed-host.ts';
import { wireFilterOf } from '../hosts/balancing-model.ts';
import { flowRowOf, named } from '../hosts/wire-model.ts';
import { imageOf } from '../policy/policy-check.ts';
import { buildPacket, parseHex } from './packet-builder.ts';
import type { PacketForm } from './packet-builder.ts';
import { traceOffline } from './offline-tracer.ts';
import { tupleOf } from './packet-reader.ts';

/** Flows looked through for the one a packet belongs to. */
const flowsMax = 1000;

const outcomes: readonly Trace['outcome'][] = ['pass', 'drop', 'transmit', 'redirect'];

export interface TraceRequest {
  readonly interface: string;
  readonly packet: PacketForm | { readonly hex: string };
  readonly draft?: string | undefined;
}

export interface TraceContext {
  readonly host: ManagedHost;
  /** Milliseconds since the Unix epoch. */
  readonly now: () => number;
  /** The policy the host was last seen with; null when there is none. */
  readonly kept: () => PolicyRevision | null;
  /** The verdict in WebAssembly. Raises ENGINE_UNAVAILABLE. */
  readonly program: () => Promise<VerdictProgram>;
}

/** Asks the host's live program; when it is not there, its last policy is asked here. Raises PACKET_INVALID, POLICY_INVALID (draft), INTERFACE_UNKNOWN, OBSERVE_ONLY, ENGINE_UNAVAILABLE and what stands between here and the host. */
export const tracePacket = async (context: TraceContext, request: TraceRequest, signal: AbortSignal): Promise<Trace> => {
  const packet = 'hex' in request.packet ? parseHex(request.packet.hex) : buildPacket(request.packet);
  try {
    return await traceLive(context, { ...request, packet }, signal);
  } catch (error) {
    const kept = isCancelled(error) || !isAbsence(error) ? null : context.kept();
    if (kept === null) throw error;
    return await traceOffline({ ...request, packet, draft: request.draft, nowMs: context.now() }, kept, await context.program());
  }
};

const traceLive = async (
  { host, now }: TraceContext,
  request: { readonly interface: string; readonly packet: Uint8Array; readonly draft?: string | undefined },
  signal: AbortSignal,
): Promise<Trace> => {
  const { packet } = request;
  const draft = request.draft === undefined ? undefined : openImage(imageOf(request.draft, now()).image);
  const client = await host.client(signal);
  const answer = await client.tracePacket({ interface: request.interface, packet: Buffer.from(packet) }, { signal });
  const reason = reasonName(answer.reason);
  const isJudged = answer.mapping !== '' || reason === 'POLICY_ALLOW' || reason === 'POLICY_DENY';
  let judgement: Trace['draft'] = null;
  if (draft !== undefined) {
    const tuple = tupleOf(packet);
    if (tuple === undefined) {
      // Policy is not asked about such a packet, so a draft changes nothing.
      judgement = { allowed: answer.allowed, reason, mapping: null };
    } else {
      const { action, reason: draftReason, mapping } = draft.judge(reason === 'FLOW' ? await initiatorTuple(client, tuple, signal) : tuple);
      judgement = { allowed: action === 'allow', reason: draftReason, mapping: mapping ?? null };
    }
  }
  return {
    allowed: answer.allowed,
    reason,
    sentence: reasonSentence(reason),
    mapping: named(answer.mapping),
    priority: isJudged ? answer.priority : null,
    steps: answer.steps.map(({ stage, title, detail, subject }) => ({ stage, title, detail, subject: named(subject) })),
    revision: Number(answer.revision),
    generation: answer.generation,
    interface: answer.interface,
    durationNs: answer.durationNs,
    live: true,
    at: now(),
    hex: Buffer.from(packet).toString('hex'),
    outcome: outcomes.find((name) => name === answer.outcome) ?? (answer.allowed ? 'pass' : 'drop'),
    outputHex: answer.output.length === 0 ? null : Buffer.from(answer.output).toString('hex'),
    draft: judgement,
  };
};

/** A new policy judges a live flow by who opened it, so an answering packet is turned round first. */
const initiatorTuple = async (client: AgentClient, tuple: TrafficTuple, signal: AbortSignal): Promise<TrafficTuple> => {
  const source = textOf(tuple.source);
  const destination = textOf(tuple.destination);
  const { flows } = await client.listFlows(
    { filter: wireFilterOf({ address: source, port: tuple.destinationPort, verdict: 'allowed' }), limit: flowsMax, windowSeconds: 0 },
    { signal },
  );
  const isAnswer = flows
    .map(flowRowOf)
    .some(
      (flow) =>
        flow.state === 'live' &&
        flow.source === destination &&
        flow.destination === source &&
        flow.sourcePort === (tuple.destinationPort ?? 0) &&
        flow.destinationPort === (tuple.sourcePort ?? 0),
    );
  if (!isAnswer) return tuple;
  return {
    ...tuple,
    source: tuple.destination,
    destination: tuple.source,
    sourcePort: tuple.destinationPort,
    destinationPort: tuple.sourcePort,
  };
};

const textOf = (address: string | Uint8Array): string => {
  if (typeof address === 'string') return address;
  const parsed = addressFromBytes(address);
  return parsed === undefined ? '' : formatAddress(parsed);
};
