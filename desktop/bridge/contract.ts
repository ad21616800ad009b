/**
 * The one contract between the renderer (or any other face) and the console core. Methods are named by domain; a
 * `query` reads, a `command` changes, a `stream` delivers until it is cancelled. Inputs are always validated by the
 * core with these schemas; outputs are plain data. Transports (in-memory, WebSocket, Electron IPC) carry it unchanged.
 * Times are milliseconds since the Unix epoch, counts are JavaScript numbers (exact up to 2^53).
 * What was not measured is null, never 0.
 */
import { z } from 'zod/mini';
import { accessChange, accessCheckInput, accessClientInput } from './access-model.ts';
import * as model from './model.ts';
import type { RootChangeView } from './root-change-model.ts';
import type { IntentRow, StagedPlan, StagedRollout } from './rollout-model.ts';

const nothing = z.strictObject({});
const hostId = z.string().check(z.regex(/^[0-9A-HJKMNP-TV-Z]{26}$/));
const name = z.string().check(z.minLength(1), z.maxLength(63));
const address = z.string().check(z.minLength(1), z.maxLength(270));
const passphrase = z.string().check(z.minLength(1), z.maxLength(1024));
const policyText = z.string().check(z.maxLength(3 << 20));
const confirmWithin = z.int().check(z.minimum(5), z.maximum(3600));

const deviceFile = z.string().check(z.maxLength(8 << 20));
const fingerprint = z.string().check(z.regex(/^[0-9a-f]{64}$/));
const rootChangeStep = z.strictObject({ leaveBehind: z.optional(z.boolean()) });
const rootFile = z.string().check(z.maxLength(64 << 10));

const ssoSettings = z.strictObject({
  issuer: z.string().check(z.minLength(8), z.maxLength(500)),
  clientId: z.string().check(z.minLength(1), z.maxLength(200)),
  required: z.boolean(),
  domains: z.array(z.string().check(z.regex(/^[a-z0-9.-]{1,253}$/))).check(z.maxLength(32)),
});
/** Revisions by host. */
const bases = z.optional(z.record(hostId, z.int().check(z.minimum(0))));

const host = z.strictObject({ hostId });
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

const query = <Input extends z.ZodMiniType, Output>(input: Input, _output: model.Of<Output>) =>
  ({ kind: 'query', input, output: undefined as unknown as Output }) as const;
const command = <Input extends z.ZodMiniType, Output>(input: Input, _output: model.Of<Output>) =>
  ({ kind: 'command', input, output: undefined as unknown as Output }) as const;
const stream = <Input extends z.ZodMiniType, Output>(input: Input, _output: model.Of<Output>) =>
  ({ kind: 'stream', input, output: undefined as unknown as Output }) as const;
const { of } = model;

export const contract = {
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

  // ---- licence and single sign-on ----
  'license.get': query(nothing, of<model.LicenseView>()),
  /** Into the vault, once the server does not refuse it. */
  'license.set': command(z.strictObject({ key: z.string().check(z.maxLength(100)) }), of<model.LicenseView>()),
  'license.remove': command(nothing, of<model.LicenseView>()),
  /** Asks the server now; with a name also about that feature. */
  'license.check': command(z.strictObject({ feature: z.optional(name) }), of<model.LicenseCheck>()),
  'license.import': command(z.strictObject({ file: rootFile }), of<model.LicenseView>()),
  /** Also while the fleet is locked: then only what is no secret. */
  'sso.get': query(nothing, of<model.SsoView>()),
  'sso.watch': stream(nothing, of<model.SsoView>()),
  'sso.configure': command(ssoSettings, of<model.SsoView>()),
  'sso.remove': command(nothing, of<model.SsoView>()),
  /** Begins the device flow; `sso.watch` tells how it ends. */
  'sso.login': command(nothing, of<model.SsoView>()),
  'sso.cancel': command(nothing, of<model.SsoView>()),
  'sso.logout': command(nothing, of<model.SsoView>()),

  // ---- certificates ----
  'certificate.list': query(nothing, of<model.CertificateList>()),
  /** A new certificate for a connected host now; with `freshKey` for a new key that the present one signs for. */
  'certificate.renew': command(z.strictObject({ hostId, freshKey: z.optional(z.boolean()) }), of<model.CertificateList>()),
  /** Puts it on the list of its issuer and takes the list to every connected host. */
  'certificate.revoke': command(z.strictObject({ serial: z.string().check(z.regex(/^[0-9a-f]{1,40}$/)) }), of<model.CertificateList>()),
  /** The fleet root as a file under a passphrase of its own, to be kept elsewhere. */
  'certificate.root.export': command(z.strictObject({ passphrase }), of<model.RootFile>()),
  /** Takes the key of the root from this console; the file must open, so that it is not lost. */
  'certificate.root.remove': command(z.strictObject({ file: rootFile, passphrase }), of<model.RootState>()),
  'certificate.root.restore': command(z.strictObject({ file: rootFile, passphrase }), of<model.RootState>()),

  // ---- a change of the fleet's root ----
  'root-change.get': query(nothing, of<RootChangeView>()),
  /** Makes the new root and tells hosts of it. Raises SCOPE_MISSING without the key of the present one. */
  'root-change.start': command(nothing, of<RootChangeView>()),
  /** The next step. Raises ROOT_CHANGE_HELD while something hangs on the old root, unless it is to be left behind. */
  'root-change.advance': command(rootChangeStep, of<RootChangeView>()),
  'root-change.rollback': command(rootChangeStep, of<RootChangeView>()),

  // ---- other operators and devices ----
  /** Without a fleet: makes a key that waits under the passphrase. In an open fleet: asks for a new certificate for this device's key. */
  'device.request': command(z.strictObject({ operatorName: name, passphrase: z.optional(passphrase) }), of<model.DeviceFile>()),
  'device.inspect': query(z.strictObject({ file: deviceFile }), of<model.DeviceFileContent>()),
  /** share: which authorities' keys the device gets, to admit hosts and renew their certificates, or operators too. */
  'device.admit': command(
    z.strictObject({ file: deviceFile, fingerprint, share: z.optional(z.enum(['none', 'agents', 'all'])) }),
    of<model.DeviceFile>(),
  ),
  'device.join': command(
    z.strictObject({ file: deviceFile, rootFingerprint: fingerprint, storage: z.enum(['keychain', 'passphrase']), passphrase }),
    of<model.ConsoleState>(),
  ),

  // ---- hosts ----
  'hosts.list': query(nothing, of<readonly model.HostRow[]>()),
  /** One frame a second with all hosts; the first at once, from the cache when nothing is connected. */
  'hosts.watch': stream(nothing, of<model.FleetFrame>()),
  /** Makes a one-time join token for one host and starts dialling its address until it answers or the token expires. */
  'enrollment.begin': command(
    z.strictObject({
      name,
      address,
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
  /** This console's own public owner key. */
  'access.key': query(nothing, of<model.AccessOwnKey>()),
  /** A fresh key and certificate for a client of the bundle; the key is kept nowhere else. */
  'access.client.certificate': command(accessClientInput, of<model.ClientCertificate>()),
  'access.check': query(accessCheckInput, of<model.AccessCheck>()),

  // ---- trace ----
  /** packet: a form or hex bytes from the Ethernet header on. With `draft` the same packet is judged under that policy too. */
  'trace.run': query(
    z.strictObject({
      hostId,
      interface: z.string().check(z.minLength(1), z.maxLength(15)),
      packet: z.union([packetForm, z.strictObject({ hex: z.string().check(z.maxLength(4096)) })]),
      draft: z.optional(policyText),
    }),
    of<model.Trace>(),
  ),

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
