/**
 * Judges a packet for a host that is not there: the same C as in its kernel, as WebAssembly, on the tables of the policy it was last
 * seen with. What only the host knows is missing: its live flows, the lists it keeps beside the policy, its routes.
 */
import { openImage } from '../../../native/image/api.ts';
import { traceSteps } from '../../../native/explain/api.ts';
import type { PacketTrace } from '../../../native/explain/api.ts';
import type { TracedVerdict, VerdictProgram } from '../../../native/wasm/index.ts';
import { reasonName, reasonSentence } from '../../../proto/model/reason.ts';
import type { PolicyRevision, Trace } from '../../bridge/model.ts';
import { named } from '../hosts/wire-model.ts';
import { imageOf } from '../policy/policy-check.ts';
import { tupleOf } from './packet-reader.ts';

/** NEST_REWRITE_* */
const rewriteBits = { source: 1, destination: 2, dscp: 4, direct: 8 } as const;
/** NEST_TRACE_LIMIT_* */
const limits = ['none', 'within', 'over'] as const;
/** One packet into empty tables: no flow is kept. */
const flows = 1;
const judgedReasons: ReadonlySet<string> = new Set(['POLICY_ALLOW', 'POLICY_DENY', 'DEFAULT_ALLOW', 'DEFAULT_DENY']);

export interface OfflineRequest {
  readonly interface: string;
  readonly packet: Uint8Array;
  readonly draft: string | undefined;
  /** Of a snapshot file; without it the policy is compiled. */
  readonly tables?: Uint8Array | undefined;
  /** For mappings that end; absent: when the policy was taken. */
  readonly nowMs?: number;
}

/** `program` is the verdict in WebAssembly. Raises POLICY_INVALID, POLICY_TOO_LARGE, PACKET_INVALID. */
export const traceOffline = async (request: OfflineRequest, kept: PolicyRevision, program: VerdictProgram): Promise<Trace> => {
  const nowMs = request.nowMs ?? kept.at;
  const tables = request.tables ?? imageOf(kept.policy, nowMs).image;
  const image = openImage(tables);
  const engine = await program.open(tables, { flows });
  const verdict = engine.trace(request.packet, { interfaceIndex: 1, nowNs: 1_000_000_000n });
  const tuple = tupleOf(request.packet);
  const trace = traceOf(verdict);
  const judgement = tuple === undefined || !judgedReasons.has(trace.reason) ? null : image.judge(tuple);
  const mapping = verdict.mapping === undefined ? '' : (image.mappingNames[verdict.mapping] ?? '');
  const { backend } = verdict.explanation;
  const steps = traceSteps({
    packet: request.packet,
    trace,
    mapping,
    judgement,
    defaultAction: image.defaultAction,
    names: {
      denyList: trace.denyList === null ? null : (image.denyListNames[trace.denyList] ?? `#${String(trace.denyList)}`),
      backend: backend === undefined ? null : (image.backends[backend]?.backend ?? `#${String(backend)}`),
      egress: null,
    },
  });
  return {
    allowed: verdict.action !== 'drop',
    reason: trace.reason,
    sentence: reasonSentence(trace.reason),
    mapping: named(mapping),
    priority: judgement?.priority ?? null,
    // Which way it would leave is known to the host alone.
    steps: steps.filter(({ stage }) => stage !== 'route').map((step) => ({ ...step, subject: named(step.subject) })),
    revision: kept.revision,
    generation: kept.generation,
    interface: request.interface,
    durationNs: null,
    hex: Buffer.from(request.packet).toString('hex'),
    outcome: verdict.action,
    outputHex: verdict.action === 'drop' ? null : Buffer.from(verdict.output).toString('hex'),
    draft:
      request.draft === undefined
        ? null
        : judgeDraft(request.draft, tuple, { allowed: verdict.action !== 'drop', reason: trace.reason, atMs: nowMs }),
    live: false,
    at: kept.at,
  };
};

/** Policy is not asked about a packet without a tuple, so a draft changes nothing. */
const judgeDraft = (
  draft: string,
  tuple: ReturnType<typeof tupleOf>,
  now: { readonly allowed: boolean; readonly reason: string; readonly atMs: number },
): Trace['draft'] => {
  if (tuple === undefined) return { allowed: now.allowed, reason: now.reason, mapping: null };
  const { action, reason, mapping } = openImage(imageOf(draft, now.atMs).image).judge(tuple);
  return { allowed: action === 'allow', reason, mapping: mapping ?? null };
};

const traceOf = ({ reason, explanation }: TracedVerdict): PacketTrace => {
  const { rewrite, rewritten, backend, denyList, balancer, limit } = explanation;
  const has = (bit: number): boolean => (rewrite & bit) !== 0;
  return {
    ...explanation,
    reason: reasonName(reason),
    denyList: denyList ?? null,
    balancer: balancer ?? null,
    limit: limits[limit] ?? 'none',
    rewrite:
      rewrite === 0
        ? null
        : {
            ...rewritten,
            isSource: has(rewriteBits.source),
            isDestination: has(rewriteBits.destination),
            isDirect: has(rewriteBits.direct),
            dscp: has(rewriteBits.dscp) ? rewritten.dscp : null,
            backend: backend ?? null,
            egress: null,
          },
  };
};
