/** The calls of one connected agent, in the words of the console. */
import { AuditServiceService } from '../../proto/gen/nest/v1/audit.ts';
import type { GetHeadResponse } from '../../proto/gen/nest/v1/audit.ts';
import { AccessServiceService } from '../../proto/gen/nest/v1/access.ts';
import type { AccessHead, GetAccessUpdatesResponse } from '../../proto/gen/nest/v1/access.ts';
import type { SignedEnvelope } from '../../proto/gen/nest/v1/envelope.ts';
import { CertServiceService } from '../../proto/gen/nest/v1/certificate.ts';
import type {
  GetSigningRequestResponse,
  InstallCertificateResponse,
  ListCertificatesResponse,
} from '../../proto/gen/nest/v1/certificate.ts';
import { ConfigServiceService } from '../../proto/gen/nest/v1/config.ts';
import type {
  ApproveMappingRequest,
  ApproveMappingResponse,
  CheckDriftResponse,
  ConfigRevision,
  ConfirmConfigRequest,
  DriftMode,
  EditLease,
  HoldEditLeaseRequest,
  RollbackConfigRequest,
  RollbackConfigResponse,
  SetDriftModeResponse,
} from '../../proto/gen/nest/v1/config.ts';
import { FlowServiceService } from '../../proto/gen/nest/v1/flow.ts';
import type {
  FlowFilter,
  ListFlowsRequest,
  ListFlowsResponse,
  SummarizeFlowsRequest,
  SummarizeFlowsResponse,
} from '../../proto/gen/nest/v1/flow.ts';
import { HostServiceService } from '../../proto/gen/nest/v1/host.ts';
import type { GetHostResponse, HostDescription, HostStatus } from '../../proto/gen/nest/v1/host.ts';
import { IntentServiceService } from '../../proto/gen/nest/v1/intent.ts';
import type { DeliverIntentRequest, DeliverIntentResponse } from '../../proto/gen/nest/v1/intent.ts';
import { RolloutServiceService } from '../../proto/gen/nest/v1/rollout.ts';
import type { PutRecordRequest, PutRecordResponse, RolloutRecord } from '../../proto/gen/nest/v1/rollout.ts';
import { SessionServiceService } from '../../proto/gen/nest/v1/session.ts';
import type { EnrollFactorRequest, HelloRequest, HelloResponse, StepUpRequest, StepUpResponse } from '../../proto/gen/nest/v1/session.ts';
import { TrafficServiceService } from '../../proto/gen/nest/v1/traffic.ts';
import type {
  GetCountersResponse,
  ListBalancersResponse,
  ListDenyListsResponse,
  SetInterfaceEngineRequest,
  SetInterfaceEngineResponse,
  TracePacketRequest,
  TracePacketResponse,
  UpdateDenyListRequest,
  UpdateDenyListResponse,
} from '../../proto/gen/nest/v1/traffic.ts';
import { NestError } from '../../proto/model/error.ts';
import { flowBatchOf } from '../../proto/model/flow-columns.ts';
import type { FlowBatch } from '../../proto/model/flow-columns.ts';
import { addDelta } from '../../proto/model/status-delta.ts';
import { callStream, callUnary, followStream } from './call.ts';
import type { CallOptions } from './call.ts';
import { createPlannedApply } from './planned-apply.ts';
import type { PlannedApply } from './planned-apply.ts';
import type { Wire } from './wire.ts';

export type { CallOptions } from './call.ts';

/** What the console knows of a host that it begins to watch. */
export interface Acquaintance {
  /** Hash of the description it has; empty without one. */
  readonly hash: Uint8Array;
  /** Told before the first status, unless the description is the one that is known; by agents of earlier versions a moment later. */
  describe(description: HostDescription): void;
}

/** Every method raises what the agent said, HOST_UNREACHABLE, TIMED_OUT, CERTIFICATE_INVALID, IDENTITY_MISMATCH or CANCELLED. */
export interface AgentClient extends PlannedApply {
  hello(request: HelloRequest, options: CallOptions): Promise<HelloResponse>;
  enrollFactor(request: EnrollFactorRequest, options: CallOptions): Promise<void>;
  stepUp(request: StepUpRequest, options: CallOptions): Promise<StepUpResponse>;
  getHost(options: CallOptions): Promise<GetHostResponse>;
  /**
   * Calls `take` once a second, less often while nothing happens there, until the signal aborts or the agent ends. It is the same state each
   * time, grown in place, but for when the agent sent it whole: `take` copies what it keeps.
   */
  watchStatus(take: (status: HostStatus) => void, signal: AbortSignal, acquaintance?: Acquaintance): Promise<void>;
  /** 0 = the current revision. */
  getConfig(revision: number, options: CallOptions): Promise<ConfigRevision>;
  listRevisions(options: CallOptions): Promise<readonly ConfigRevision[]>;
  confirmConfig(request: ConfirmConfigRequest, options: CallOptions): Promise<ConfigRevision>;
  rollbackConfig(request: RollbackConfigRequest, options: CallOptions): Promise<RollbackConfigResponse>;
  approveMapping(request: ApproveMappingRequest, options: CallOptions): Promise<ApproveMappingResponse>;
  checkDrift(options: CallOptions): Promise<CheckDriftResponse>;
  setDriftMode(mode: DriftMode, options: CallOptions): Promise<SetDriftModeResponse>;
  /** All leases that are held on the host now, the caller's own among them. */
  holdEditLease(request: HoldEditLeaseRequest, options: CallOptions): Promise<readonly EditLease[]>;
  putRolloutRecord(request: PutRecordRequest, options: CallOptions): Promise<PutRecordResponse>;
  /** Empty id: all, newest first, without their plans. */
  getRolloutRecords(rolloutId: string, options: CallOptions): Promise<readonly RolloutRecord[]>;
  deliverIntent(request: DeliverIntentRequest, options: CallOptions): Promise<DeliverIntentResponse>;
  listFlows(request: ListFlowsRequest, options: CallOptions): Promise<ListFlowsResponse>;
  /** Batches of flows as they happen, on a connection of their own; `position.lost` counts what this reader was too slow for. */
  watchFlows(filter: FlowFilter | undefined, signal: AbortSignal): AsyncIterable<FlowBatch>;
  summarizeFlows(request: SummarizeFlowsRequest, options: CallOptions): Promise<SummarizeFlowsResponse>;
  getCounters(options: CallOptions): Promise<GetCountersResponse>;
  listBalancers(options: CallOptions): Promise<ListBalancersResponse>;
  /** With the first `prefixes` (0..1000) prefixes of each list that the host keeps. */
  listDenyLists(prefixes: number, options: CallOptions): Promise<ListDenyListsResponse>;
  updateDenyList(request: UpdateDenyListRequest, options: CallOptions): Promise<UpdateDenyListResponse>;
  setInterfaceEngine(request: SetInterfaceEngineRequest, options: CallOptions): Promise<SetInterfaceEngineResponse>;
  tracePacket(request: TracePacketRequest, options: CallOptions): Promise<TracePacketResponse>;
  getAuditHead(options: CallOptions): Promise<GetHeadResponse>;
  /** Entries with numbers above `after`, in order, in pieces; ends without an error when the signal aborts. */
  listAuditEntries(range: { readonly after: number; readonly max: number }, signal: AbortSignal): AsyncIterable<readonly Buffer[]>;
  accessHead(options: CallOptions): Promise<AccessHead>;
  accessUpdates(after: { readonly epoch: number; readonly afterRevision: number }, options: CallOptions): Promise<GetAccessUpdatesResponse>;
  /** At most 64. The head afterwards. */
  pushAccessUpdates(updates: readonly SignedEnvelope[], options: CallOptions): Promise<AccessHead>;
  listCertificates(options: CallOptions): Promise<ListCertificatesResponse>;
  /** For the present key, or for a fresh one. */
  getSigningRequest(hasFreshKey: boolean, options: CallOptions): Promise<GetSigningRequestResponse>;
  /** Leaf first, DER. */
  installCertificate(certificateChain: readonly Uint8Array[], options: CallOptions): Promise<InstallCertificateResponse>;
  /** The step of a change of the root that the agent stands at afterwards. */
  takeRootChange(change: SignedEnvelope, options: CallOptions): Promise<number>;
  /** How many lists were newer than the agent's. */
  installRevocationLists(
    offer: { readonly lists: readonly Uint8Array[]; readonly authorities: readonly Uint8Array[] },
    options: CallOptions,
  ): Promise<number>;
}

/** Typed calls over one wire, long answers over another. */
export const createAgentClient = (wire: Wire, bulk: Pick<Wire, 'stream'>): AgentClient => ({
  hello: (request, options) => callUnary(wire, SessionServiceService.hello, { request, ...options }),
  enrollFactor: async (request, options) => void (await callUnary(wire, SessionServiceService.enrollFactor, { request, ...options })),
  stepUp: (request, options) => callUnary(wire, SessionServiceService.stepUp, { request, ...options }),
  getHost: (options) => callUnary(wire, HostServiceService.getHost, { request: {}, ...options }),
  watchStatus: (take, signal, acquaintance) => watchStatus(wire, { take, signal, acquaintance }),
  getConfig: async (revision, options) =>
    required((await callUnary(wire, ConfigServiceService.getConfig, { request: { revision: BigInt(revision) }, ...options })).config),
  listRevisions: async (options) => (await callUnary(wire, ConfigServiceService.listRevisions, { request: {}, ...options })).revisions,
  ...createPlannedApply(wire),
  confirmConfig: async (request, options) =>
    required((await callUnary(wire, ConfigServiceService.confirmConfig, { request, ...options })).config),
  rollbackConfig: (request, options) => callUnary(wire, ConfigServiceService.rollbackConfig, { request, ...options }),
  approveMapping: (request, options) => callUnary(wire, ConfigServiceService.approveMapping, { request, ...options }),
  checkDrift: (options) => callUnary(wire, ConfigServiceService.checkDrift, { request: {}, ...options }),
  setDriftMode: (mode, options) => callUnary(wire, ConfigServiceService.setDriftMode, { request: { mode }, ...options }),
  holdEditLease: async (request, options) => (await callUnary(wire, ConfigServiceService.holdEditLease, { request, ...options })).leases,
  putRolloutRecord: (request, options) => callUnary(wire, RolloutServiceService.putRecord, { request, ...options }),
  getRolloutRecords: async (rolloutId, options) =>
    (await callUnary(wire, RolloutServiceService.getRecords, { request: { rolloutId }, ...options })).records,
  deliverIntent: (request, options) => callUnary(wire, IntentServiceService.deliverIntent, { request, ...options }),
  listFlows: (request, options) => callUnary(wire, FlowServiceService.listFlows, { request, ...options }),
  watchFlows: async function* (filter, signal) {
    const request = { filter, columns: true };
    for await (const answer of callStream(bulk, FlowServiceService.watchFlows, { request, signal })) yield flowBatchOf(answer);
  },
  summarizeFlows: (request, options) => callUnary(wire, FlowServiceService.summarizeFlows, { request, ...options }),
  listBalancers: (options) => callUnary(wire, TrafficServiceService.listBalancers, { request: {}, ...options }),
  listDenyLists: (prefixes, options) => callUnary(wire, TrafficServiceService.listDenyLists, { request: { prefixes }, ...options }),
  updateDenyList: (request, options) => callUnary(wire, TrafficServiceService.updateDenyList, { request, ...options }),
  setInterfaceEngine: (request, options) => callUnary(wire, TrafficServiceService.setInterfaceEngine, { request, ...options }),
  getCounters: (options) => callUnary(wire, TrafficServiceService.getCounters, { request: {}, ...options }),
  getAuditHead: (options) => callUnary(wire, AuditServiceService.getHead, { request: {}, ...options }),
  listAuditEntries: async function* ({ after, max }, signal) {
    if (max <= 0) return;
    const request = { after: BigInt(after), max };
    for await (const { entries } of callStream(wire, AuditServiceService.listEntries, { request, signal })) yield entries;
  },
  tracePacket: (request, options) => callUnary(wire, TrafficServiceService.tracePacket, { request, ...options }),
  accessHead: async (options) => required((await callUnary(wire, AccessServiceService.getAccessHead, { request: {}, ...options })).head),
  accessUpdates: ({ epoch, afterRevision }, options) =>
    callUnary(wire, AccessServiceService.getAccessUpdates, {
      request: { epoch: BigInt(epoch), afterRevision: BigInt(afterRevision) },
      ...options,
    }),
  pushAccessUpdates: async (updates, options) =>
    required((await callUnary(wire, AccessServiceService.pushAccessUpdates, { request: { updates: [...updates] }, ...options })).head),
  listCertificates: (options) => callUnary(wire, CertServiceService.listCertificates, { request: {}, ...options }),
  getSigningRequest: (freshKey, options) => callUnary(wire, CertServiceService.getSigningRequest, { request: { freshKey }, ...options }),
  installCertificate: (chain, options) =>
    callUnary(wire, CertServiceService.installCertificate, { request: { certificateChain: buffersOf(chain) }, ...options }),
  takeRootChange: async (change, options) =>
    Number((await callUnary(wire, CertServiceService.takeRootChange, { request: { change }, ...options })).sequence),
  installRevocationLists: async ({ lists, authorities }, options) => {
    const request = { revocationLists: buffersOf(lists), authorities: buffersOf(authorities) };
    return (await callUnary(wire, CertServiceService.installRevocationLists, { request, ...options })).taken;
  },
});

const buffersOf = (parts: readonly Uint8Array[]): Buffer[] => parts.map((part) => Buffer.from(part));

const required = <Part>(part: Part | undefined): Part => {
  if (part !== undefined) return part;
  throw new NestError('INTERNAL', 'The agent left out what was asked for. Upgrade the agent of the host.');
};

const watchStatus = (
  wire: Wire,
  {
    take,
    signal,
    acquaintance,
  }: { readonly take: (status: HostStatus) => void; readonly signal: AbortSignal; readonly acquaintance: Acquaintance | undefined },
): Promise<void> => {
  let own: HostStatus | undefined;
  const failed = Promise.withResolvers<never>();
  const introduce = (known: Acquaintance, description: HostDescription | undefined): void => {
    if (description !== undefined) {
      if (description.facts !== undefined) known.describe(description);
      return;
    }
    // An agent of an earlier version does not describe itself here.
    callUnary(wire, HostServiceService.getHost, { request: {}, signal }).then(
      (answer) => known.describe({ ...answer, hash: Buffer.alloc(0) }),
      (error: unknown) => signal.aborted || failed.reject(error),
    );
  };
  const request = { deltas: true, knownDescription: acquaintance === undefined ? undefined : Buffer.from(acquaintance.hash) };
  const stream = followStream(wire, HostServiceService.watchStatus, {
    request,
    signal,
    take: ({ status, delta, description }) => {
      if (own === undefined && acquaintance !== undefined) introduce(acquaintance, description);
      if (status !== undefined) own = status;
      else if (own !== undefined && delta !== undefined) addDelta(own, delta);
      if (own !== undefined) take(own);
    },
  });
  return Promise.race([stream, failed.promise]);
};
