/** What is seen in an open snapshot: the same shapes as of a live host, never live, and nothing in them can be changed. */
import type { FlowList, HostCounters, HostSample, PolicyRevision, Trace } from '../../bridge/model.ts';
import type { BridgeHandlers } from '../../bridge/contract.ts';
import type { SnapshotHostDetail } from '../../bridge/snapshot-model.ts';
import { NestError } from '../../../proto/model/error.ts';
import { filterFlows } from '../hosts/flow-filter.ts';
import type { HostDocument } from '../hosts/wire-model.ts';
import type { HandlerContext } from '../handler-context.ts';
import type { Reading } from '../telemetry/reading.ts';
import { buildPacket, parseHex } from '../trace/packet-builder.ts';
import { traceOffline } from '../trace/offline-tracer.ts';
import { rowOfIndex } from './snapshot-content.ts';
import type { IndexHost, SnapshotDocumentKind, SnapshotDocuments } from './snapshot-content.ts';
import type { SnapshotReader } from './snapshot-reader.ts';

const flowsDefault = 200;

/** Everything about one host but its lists. Raises HOST_UNKNOWN, SNAPSHOT_INVALID. */
export const hostDetailOf = async (reader: SnapshotReader, hostId: string): Promise<SnapshotHostDetail> => {
  const host = reader.host(hostId);
  const documents = await reader.documents(host);
  const kept = contentOf<HostDocument>(documents, 'host');
  return {
    row: rowOfIndex(host),
    facts: kept?.facts ?? null,
    engines: kept?.engines ?? [],
    certificate: { fingerprint: host.fingerprint, endsAt: host.certificateEndsAt },
    sample: sampleOf(host, contentOf<Reading>(documents, 'sample')),
    port: host.port,
    cluster: host.cluster,
    documents: Object.entries(documents).map(([kind, { at }]) => ({ kind, at })),
    hasPolicy: host.policy !== null,
    hasImage: host.image !== null,
  };
};

const sampleOf = ({ row: { state, stateReason } }: IndexHost, reading: Reading | null): HostSample | null => {
  if (reading === null) return null;
  const {
    packetsPerSecond: _packets,
    packetsHistory: _history,
    pendingTransactionId: _transaction,
    pendingRemainingMs: _remaining,
    ...sample
  } = reading;
  return { ...sample, live: false, state, stateReason, clockSkewMs: null };
};

/** The policy the host had. Raises HOST_UNKNOWN, NOT_FOUND, SNAPSHOT_INVALID. */
export const policyRevisionOf = async (reader: SnapshotReader, hostId: string): Promise<PolicyRevision> => {
  const host = reader.host(hostId);
  const policy = await reader.policy(host);
  const revision = await required<PolicyRevision>(reader, host, 'policy');
  return { ...revision.content, hostId, policy: policy ?? '', live: false, at: revision.at };
};

/** Kept flows that fit. Raises HOST_UNKNOWN, NOT_FOUND, INPUT_INVALID for an address that is none. */
export const flowsOf = async (reader: SnapshotReader, query: Parameters<BridgeHandlers['snapshot.flows']>[0]): Promise<FlowList> => {
  const { snapshotId: _snapshot, hostId, limit, ...filter } = query;
  const { content } = await required<FlowList>(reader, reader.host(hostId), 'flows');
  return { ...filterFlows(content, filter, limit ?? flowsDefault), live: false };
};

/** Raises HOST_UNKNOWN, NOT_FOUND. */
export const countersOf = async (reader: SnapshotReader, hostId: string): Promise<HostCounters> => {
  const { content } = await required<HostCounters>(reader, reader.host(hostId), 'counters');
  return { ...content, live: false };
};

/** What would have happened to a packet, by the tables in the file. Raises HOST_UNKNOWN, NOT_FOUND, PACKET_INVALID, POLICY_INVALID. */
export const traceOf = async (
  { verdictProgram }: Pick<HandlerContext, 'verdictProgram'>,
  reader: SnapshotReader,
  { hostId, interface: name, packet: described, draft }: Parameters<BridgeHandlers['snapshot.trace']>[0],
): Promise<Trace> => {
  const host = reader.host(hostId);
  const kept = await policyRevisionOf(reader, hostId);
  const packet = 'hex' in described ? parseHex(described.hex) : buildPacket(described);
  const tables = (await reader.image(host)) ?? undefined;
  return traceOffline({ interface: name, packet, draft, tables }, kept, await verdictProgram());
};

const required = async <Content>(
  reader: SnapshotReader,
  host: IndexHost,
  kind: SnapshotDocumentKind,
): Promise<{ readonly at: number; readonly content: Content }> => {
  const document = (await reader.documents(host))[kind];
  if (document !== undefined) return { at: document.at, content: document.content as Content };
  throw new NestError(
    'NOT_FOUND',
    `The snapshot (profile "${reader.header.profile}") holds no ${kind} of ${host.row.name}. Ask its author for one with more in it.`,
    { details: { profile: reader.header.profile, kind } },
  );
};

const contentOf = <Content>(documents: SnapshotDocuments, kind: SnapshotDocumentKind): Content | null => {
  const document = documents[kind];
  return document === undefined ? null : (document.content as Content);
};
