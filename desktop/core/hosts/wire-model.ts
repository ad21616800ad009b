/** From wire messages to what the bridge carries: 64-bit numbers become numbers, numbers of enums become names, "" and absent become null. */
import { ConfigRevision_State, DiffLine_Kind } from '../../../proto/gen/nest/v1/config.ts';
import type { ConfigRevision, DiffLine, FlowImpact, TableStats } from '../../../proto/gen/nest/v1/config.ts';
import { Problem_Severity } from '../../../proto/gen/nest/v1/common.ts';
import type { PacketCount, Problem } from '../../../proto/gen/nest/v1/common.ts';
import { Flow_State } from '../../../proto/gen/nest/v1/flow.ts';
import type { Flow, ListFlowsResponse } from '../../../proto/gen/nest/v1/flow.ts';
import type { HostDescription } from '../../../proto/gen/nest/v1/host.ts';
import type { GetCountersResponse, MappingCounter, ReasonCounter } from '../../../proto/gen/nest/v1/traffic.ts';
import { isDropped, reasonName, reasonSentence } from '../../../proto/model/reason.ts';
import type * as model from '../../bridge/model.ts';

/** What is kept of a host's description. */
export interface HostDocument {
  /** Its hash, hex; empty or absent when the agent gave none. */
  readonly hash?: string;
  readonly facts: model.HostDetail['facts'];
  readonly engines: model.HostDetail['engines'];
  readonly agentVersion: string | null;
}

export const hostDocumentOf = ({ hash, facts, engines }: HostDescription): HostDocument => ({
  hash: hash.toString('hex'),
  facts:
    facts === undefined
      ? null
      : {
          hostName: facts.hostName,
          operatingSystem: facts.operatingSystem,
          kernel: facts.kernel,
          architecture: facts.architecture,
          cpuCount: facts.cpuCount,
          cpuModel: facts.cpuModel,
          memoryBytes: Number(facts.memoryBytes),
          bootedAt: Number(facts.bootedAt) * 1000,
          agentStartedAt: Number(facts.agentStartedAtMs),
          addresses: facts.addresses,
        },
  engines: engines.map(({ engine, available, reason }) => ({ engine, available, reason })),
  agentVersion: facts === undefined || facts.agentVersion === '' ? null : facts.agentVersion,
});

const protocolNames: Readonly<Record<number, string>> = { 1: 'icmp', 6: 'tcp', 17: 'udp', 58: 'icmpv6' };
const flowStates: Readonly<Record<number, model.FlowRow['state']>> = {
  [Flow_State.LIVE]: 'live',
  [Flow_State.ENDED]: 'ended',
  [Flow_State.DENIED]: 'denied',
  [Flow_State.CUT]: 'cut',
};

export const flowRowOf = (flow: Flow): model.FlowRow => ({
  source: flow.source,
  destination: flow.destination,
  sourcePort: flow.sourcePort,
  destinationPort: flow.destinationPort,
  protocol: protocolNames[flow.protocol] ?? String(flow.protocol),
  state: flowStates[flow.state] ?? 'ended',
  allowed: flow.allowed,
  reason: reasonName(flow.reason),
  mapping: named(flow.mapping),
  interface: flow.interface,
  packets: packetsOf(flow.forward) + packetsOf(flow.reverse),
  bytes: bytesOf(flow.forward) + bytesOf(flow.reverse),
  firstSeen: Number(flow.firstSeenMs),
  lastSeen: Number(flow.lastSeenMs),
  sourceServices: flow.sourceServices,
  destinationServices: flow.destinationServices,
  translation:
    flow.translation === undefined
      ? null
      : {
          source: flow.translation.source,
          destination: flow.translation.destination,
          sourcePort: flow.translation.sourcePort,
          destinationPort: flow.translation.destinationPort,
          backend: named(flow.translation.backend),
        },
});

export const flowListOf = (answer: ListFlowsResponse, at: number): model.FlowList => ({
  at,
  live: true,
  flows: answer.flows.map(flowRowOf),
  matched: Number(answer.matched),
  truncated: answer.truncated,
  recordsLost: Number(answer.recordsLost),
});

export const countersOf = (answer: GetCountersResponse, at: number): model.HostCounters => ({
  at,
  live: true,
  revision: Number(answer.revision),
  mappings: answer.mappings.map((counter) => ({
    mapping: counter.mapping,
    action: counter.allow ? 'allow' : 'deny',
    packets: packetsOf(counter.count),
    bytes: bytesOf(counter.count),
    limit: limitOf(counter),
  })),
  path: {
    judged: Number(answer.path?.judged ?? 0n),
    forwarded: Number(answer.path?.forwarded ?? 0n),
    routedByKernel: Number(answer.path?.routedByKernel ?? 0n),
    tooBigAnswered: Number(answer.path?.tooBigAnswered ?? 0n),
    floodMode: answer.path?.floodMode ?? false,
    floodSince: moment(answer.path?.floodSinceMs ?? 0n),
  },
  reasons: answer.reasons.map((counter) => ({ ...reasonCountOf(counter), sentence: reasonSentence(reasonName(counter.reason)) })),
  interfaces: answer.interfaces.map(({ name, reasons }) => ({ name, reasons: reasons.map(reasonCountOf) })),
  recordsLost: Number(answer.recordsLost),
  recordsSuppressed: Number(answer.recordsSuppressed),
  flowsNotInserted: Number(answer.flowsNotInserted),
});

const limitOf = ({ limit, limited }: MappingCounter): model.HostCounters['mappings'][number]['limit'] =>
  limit === undefined
    ? null
    : {
        packetsPerSecond: countOf(limit.packetsPerSecond),
        bytesPerSecond: countOf(limit.bytesPerSecond),
        burst: Number(limit.burst),
        per: limit.perSource ? 'source' : 'mapping',
        limitedPackets: packetsOf(limited),
        limitedBytes: bytesOf(limited),
      };

const reasonCountOf = ({
  reason,
  count,
}: ReasonCounter): { readonly reason: string; readonly dropped: boolean; readonly packets: number; readonly bytes: number } => ({
  reason: reasonName(reason),
  dropped: isDropped(reasonName(reason)),
  packets: packetsOf(count),
  bytes: bytesOf(count),
});

const revisionStates: Readonly<Record<number, model.PolicyRevision['state']>> = {
  [ConfigRevision_State.PENDING]: 'pending',
  [ConfigRevision_State.CONFIRMED]: 'confirmed',
  [ConfigRevision_State.ROLLED_BACK]: 'rolled-back',
  [ConfigRevision_State.SUPERSEDED]: 'superseded',
  [ConfigRevision_State.FAILED]: 'failed',
};

/** Hosts name callers by their full identity; within a fleet the last part says who. */
/** Names of operators and clients instead of their certificates' subjects. */
export const shortSubjects = (text: string): string => text.replaceAll(/spiffe:\/\/[^\s/]+\/(?:operator|client)\//g, '');

export const revisionOf = (hostId: string, revision: ConfigRevision, at: number): model.PolicyRevision => ({
  hostId,
  revision: Number(revision.revision),
  etag: revision.etag,
  policy: revision.policyJson,
  generation: revision.generation,
  state: revisionStates[revision.state] ?? 'failed',
  author: shortSubjects(revision.author),
  comment: revision.comment,
  createdAt: Number(revision.createdAtMs),
  settledAt: revision.settledAtMs === 0n ? null : Number(revision.settledAtMs),
  settledReason: shortSubjects(revision.settledReason),
  mappingCount: revision.mappingCount,
  serviceCount: revision.serviceCount,
  live: true,
  at,
});

const diffKinds: Readonly<Record<number, model.DiffLine['kind']>> = {
  [DiffLine_Kind.SAME]: 'same',
  [DiffLine_Kind.ADDED]: 'added',
  [DiffLine_Kind.REMOVED]: 'removed',
};

export const diffOf = (lines: readonly DiffLine[]): readonly model.DiffLine[] =>
  lines.map(({ kind, text }) => ({ kind: diffKinds[kind] ?? 'same', text }));

export const problemOf = ({ code, severity, path, message }: Problem): model.PolicyProblem => ({
  code,
  severity: severity === Problem_Severity.ERROR ? 'error' : 'warning',
  path,
  message,
});

export const impactOf = (impact: FlowImpact): model.FlowImpact => ({
  replayed: Number(impact.replayed),
  unchanged: Number(impact.unchanged),
  cut: Number(impact.cut),
  cutLive: Number(impact.cutLive),
  newlyAllowed: Number(impact.newlyAllowed),
  windowSeconds: impact.windowSeconds,
  changes: impact.changes.flatMap(({ flow, allowed, mapping }) =>
    flow === undefined ? [] : [{ flow: flowRowOf(flow), allowed, mapping: named(mapping) }],
  ),
  changesTruncated: impact.changesTruncated,
  recordsLost: Number(impact.recordsLost),
});

export const tablesOf = (tables: TableStats): model.TableStats => ({
  identities: tables.identities,
  pairs: tables.pairs,
  portIntervals: tables.portIntervals,
  mappings: tables.mappings,
  imageBytes: tables.imageBytes,
  compileMs: tables.compileMs,
});

export const packetsOf = (count: PacketCount | undefined): number => Number(count?.packets ?? 0n);
export const bytesOf = (count: PacketCount | undefined): number => Number(count?.bytes ?? 0n);

/** null for 0, which on the wire means none. */
const countOf = (value: bigint): number | null => (value === 0n ? null : Number(value));

/** null for 0, which on the wire means never. */
export const moment = (ms: bigint): number | null => countOf(ms);

/** null for the empty name, which on the wire means none. */
export const named = (name: string): string | null => (name === '' ? null : name);
