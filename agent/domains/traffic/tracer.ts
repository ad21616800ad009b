import { NestError } from '../../../proto/model/error.ts';
import { packetWords, traceFlow, traceSteps } from '../../engine/api.ts';
import type { Engine, EngineTrace, Judgement, TraceNames } from '../../engine/api.ts';
import type { TraceResult } from './api.ts';
import { backendPlaces } from './balancing/backend-places.ts';
import type { SequenceRecord } from './counter-ledger.ts';
import type { PolicyTables } from './policy-tables.ts';

/** Ethernet header alone to a full frame with two tags, bytes. */
const tracedBytes = { min: 14, max: 1514 } as const;
/** A policy that is swapped meanwhile makes one more try. */
const triesMax = 3;

export interface TraceContext {
  readonly engine: Engine;
  readonly sequence: (sequence: number) => SequenceRecord | undefined;
  /** Tables in force, when they are known. */
  readonly tables: () => PolicyTables | null;
  /** Interfaces of engines outside the kernel, with the engine; empty while it does not serve. */
  readonly userEngines: ReadonlyMap<string, string>;
  /** Name of an interface by its index. */
  readonly nameOf: (index: number) => string;
}

/** Runs the packet through the loaded program without effect and explains its way. Raises PACKET_INVALID, INTERFACE_UNKNOWN, ENGINE_FAILED. */
export const tracePacket = async (
  request: { readonly interface: string; readonly packet: Uint8Array },
  context: TraceContext,
  signal: AbortSignal,
): Promise<TraceResult> => {
  const { packet } = request;
  if (packet.length < tracedBytes.min || packet.length > tracedBytes.max) {
    throw new NestError(
      'PACKET_INVALID',
      `The packet has ${String(packet.length)} bytes: give ${String(tracedBytes.min)} to ${String(tracedBytes.max)}, from the Ethernet header on.`,
    );
  }
  const attached = [...context.engine.state().interfaces.map(({ name }) => name), ...context.userEngines.keys()];
  if (!attached.includes(request.interface)) {
    throw new NestError(
      'INTERFACE_UNKNOWN',
      `Nest is not attached to ${JSON.stringify(request.interface.slice(0, 63))}: choose one of ${attached.join(', ') || 'none (nothing is attached)'}.`,
    );
  }
  for (let tries = 1; ; tries++) {
    const trace = await context.engine.trace(packet, request.interface);
    signal.throwIfAborted();
    if (trace.sequence === context.engine.state().sequence || tries === triesMax) return explain(request, trace, context);
  }
};

const explain = (
  request: { readonly interface: string; readonly packet: Uint8Array },
  trace: EngineTrace,
  context: TraceContext,
): TraceResult => {
  const record = context.sequence(trace.sequence);
  const tables = context.tables();
  const inForce = tables !== null && tables.generation === record?.generation ? tables : null;
  const mapping = trace.mapping === null ? '' : (record?.mappings[trace.mapping]?.name ?? `#${String(trace.mapping)}`);
  const judgement = judge(request.packet, trace, inForce);
  const agreed = judgement !== null && (judgement.mapping ?? '') === mapping ? judgement : null;
  return {
    allowed: trace.outcome !== 'drop',
    reason: trace.reason,
    mapping,
    priority: agreed?.priority ?? 0,
    steps: withEngine(
      traceSteps({
        packet: request.packet,
        trace,
        mapping,
        judgement: agreed,
        defaultAction: record?.isDefaultAllow === false ? 'deny' : 'allow',
        names: traceNames(trace, inForce, context),
      }),
      { name: request.interface, engine: context.userEngines.get(request.interface) },
    ),
    generation: record?.generation ?? '',
    interface: request.interface,
    durationNs: trace.durationNs,
    sourceServices: agreed?.sourceServices ?? [],
    destinationServices: agreed?.destinationServices ?? [],
    outcome: trace.outcome,
    output: trace.outcome === 'drop' ? new Uint8Array() : trace.output,
  };
};

/** Says which flows were not asked where another engine than the kernel's serves the interface. */
const withEngine = (
  steps: TraceResult['steps'],
  { name, engine }: { readonly name: string; readonly engine: string | undefined },
): TraceResult['steps'] => {
  if (engine === undefined || engine === '') return steps;
  const detail = `${name} is served by ${engine}: traced with the same tables in the kernel; the flow table of nest-fastpathd itself was not asked, so a live flow there may pass otherwise`;
  const after = steps.findIndex(({ stage }) => stage === 'flow' || stage === 'deny') + 1;
  return steps.toSpliced(after === 0 ? 1 : after, 0, { stage: 'flow', title: 'Engine', detail, subject: '' });
};

/** What indices in the trace stand for, as far as the tables in force are known. */
const traceNames = (trace: EngineTrace, tables: PolicyTables | null, context: TraceContext): TraceNames => {
  const places = tables === null ? [] : backendPlaces(tables.policy);
  const backend = trace.rewrite?.backend ?? null;
  const place = backend === null ? undefined : places[backend];
  return {
    denyList: trace.denyList === null ? null : (tables?.denyLists[trace.denyList]?.name ?? `#${String(trace.denyList)}`),
    backend: backend === null ? null : (place?.backend.name ?? `#${String(backend)}`),
    egress: typeof trace.rewrite?.egress === 'number' ? context.nameOf(trace.rewrite.egress) : null,
  };
};

const policyReasons: ReadonlySet<string> = new Set(['NO_POLICY', 'POLICY_ALLOW', 'POLICY_DENY', 'DEFAULT_ALLOW', 'DEFAULT_DENY']);

/** null when the data path did not ask the policy. */
const judge = (packet: Uint8Array, trace: EngineTrace, tables: PolicyTables | null): Judgement | null => {
  if (tables === null || trace.flow === traceFlow.hit || !policyReasons.has(trace.reason)) return null;
  const { tuple } = packetWords(packet, trace);
  return tuple === null ? null : tables.judge.judge(tuple);
};
