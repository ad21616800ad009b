/**
 * The one contract between the renderer (or any other face) and the console core. Methods are named by domain; a
 * `query` reads, a `command` changes, a `stream` delivers until it is cancelled. Inputs are always validated by the
 * core with these schemas; outputs are plain data. Transports (in-memory, WebSocket, Electron IPC) carry it unchanged.
 * Times are milliseconds since the Unix epoch, counts are JavaScript numbers (exact up to 2^53).
 * What was not measured is null, never 0.
 */
import { z } from 'zod/mini';
import { accessChange, accessCheckInput, accessClientInput } from './access-model.ts';
import { command, host, hostId, name, nothing, of, passphrase, query, stream } from './contract-parts.ts';
import { groupInput, groupName } from './group-model.ts';
import type { GroupPlan, HostGroup } from './group-model.ts';
import { hostAddressFault } from './host-address.ts';
import type * as model from './model.ts';
import type { IntentRow, StagedPlan, StagedRollout } from './rollout-model.ts';
import { snapshotInput } from './snapshot-input.ts';
import type * as snapshot from './snapshot-model.ts';
import { trustContract } from './trust-contract.ts';

const address = z.string().check(z.minLength(1), z.maxLength(270));
const hostAddress = address.check(
  z.refine((text) => hostAddressFault(text) === null, {
    error: ({ input }) => (typeof input === 'string' ? hostAddressFault(input) : null),
  }),
);
const policyText = z.string().check(z.maxLength(3 << 20));
const confirmWithin = z.int().check(z.minimum(5), z.maximum(3600));

/** Revisions by host. */
const bases = z.optional(z.record(hostId, z.int().check(z.minimum(0))));

const flowFilter = {
  hostId,
  /** Either side. */
  address: z.optional(z.string().check(z.maxLength(64))),
  source: z.optional(z.string().check(z.maxLength(64))),
  destination: z.optional(z.string().check(z.maxLength(64))),
  port: z.optional(z.int().check(z.minimum(1), z.maximum(65535))),
  protocol: z.optional(z.int().check(z.minimum(0), z.maximum(255))),
  mapping: z.optional(z.string().check(z.maxLength(63))),
  interface: z.optional(z.string().check(z.maxLength(15))),
  verdict: z.optional(z.enum(['allowed', 'denied'])),
  state: z.optional(z.enum(['live', 'ended', 'denied', 'cut'])),
  reason: z.optional(z.string().check(z.maxLength(32))),
  windowSeconds: z.optional(z.int().check(z.minimum(1), z.maximum(3600))),
};
const flowQuery = z.strictObject({
  ...flowFilter,
  limit: z.optional(z.int().check(z.minimum(1), z.maximum(1000))),
});
const packetForm = z.strictObject({
  protocol: z.enum(['tcp', 'udp', 'icmp']),
  source: address,
  destination: address,
  sourcePort: z.optional(z.int().check(z.minimum(0), z.maximum(65535))),
  destinationPort: z.optional(z.int().check(z.minimum(0), z.maximum(65535))),
  tcpFlags: z.optional(z.enum(['syn', 'syn-ack', 'ack', 'fin', 'rst'])),
  vlan: z.optional(z.int().check(z.minimum(1), z.maximum(4094))),
});
const traceRequest = z.strictObject({
  hostId,
  interface: z.string().check(z.minLength(1), z.maxLength(15)),
  packet: z.union([packetForm, z.strictObject({ hex: z.string().check(z.maxLength(4096)) })]),
  draft: z.optional(policyText),
});

const auditText = z.optional(z.string().check(z.maxLength(128)));
const auditFilter = z.strictObject({
  /** All when absent. */
  hostIds: z.optional(z.array(hostId).check(z.maxLength(10_000))),
  actor: auditText,
  action: auditText,
  /** Found in any field. */
  contains: auditText,
  outcome: z.optional(z.enum(['done', 'refused'])),
  since: z.optional(z.int()),
  until: z.optional(z.int()),
  limit: z.optional(z.int().check(z.minimum(1), z.maximum(1000))),
});

const staged = z.strictObject({ rolloutId: z.string() });
const rate = z.optional(z.number().check(z.minimum(0), z.maximum(1e9)));
const stagedRequest = z.strictObject({
  name: z.string().check(z.minLength(1), z.maxLength(100)),
  policy: policyText,
  hostIds: z.array(hostId).check(z.minLength(1), z.maxLength(5000)),
  /** Shares after each wave, percent, rising to 100; 0 = one host. */
  waves: z.optional(z.array(z.number()).check(z.maxLength(16))),
  maxUnavailable: z.optional(z.int().check(z.minimum(1), z.maximum(5000))),
  failuresMax: z.optional(z.int().check(z.minimum(0), z.maximum(5000))),
  soakSeconds: z.optional(z.int().check(z.minimum(0), z.maximum(3300))),
  baselineSeconds: z.optional(z.int().check(z.minimum(0), z.maximum(300))),
  gates: z.optional(
    z.strictObject({
      dropFactor: rate,
      dropFloorPps: rate,
      flowFailureFactor: rate,
      flowFailureFloorPps: rate,
      health: z.optional(z.boolean()),
      drift: z.optional(z.boolean()),
    }),
  ),
  rollback: z.optional(z.enum(['wave', 'all'])),
  offline: z.optional(z.enum(['skip', 'intent'])),
});

export const contract = {
  ...trustContract,
  // ---- the console itself ----
  'console.state': query(nothing, of<model.ConsoleState>()),
  /** Emits the state now and after every change. */
  'console.watch': stream(nothing, of<model.ConsoleState>()),
  'settings.get': query(nothing, of<model.Settings>()),
  'settings.put': command(
    z.strictObject({
      scheme: z.optional(z.enum(['dark', 'light', 'contrast', 'system'])),
      density: z.optional(z.enum(['compact', 'comfortable'])),
    }),
    of<model.Settings>(),
  ),
  /** storage: where the fleet's keys go. 'keychain' fails with VAULT_UNAVAILABLE when there is none; 'passphrase' needs one of at least 10 characters. */
  'fleet.create': command(
    z.strictObject({
      fleetName: name,
      operatorName: name,
      storage: z.enum(['keychain', 'passphrase']),
      passphrase: z.optional(passphrase),
    }),
    of<model.ConsoleState>(),
  ),
  /** withoutSignIn: why there was no sign-in at the provider; taken only when the provider is away, and kept. */
  'fleet.unlock': command(
    z.strictObject({ passphrase: z.optional(passphrase), withoutSignIn: z.optional(z.string().check(z.minLength(3), z.maxLength(200))) }),
    of<model.ConsoleState>(),
  ),
  'fleet.lock': command(nothing, of<model.ConsoleState>()),

  // ---- hosts ----
  'hosts.list': query(nothing, of<readonly model.HostRow[]>()),
  /** One frame a second with all hosts; the first at once, from the cache when nothing is connected. */
  'hosts.watch': stream(nothing, of<model.FleetFrame>()),
  /** Makes a one-time join token for one host and starts dialling its address until it answers or the token expires. */
  'enrollment.begin': command(
    z.strictObject({
      name,
      address: hostAddress,
      port: z.optional(z.int().check(z.minimum(1), z.maximum(65535))),
      labels: z.optional(z.array(name).check(z.maxLength(16))),
      /** The token is good for a host that calls itself so, and for no other. */
      hostName: z.optional(z.string().check(z.minLength(1), z.maxLength(253))),
      /** Where the host belongs from the beginning. */
      cluster: z.optional(name),
    }),
    of<model.Enrollment>(),
  ),
  'enrollment.list': query(nothing, of<readonly model.Enrollment[]>()),
  'enrollment.watch': stream(z.strictObject({ enrollmentId: z.string() }), of<model.Enrollment>()),
  /** The operator has compared the fingerprint; the certificate is signed and delivered. */
  'enrollment.approve': command(z.strictObject({ enrollmentId: z.string() }), of<model.Enrollment>()),
  'enrollment.cancel': command(z.strictObject({ enrollmentId: z.string() }), of<model.Enrollment>()),
  'hosts.rename': command(z.strictObject({ hostId, name, labels: z.array(name).check(z.maxLength(16)) }), of<model.HostRow>()),
  /** Adds labels (one of the same key is replaced) and takes away labels or keys, on all of these hosts or on none. */
  'hosts.label': command(
    z.strictObject({
      hostIds: z.array(hostId).check(z.minLength(1), z.maxLength(5000)),
      set: z.array(name).check(z.maxLength(16)),
      remove: z.array(name).check(z.maxLength(16)),
    }),
    of<readonly model.HostRow[]>(),
  ),
  /** Forgets the host here; the agent keeps enforcing. */
  'hosts.remove': command(host, of<null>()),
  'host.get': query(host, of<model.HostDetail>()),
  /** One sample a second of one host; the first at once. */
  'host.watch': stream(host, of<model.HostSample>()),
  'host.counters': query(host, of<model.HostCounters>()),
  'host.flows': query(flowQuery, of<model.FlowList>()),
  'host.flowSums': query(
    z.strictObject({
      ...flowFilter,
      by: z.enum(['source', 'destination', 'mapping', 'port', 'reason']),
      limit: z.optional(z.int().check(z.minimum(1), z.maximum(100))),
    }),
    of<model.FlowSums>(),
  ),
  'host.balancers': query(host, of<model.BalancerList>()),
  'host.denyLists': query(host, of<model.DenyListTable>()),
  /** Changes prefixes that the host keeps beside its policy; takes effect at once, without a revision. */
  'host.denyList.update': command(
    z.strictObject({
      hostId,
      name,
      add: z.array(address).check(z.maxLength(10_000)),
      remove: z.array(address).check(z.maxLength(10_000)),
      expiresAt: z.optional(z.int().check(z.minimum(1))),
      delete: z.optional(z.boolean()),
    }),
    of<model.DenyListChange>(),
  ),
  'host.interface.engine': command(
    z.strictObject({
      hostId,
      interface: z.string().check(z.minLength(1), z.maxLength(15)),
      engine: z.enum(['auto', 'xdp', 'af_xdp', 'dpdk', 'off']),
    }),
    of<model.EngineChoice>(),
  ),

  // ---- groups ----
  'groups.list': query(nothing, of<readonly HostGroup[]>()),
  /** Makes a group or changes the one of that name. */
  'groups.put': command(groupInput, of<HostGroup>()),
  /** Forgets the group; its hosts stay. */
  'groups.remove': command(z.strictObject({ name: groupName }), of<null>()),
  /** What the policy would do to every member; changes nothing. */
  'groups.plan': command(z.strictObject({ name: groupName, policy: policyText }), of<GroupPlan>()),

  // ---- policy ----
  'policy.get': query(z.strictObject({ hostId, revision: z.optional(z.int().check(z.minimum(1))) }), of<model.PolicyRevision>()),
  'policy.revisions': query(host, of<readonly model.PolicyRevision[]>()),
  'policy.validate': query(z.strictObject({ policy: policyText }), of<model.PolicyCheck>()),
  'policy.import': query(z.strictObject({ text: policyText }), of<model.PolicyImport>()),
  /** The draft in work, kept on disk; null when there is none. */
  'draft.get': query(nothing, of<model.Draft | null>()),
  'draft.put': command(z.strictObject({ policy: policyText, hostIds: z.array(hostId).check(z.maxLength(1000)), bases }), of<model.Draft>()),
  'draft.drop': command(nothing, of<null>()),
  /** `bases`: a host that has moved on from the revision named for it is not planned, and says who moved it. */
  'policy.plan': command(
    z.strictObject({ policy: policyText, hostIds: z.array(hostId).check(z.minLength(1), z.maxLength(1000)), bases }),
    of<model.FleetPlan>(),
  ),
  /** A change made on an older revision, put together with what the host has now. */
  'policy.merge': command(
    z.strictObject({
      hostId,
      baseRevision: z.int().check(z.minimum(0)),
      policy: policyText,
      /** By key of a conflict. */
      choices: z.optional(z.record(z.string(), z.enum(['ours', 'theirs']))),
    }),
    of<model.PolicyMerge>(),
  ),
  'policy.apply': command(
    z.strictObject({ planId: z.string(), confirmWithinSeconds: confirmWithin, comment: z.optional(z.string().check(z.maxLength(500))) }),
    of<model.Rollout>(),
  ),
  'policy.confirm': command(z.strictObject({ rolloutId: z.string() }), of<model.Rollout>()),
  /** Takes every pending host of the rollout back now. */
  'policy.undo': command(z.strictObject({ rolloutId: z.string() }), of<model.Rollout>()),
  'rollout.current': query(nothing, of<model.Rollout | null>()),
  'rollout.watch': stream(z.strictObject({ rolloutId: z.string() }), of<model.Rollout>()),
  // ---- staged rollouts and intents ----
  'rollouts.plan': command(stagedRequest, of<StagedPlan>()),
  /** Signs the plan and begins; this process conducts it. */
  'rollouts.start': command(z.strictObject({ planId: z.string() }), of<StagedRollout>()),
  /** Also those of other consoles, as the hosts keep them. */
  'rollouts.list': query(nothing, of<readonly StagedRollout[]>()),
  'rollouts.watch': stream(staged, of<StagedRollout>()),
  'rollouts.pause': command(staged, of<StagedRollout>()),
  'rollouts.resume': command(staged, of<StagedRollout>()),
  'rollouts.abort': command(staged, of<StagedRollout>()),
  'rollouts.takeOver': command(staged, of<StagedRollout>()),
  'intents.list': query(nothing, of<readonly IntentRow[]>()),
  /** Signs a change for hosts that are away; it is delivered when they are back. */
  'intents.leave': command(
    z.strictObject({
      policy: policyText,
      hostIds: z.array(hostId).check(z.minLength(1), z.maxLength(1000)),
      comment: z.optional(z.string().check(z.maxLength(500))),
      lifeSeconds: z.optional(z.int().check(z.minimum(60), z.maximum(604_800))),
    }),
    of<readonly IntentRow[]>(),
  ),
  'intents.cancel': command(z.strictObject({ intentId: z.string() }), of<IntentRow>()),

  // ---- approvals, drift, who edits ----
  /** All hosts when absent. */
  'approval.list': query(z.strictObject({ hostIds: z.optional(z.array(hostId).check(z.maxLength(10_000))) }), of<model.ApprovalList>()),
  /** In this operator's name, as seen in that revision; the host refuses who has asked for it. */
  'approval.approve': command(
    z.strictObject({
      hostId,
      mapping: name,
      revision: z.int().check(z.minimum(0)),
      comment: z.optional(z.string().check(z.maxLength(500))),
    }),
    of<model.PolicyRevision>(),
  ),
  'drift.list': query(nothing, of<readonly model.DriftRow[]>()),
  /** Looks at the kernel now. */
  'drift.check': command(host, of<model.HostDrift>()),
  'drift.mode': command(z.strictObject({ hostId, mode: z.enum(['report', 'heal']) }), of<model.HostDrift>()),
  /** Hosts that somebody edits now. */
  'lease.list': query(nothing, of<readonly model.HostEditors[]>()),
  /** Says on these hosts that this console edits them for as long as the stream is read; yields who else does. */
  'lease.hold': stream(z.strictObject({ hostIds: z.array(hostId).check(z.maxLength(1000)) }), of<readonly model.HostEditors[]>()),

  'policy.rollback': command(z.strictObject({ hostId, toRevision: z.int().check(z.minimum(1)) }), of<model.PolicyRevision>()),

  // ---- access ----
  'access.get': query(nothing, of<model.AccessView>()),
  /** The view now and after every change, of the bundle or of what a host says about it. */
  'access.watch': stream(nothing, of<model.AccessView>()),
  /** Signed with this console's owner key and delivered to every connected host. */
  'access.change': command(z.strictObject({ change: accessChange }), of<model.AccessChangeResult>()),
  'access.merge': command(z.strictObject({ keep: z.enum(['ours', 'theirs']) }), of<model.AccessChangeResult>()),
  'access.cosign': command(z.strictObject({ proposal: z.string().check(z.maxLength(6 << 20)) }), of<model.AccessChangeResult>()),
  /** Exchanges bundles with every connected host now. */
  'access.push': command(nothing, of<model.AccessView>()),
  /** This console's own public owner key; made now when it has none, and then worth nothing until an owner adds it. */
  'access.key': command(nothing, of<model.AccessOwnKey>()),
  /** A fresh key and certificate for a client of the bundle; the key is kept nowhere else. */
  'access.client.certificate': command(accessClientInput, of<model.ClientCertificate>()),
  'access.check': query(accessCheckInput, of<model.AccessCheck>()),

  // ---- trace ----
  /** packet: a form or hex bytes from the Ethernet header on. With `draft` the same packet is judged under that policy too. */
  'trace.run': query(traceRequest, of<model.Trace>()),

  // ---- audit ----
  /** What this console remembers of every host's log, and whether it still holds. */
  'audit.heads': query(nothing, of<readonly model.AuditHeadRow[]>()),
  'audit.list': query(auditFilter, of<model.AuditTimeline>()),
  /** Walks the whole log of one host. */
  'audit.verify': query(host, of<model.AuditCheck>()),
  /** Believes what the host says now; the alarm stays as evidence. */
  'audit.accept': command(host, of<model.AuditHeadRow>()),
  /** First line of an export of these hosts; then `audit.export` for each from `after` 0 until `next` is null. */
  'audit.exportHeader': query(z.strictObject({ hostIds: z.array(hostId).check(z.maxLength(10_000)) }), of<model.AuditExportPiece>()),
  'audit.export': query(z.strictObject({ hostId, after: z.int().check(z.minimum(0)) }), of<model.AuditExportPiece>()),

  // ---- snapshot files ----
  /** Held until it is closed; its bytes are taken with `snapshot.read`. */
  'snapshot.create': command(snapshotInput.create, of<snapshot.SnapshotFile>()),
  'snapshot.read': query(snapshotInput.read, of<snapshot.SnapshotPiece>()),
  /** A file of the caller comes in: then `snapshot.append` until all is there. */
  'snapshot.begin': command(snapshotInput.begin, of<snapshot.SnapshotFile>()),
  'snapshot.append': command(snapshotInput.append, of<snapshot.SnapshotFile>()),
  /** Checks the signature and every byte, without a key; fails with SNAPSHOT_INVALID, SNAPSHOT_FOREIGN. */
  'snapshot.inspect': command(snapshotInput.inspect, of<snapshot.SnapshotFile>()),
  /** Only a file that this console's fleet has signed, or whose root the caller names. */
  'snapshot.open': command(snapshotInput.open, of<snapshot.SnapshotFile>()),
  'snapshot.close': command(snapshotInput.file, of<null>()),
  'snapshot.list': query(nothing, of<readonly snapshot.SnapshotFile[]>()),
  'snapshot.hosts': query(snapshotInput.hosts, of<snapshot.SnapshotHosts>()),
  'snapshot.host': query(snapshotInput.host, of<snapshot.SnapshotHostDetail>()),
  'snapshot.policy': query(snapshotInput.host, of<model.PolicyRevision>()),
  'snapshot.flows': query(z.extend(flowQuery, snapshotInput.file.shape), of<model.FlowList>()),
  'snapshot.counters': query(snapshotInput.host, of<model.HostCounters>()),
  'snapshot.trace': query(z.extend(traceRequest, snapshotInput.file.shape), of<model.Trace>()),
  'snapshot.compare': query(snapshotInput.compare, of<snapshot.SnapshotComparison>()),
  'snapshot.compare.policy': query(snapshotInput.comparePolicy, of<snapshot.SnapshotPolicyDifference>()),
  'snapshot.recipients': query(nothing, of<readonly snapshot.SnapshotRecipientEntry[]>()),
  'snapshot.recipient.put': command(snapshotInput.recipient, of<readonly snapshot.SnapshotRecipientEntry[]>()),
  'snapshot.recipient.remove': command(snapshotInput.recipientName, of<readonly snapshot.SnapshotRecipientEntry[]>()),
  /** A key that opens snapshots made for its recipient; the answer is the only copy. */
  'snapshot.keygen': command(snapshotInput.keygen, of<snapshot.SnapshotIdentity>()),
} as const;

export type Contract = typeof contract;
export type MethodName = keyof Contract;
export type StreamName = { [Name in MethodName]: Contract[Name]['kind'] extends 'stream' ? Name : never }[MethodName];
export type CallName = Exclude<MethodName, StreamName>;
export type InputOf<Name extends MethodName> = z.input<Contract[Name]['input']>;
export type OutputOf<Name extends MethodName> = Contract[Name]['output'];

/** What the renderer and every other face holds. Both sides honour cancellation. */
export interface BridgeClient {
  call<Name extends CallName>(method: Name, input: InputOf<Name>, options?: { readonly signal?: AbortSignal }): Promise<OutputOf<Name>>;
  subscribe<Name extends StreamName>(
    method: Name,
    input: InputOf<Name>,
    options?: { readonly signal?: AbortSignal },
  ): AsyncIterable<OutputOf<Name>>;
}

/** What the core implements: one handler a method. Streams are async iterables that end when the signal aborts. */
export type BridgeHandlers = {
  readonly [Name in MethodName]: Name extends StreamName
    ? (input: z.output<Contract[Name]['input']>, signal: AbortSignal) => AsyncIterable<OutputOf<Name>>
    : (input: z.output<Contract[Name]['input']>, signal: AbortSignal) => Promise<OutputOf<Name>>;
};
