/**
 * The agent's network side: gRPC over mutual TLS for consoles, plain HTTP for health and metrics. Wired by system.ts
 * alone. It translates between wire and domain types, checks every call in one place, and never decides about policy,
 * never stores anything and never touches the data path.
 */
import type { HostFacts } from '../../proto/gen/nest/v1/host.ts';
import type { AuditControl } from '../control/audit/api.ts';
import type { AccessControl } from '../control/access/api.ts';
import type { DriftControl } from '../control/drift/api.ts';
import type { Caller, IdentityControl } from '../control/identity/api.ts';
import type { IntentControl } from '../control/intent/api.ts';
import type { LeaseControl } from '../control/lease/api.ts';
import type { RevisionControl } from '../control/revisions/api.ts';
import type { RolloutControl } from '../control/rollout/api.ts';
import type { SessionControl } from '../control/session/api.ts';
import type { Host } from '../domains/host/api.ts';
import type { ExportCounters, Traffic } from '../domains/traffic/api.ts';
import type { AuthenticationEvent } from '../lib/authentication-event.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/log.ts';
import type { Service } from './acceptor.ts';
import { createCallAdapter } from './call-adapter.ts';
import { createCallAudit } from './call-audit.ts';
import { createCallContexts } from './call-context.ts';
import { createGrpcFront } from './grpc-front.ts';
import type { FrontMode, GrpcFront } from './grpc-front.ts';
import { healthOf } from './health.ts';
import { createHttpFront } from './http-front.ts';
import { createMetrics } from './metrics.ts';
import { createAuditService } from './services/audit-service.ts';
import { createAccessService } from './services/access-service.ts';
import { createCertificateService } from './services/certificate-service.ts';
import { createConfigService } from './services/config-service.ts';
import { createEnrollmentService } from './services/enrollment-service.ts';
import { createFlowService } from './services/flow-service.ts';
import { createHealthService } from './services/health-service.ts';
import { createHostService } from './services/host-service.ts';
import { createIntentService } from './services/intent-service.ts';
import { createReflectionService } from './services/reflection-service.ts';
import { createRolloutService } from './services/rollout-service.ts';
import { createSessionService } from './services/session-service.ts';
import { createTrafficService } from './services/traffic-service.ts';
import { createStatusFeed } from './status-feed.ts';
import { toWireFacts } from './wire/host-wire.ts';

export interface ServerOptions {
  /** Null: no network management, policy is enforced all the same. */
  readonly listen: { readonly address: string; readonly port: number } | null;
  readonly metrics: { readonly address: string; readonly port: number };
  /** Whether operators' tools may ask for the services and their messages; not by default. */
  readonly reflection?: boolean;
  readonly agentVersion: string;
  readonly identity: IdentityControl;
  readonly audit: AuditControl;
  readonly access: AccessControl;
  readonly sessions: SessionControl;
  readonly revisions: RevisionControl;
  readonly rollouts: RolloutControl;
  readonly intents: IntentControl;
  readonly traffic: Traffic;
  /** Absent: no kernel to look at, nobody who edits (simulated agents). */
  readonly drift?: DriftControl;
  readonly leases?: LeaseControl;
  readonly host: Host;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Locks a caller out before its certificate ends; nobody by default. */
  readonly isRevoked?: (caller: Caller) => boolean;
  /** What collectors got, for /metrics. */
  readonly exports?: () => ExportCounters;
  /** Told of each connection, refused call and step of an enrolment; must not raise. */
  readonly onAuthentication?: (event: AuthenticationEvent) => void;
}

export interface AgentServer {
  readonly mode: FrontMode;
  /** Bound ports; null while gRPC is closed. */
  readonly grpcPort: number | null;
  readonly httpPort: number;
  /** Resolves when every change of identity seen so far is in effect. */
  settled(): Promise<void>;
  close(): Promise<void>;
}

/** Starts both servers. Throws STATE_FAILED when a port cannot be bound, with nothing left open. */
export const createServer = async (options: ServerOptions): Promise<AgentServer> => {
  const startedAtMs = options.clock.nowMs();
  const stopping = new AbortController();
  const feed = createStatusFeed(options);
  const feeding = feed.run(stopping.signal);
  const metrics = createMetrics(options);
  const facts = (): HostFacts =>
    toWireFacts(options.host.facts(), {
      agentId: options.identity.identity()?.agentId ?? '',
      agentVersion: options.agentVersion,
      startedAtMs,
    });
  const health = () => healthOf(options.host.warnings());
  let front: GrpcFront | null = null;
  const contexts = createCallContexts();
  const adapter = createCallAdapter({ contexts, clock: options.clock, logger: options.logger, stopping: stopping.signal });
  const enrollment = createEnrollmentService({ ...options, adapter, facts, settled: async () => front?.settled() });
  const services = createServices({ ...options, adapter, facts, feed, enrollment, settled: async () => front?.settled() });
  const http = await createHttpFront({
    ...options.metrics,
    metrics,
    health,
    logger: options.logger,
    monotonicMs: () => options.clock.monotonicMs(),
    facts: () => healthFacts(options),
  });
  front =
    options.listen === null
      ? null
      : await createGrpcFront({
          ...options.listen,
          ...options,
          contexts,
          revisionBefore: () => revisionBefore(options.revisions),
          audit: createCallAudit({ audit: options.audit, revision: () => options.revisions.current().revision }),
          isRevoked: options.isRevoked ?? (() => false),
          onAuthentication: options.onAuthentication ?? (() => undefined),
          enrollmentServices: [enrollment],
          services,
          onFinished: (report) => metrics.observeCall(report),
          onProblem: (error) => raiseListening(options, error),
        }).catch(async (error: unknown) => {
          stopping.abort();
          await http.close();
          throw error;
        });
  return {
    get mode() {
      return front?.mode ?? 'closed';
    },
    get grpcPort() {
      return front?.port ?? null;
    },
    httpPort: http.port,
    settled: async () => front?.settled(),
    close: async () => {
      stopping.abort();
      await front?.close();
      await feeding;
      await http.close();
    },
  };
};

type Parts = ServerOptions &
  Pick<Parameters<typeof createHostService>[0], 'adapter' | 'facts' | 'feed'> & {
    readonly enrollment: Service;
    readonly settled: () => Promise<void>;
  };

const createServices = (parts: Parts): readonly Service[] => {
  const nowMs = (): number => parts.clock.nowMs();
  const services = [
    parts.enrollment,
    createSessionService({ ...parts, nowMs }),
    createHostService(parts),
    createCertificateService(parts),
    createConfigService(parts),
    createRolloutService(parts),
    createIntentService(parts),
    createFlowService(parts),
    createTrafficService({ ...parts, nowMs }),
    createAuditService(parts),
    createAccessService(parts),
  ];
  const health = createHealthService({
    adapter: parts.adapter,
    serviceNames: namesOf(services),
    health: () => healthOf(parts.host.warnings()),
    ticks: (signal) => parts.host.watch(signal),
  });
  services.push(health);
  if (parts.reflection === true) services.push(createReflectionService({ adapter: parts.adapter, serviceNames: namesOf(services) }));
  return services;
};

/** The one that a host without its present revision had; 0 when there was none. */
const revisionBefore = (revisions: RevisionControl): number => {
  const { revision: current } = revisions.current();
  const before = revisions.list().find(({ revision, state }) => revision < current && (state === 'superseded' || state === 'confirmed'));
  return before?.revision ?? 0;
};

/** Full names, each once. */
const namesOf = (services: readonly Service[]): readonly string[] => [
  ...new Set(services.flatMap(({ definition }) => Object.values(definition).map(({ path }) => path.split('/')[1] ?? ''))),
];

const healthFacts = ({ agentVersion, identity, traffic, revisions }: ServerOptions): Readonly<Record<string, unknown>> => ({
  version: agentVersion,
  enrolled: identity.identity() !== null,
  mode: traffic.status().mode,
  revision: revisions.current().revision,
  pending: revisions.pending() !== null,
});

const raiseListening = ({ host, logger }: ServerOptions, error: Error | null): void => {
  if (error !== null) logger.error('grpc cannot listen', { error });
  host.raise(
    'GRPC_NOT_LISTENING',
    error === null ? null : { title: 'The console cannot reach this host', message: error.message, severity: 'critical' },
  );
};
