import { availableParallelism } from 'node:os';
import type { AgentConfig } from './config/schema.ts';
import { agentVersion } from './config/version.ts';
import type { AuditControl } from './control/audit/api.ts';
import { createAuditControl } from './control/audit/audit-control.ts';
import type { AuditOptions } from './control/audit/audit-control.ts';
import { createHeadSigner } from './control/audit/head-signer.ts';
import { auditConnection, auditLocal, noteLocalEffects, noteMappingEnds } from './control/audit/local-effects.ts';
import { noteLocks } from './control/audit/lock-notes.ts';
import { noteUnfinished } from './control/audit/unfinished.ts';
import type { AccessControl } from './control/access/api.ts';
import { createAccessControl } from './control/access/access-control.ts';
import { createDriftControl } from './control/drift/drift-control.ts';
import type { DriftOptions } from './control/drift/drift-control.ts';
import type { IdentityControl } from './control/identity/api.ts';
import { createIdentityControl } from './control/identity/identity-control.ts';
import { createIntentControl } from './control/intent/intent-control.ts';
import { createLeaseControl } from './control/lease/lease-control.ts';
import type { RevisionControl } from './control/revisions/api.ts';
import { createRevisionControl } from './control/revisions/revisions.ts';
import { createRolloutControl } from './control/rollout/rollout-control.ts';
import type { SessionControl } from './control/session/api.ts';
import { createSessionControl } from './control/session/session-control.ts';
import { createHost } from './domains/host/host.ts';
import type { Host } from './domains/host/api.ts';
import type { Traffic } from './domains/traffic/api.ts';
import { createExporter } from './domains/traffic/export/exporter.ts';
import type { Exporter } from './domains/traffic/export/exporter.ts';
import { createTraffic } from './domains/traffic/traffic.ts';
import type { TrafficOptions } from './domains/traffic/traffic.ts';
import { createEngine } from './engine/engine.ts';
import { createFastpath } from './engine/fastpath/fastpath.ts';
import { createFastpathHost } from './engine/fastpath/host.ts';
import { makePrivateDirectory } from './lib/atomic-file.ts';
import { systemClock } from './lib/clock.ts';
import type { Clock } from './lib/clock.ts';
import { silentLogger, teeLogger } from './lib/log.ts';
import type { Logger } from './lib/log.ts';
import { systemRandom } from './lib/random.ts';
import { createServer } from './server/api.ts';
import type { AgentServer, ServerOptions } from './server/api.ts';

export interface SystemOptions {
  readonly config: AgentConfig;
  readonly logger: Logger;
  readonly clock?: Clock;
}

/** The running agent. */
export interface System extends AsyncDisposable {
  readonly audit: AuditControl;
  /** Runs a command of this host with entries in the audit log around it. Throws what it throws, AUDIT_FAILED. */
  auditLocal<Result>(action: string, work: () => Promise<Result>): Promise<Result>;
  readonly identity: IdentityControl;
  readonly revisions: RevisionControl;
  readonly traffic: Traffic;
  readonly host: Host;
  readonly server: AgentServer;
}

/**
 * Composition root: makes every part, in the order in which a host becomes safe. State, data path and the last
 * confirmed policy come before the first network listener; on failure what was opened is closed in reverse. Disposing
 * stops the agent in reverse order, and traffic goes on under the pinned programs.
 */
export const startSystem = async ({ config, logger, clock = systemClock }: SystemOptions, signal: AbortSignal): Promise<System> => {
  await using opened = new AsyncDisposableStack();
  const startedAtMs = clock.nowMs();
  await makePrivateDirectory(config.stateDir);
  const exporter = createExporter({ config: config.export, hostName: config.name, clock, log: logger.with({ part: 'export' }) });
  opened.defer(() => exporter.close());
  /** Diagnostics of a part go to the collector, too, when its debug log is on. */
  const logOf = (part: string): Logger =>
    teeLogger(logger.with({ part }), exporter.diagnostics, { nowMs: () => clock.nowMs(), fields: { part } });
  const identity = await createIdentityControl({ stateDir: config.stateDir, clock, random: systemRandom });
  opened.defer(() => identity.close());
  opened.defer(followEnrollment(identity, exporter));
  const host = createHost({ clock, name: config.name });
  opened.defer(() => host.close());
  const raise: Host['raise'] = (code, warning) => host.raise(code, warning);
  const audit = await openAudit({ stateDir: config.stateDir, clock, log: logOf('audit'), raise }, identity);
  opened.defer(() => audit.close());
  const { access, sessions } = await openAccess({ config, identity, audit, clock, raise, logOf }, opened);
  const traffic = createTrafficOf(config, { clock, logOf, raise, exporter, onMappingEnded: noteMappingEnds(audit) });
  opened.defer(() => traffic.close());
  await traffic.start(signal);
  const revisions = createRevisionControl({ stateDir: config.stateDir, activation: traffic, clock, log: logOf('revisions'), raise });
  opened.defer(() => revisions.close());
  await revisions.start(signal);
  traffic.setRevision(revisions.current().revision);
  await noteUnfinished({ audit, revisions }).catch((error: unknown) => logger.error('the log before this start cannot be read', { error }));
  opened.use(followRevisions(revisions, traffic, logger));
  const onFailed = (error: unknown): void => logger.error('revisions cannot be audited', { error });
  opened.use(noteLocalEffects({ audit, identity, revisions, agentVersion, startedAtMs, onFailed }));
  opened.defer(noteLocks(audit, access));
  checkAudit(audit, logger);
  opened.defer(followCertificates(identity, host));
  host.start(signal);
  opened.use(followHealth(host, exporter, logger));
  const listen = config.listen.enabled ? config.listen : null;
  const server = await createServer({
    listen,
    metrics: config.metrics,
    reflection: config.reflection,
    agentVersion,
    identity,
    audit,
    access,
    sessions,
    revisions,
    ...openSigned({ stateDir: config.stateDir, identity, clock, checkAct: (act) => sessions.checkAct(act) }, { access, logOf, opened }),
    traffic,
    ...(await openWatch({ stateDir: config.stateDir, port: traffic, audit, raise, clock, log: logOf('drift') }, opened)),
    host,
    clock,
    logger: logger.with({ part: 'server' }),
    exports: () => exporter.counters(),
    onAuthentication: (event) => {
      exporter.authentication(event);
      auditConnection(audit, event);
    },
  });
  opened.defer(() => server.close());
  const owned = opened.move();
  return {
    audit,
    auditLocal: (action, work) => auditLocal(audit, action, work),
    identity,
    revisions,
    traffic,
    host,
    server,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
};

/**
 * Stores the token of a host whose agent is not running, so that the next start opens the enrolment for what is left
 * of its ten minutes. Throws TOKEN_*, ALREADY_ENROLLED, STATE_*, AUDIT_FAILED.
 */
export const storeToken = async (
  config: AgentConfig,
  token: string,
): Promise<{ readonly fingerprint: string; readonly expiresAtMs: number }> => {
  await makePrivateDirectory(config.stateDir);
  const identity = await createIdentityControl({ stateDir: config.stateDir, clock: systemClock, random: systemRandom });
  const audit = await openAudit({ stateDir: config.stateDir, clock: systemClock, log: silentLogger, raise: () => undefined }, identity);
  try {
    return await auditLocal(audit, 'enrollment.join', () => identity.openEnrollment(token));
  } finally {
    await audit.close();
    identity.close();
  }
};

/** Looks at the whole log once: what was changed while no agent ran is a health warning from now on. */
const checkAudit = (audit: AuditControl, logger: Logger): void => {
  audit.verify().catch((error: unknown) => logger.error('audit log cannot be checked', { error }));
};

const openAudit = (options: Omit<AuditOptions, 'sign'>, identity: IdentityControl): Promise<AuditControl> =>
  createAuditControl({ ...options, sign: createHeadSigner(() => identity.identity()) });

interface TrafficParts extends Pick<TrafficOptions, 'clock' | 'raise' | 'onMappingEnded'> {
  readonly exporter: Exporter;
  readonly logOf: (part: string) => Logger;
}

const createTrafficOf = (config: AgentConfig, { clock, raise, exporter, logOf, onMappingEnded }: TrafficParts): Traffic =>
  createTraffic({
    ...(onMappingEnded === undefined ? {} : { onMappingEnded }),
    engine: createEngineOf(config),
    ...interfacesOf(config),
    ...fastpathOf(config, { clock, log: logOf('fastpath') }),
    denyListDir: config.traffic.denyListDir,
    local: config.traffic.local,
    mode: config.traffic.mode,
    stateDir: config.stateDir,
    clock,
    log: logOf('traffic'),
    raise,
    exporter,
  });

/** Takes a host whose agent is not running out of its fleet. Throws NOT_ENROLLED, STATE_*, AUDIT_FAILED. */
export const leaveFleet = async (config: AgentConfig): Promise<{ readonly fleetId: string }> => {
  await makePrivateDirectory(config.stateDir);
  const identity = await createIdentityControl({ stateDir: config.stateDir, clock: systemClock, random: systemRandom });
  const audit = await openAudit({ stateDir: config.stateDir, clock: systemClock, log: silentLogger, raise: () => undefined }, identity);
  try {
    const fleetId = identity.identity()?.fleetId ?? '';
    await auditLocal(audit, 'enrollment.leave', () => identity.leave());
    return { fleetId };
  } finally {
    await audit.close();
    identity.close();
  }
};

/** What consoles sign and this host keeps, from operators who may do it themselves. */
const openSigned = (
  options: {
    readonly stateDir: string;
    readonly identity: IdentityControl;
    readonly clock: Clock;
    readonly checkAct: SessionControl['checkAct'];
  },
  {
    access,
    logOf,
    opened,
  }: { readonly access: AccessControl; readonly logOf: (part: string) => Logger; readonly opened: AsyncDisposableStack },
): Pick<ServerOptions, 'rollouts' | 'intents'> => {
  const maySignFor =
    (scope: string) =>
    (subject: string, device: string): boolean =>
      access.decide({ subject, kind: 'operator', device }, scope) === null;
  const rollouts = createRolloutControl({ ...options, maySign: maySignFor('rollouts:write'), log: logOf('rollout') });
  opened.defer(() => rollouts.close());
  const intents = createIntentControl({ ...options, maySign: maySignFor('mappings:write'), log: logOf('intent') });
  opened.defer(() => intents.close());
  return { rollouts, intents };
};

/** What looks at the host beside its policy: drift of the kernel, and who edits. */
const openWatch = async (options: DriftOptions, opened: AsyncDisposableStack): Promise<Pick<ServerOptions, 'drift' | 'leases'>> => {
  const drift = await createDriftControl(options);
  opened.defer(() => drift.close());
  return { drift, leases: createLeaseControl(options.clock) };
};

/** Names and engines of the interfaces that the configuration lists. */
const interfacesOf = ({ traffic: { interfaces } }: AgentConfig): Pick<TrafficOptions, 'interfaces' | 'engines'> => {
  if (interfaces === 'auto') return { interfaces, engines: new Map() };
  const entries = interfaces.map((entry) => (typeof entry === 'string' ? { name: entry, engine: 'auto' as const } : entry));
  return { interfaces: entries.map(({ name }) => name), engines: new Map(entries.map(({ name, engine }) => [name, engine])) };
};

/** Processes that judge beside the kernel, for interfaces whose engine is af_xdp or dpdk; none where nothing is enforced. */
const fastpathOf = (
  { stateDir, traffic: { mode, pinPath, interfaces } }: AgentConfig,
  { clock, log }: { readonly clock: Clock; readonly log: Logger },
): Pick<TrafficOptions, 'fastpath'> => {
  if (mode === 'observe' || process.platform !== 'linux') return {};
  const entries = interfaces === 'auto' ? [] : interfaces.flatMap((entry) => (typeof entry === 'string' ? [] : [entry]));
  const fallbacks = new Map(entries.map(({ name, fallback }) => [name, fallback]));
  const host = createFastpathHost({ processors: availableParallelism() });
  return { fastpath: createFastpath({ host, folder: stateDir, pinPath, fallbacks, clock, log }) };
};

const createEngineOf = ({ traffic: { mode, pinPath, objectPath } }: AgentConfig): ReturnType<typeof createEngine> =>
  createEngine({ mode, pinPath, ...(objectPath === undefined ? {} : { objectPath }) });

interface AccessParts {
  readonly config: AgentConfig;
  readonly identity: IdentityControl;
  readonly clock: Clock;
  readonly audit: AuditControl;
  readonly raise: Host['raise'];
  readonly logOf: (part: string) => Logger;
}

/** The access bundle of the fleet the host belongs to, also after it joins another; and the second factors it names. */
const openAccess = async (
  { config: { stateDir }, identity, audit, clock, raise, logOf }: AccessParts,
  opened: AsyncDisposableStack,
): Promise<{ readonly access: AccessControl; readonly sessions: SessionControl }> => {
  const log = logOf('access');
  const access = await createAccessControl({ stateDir, fleet: () => identity.identity(), clock, log, raise });
  identity.onChanged(() => {
    access.refresh().catch((error: unknown) => log.error('the access bundle cannot be loaded', { error }));
  });
  opened.defer(() => access.close());
  const sessions = await createSessionControl({ stateDir, identity, access, audit, clock, raise, log: logOf('session') });
  opened.defer(() => sessions.close());
  return { access, sessions };
};

/** Tells collectors when the window of an enrolment opens and closes; returns the way to stop. */
const followEnrollment = (identity: IdentityControl, exporter: Exporter): (() => void) => {
  let wasOpen = false;
  const tell = (): void => {
    const isOpen = identity.enrollment() !== null;
    if (isOpen === wasOpen) return;
    wasOpen = isOpen;
    exporter.authentication({
      kind: 'enrollment',
      isAccepted: true,
      source: '',
      subject: '',
      action: isOpen ? 'window opened' : 'window closed',
      code: 'OK',
    });
  };
  tell();
  return identity.onChanged(tell);
};

/** What will keep consoles out soon becomes a warning of the host; returns the way to stop. */
const followCertificates = (identity: IdentityControl, host: Host): (() => void) => {
  const tell = (): void => host.raise('REVOCATION_LISTS_ENDING', identity.problem());
  tell();
  return identity.onChanged(tell);
};

/** Tells collectors which health warnings began and ended. */
const followHealth = (host: Host, exporter: Exporter, logger: Logger): AsyncDisposable => {
  const stopping = new AbortController();
  const follow = async (): Promise<void> => {
    for await (const _ of host.watch(stopping.signal)) exporter.health(host.warnings());
  };
  const following = follow().catch((error: unknown) => logger.error('health cannot be followed', { error }));
  return {
    [Symbol.asyncDispose]: async () => {
      stopping.abort();
      await following;
    },
  };
};

/** Flows and counters carry the number of the revision they belong to: tell the data path each change. */
const followRevisions = (revisions: RevisionControl, traffic: Traffic, logger: Logger): AsyncDisposable => {
  const stopping = new AbortController();
  const follow = async (): Promise<void> => {
    for await (const { revision, pending } of revisions.watch(stopping.signal)) {
      // A revision that was taken back is told before the one in force: the latter counts.
      traffic.setRevision(revisions.current().revision);
      logger.info('revision changed', {
        revision: revision.revision,
        state: revision.state,
        author: revision.author,
        reason: revision.settledReason,
        pending: pending !== null,
      });
    }
  };
  const following = follow().catch((error: unknown) => logger.error('revisions cannot be followed', { error }));
  return {
    [Symbol.asyncDispose]: async () => {
      stopping.abort();
      await following;
    },
  };
};
