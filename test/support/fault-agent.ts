/**
 * An agent for faults: identity, revisions, records, audit and server are real and on disk; its kernel is a file beside them, which is
 * always one policy or the other, and the test says what happens at each step of a change. Ships nowhere.
 */
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import type { AuditControl } from '../../agent/control/audit/api.ts';
import { createAuditControl } from '../../agent/control/audit/audit-control.ts';
import { createHeadSigner } from '../../agent/control/audit/head-signer.ts';
import { auditConnection, noteLocalEffects } from '../../agent/control/audit/local-effects.ts';
import { noteUnfinished } from '../../agent/control/audit/unfinished.ts';
import type { IdentityControl } from '../../agent/control/identity/api.ts';
import { createIdentityControl } from '../../agent/control/identity/identity-control.ts';
import { createIntentControl } from '../../agent/control/intent/intent-control.ts';
import type { RevisionControl } from '../../agent/control/revisions/api.ts';
import { createRevisionControl } from '../../agent/control/revisions/revisions.ts';
import { emptyPolicyJson } from '../../agent/control/revisions/api.ts';
import { createRolloutControl } from '../../agent/control/rollout/rollout-control.ts';
import type { RolloutControl } from '../../agent/control/rollout/api.ts';
import type { Traffic } from '../../agent/domains/traffic/api.ts';
import { systemClock } from '../../agent/lib/clock.ts';
import type { Clock } from '../../agent/lib/clock.ts';
import { silentLogger } from '../../agent/lib/log.ts';
import type { Logger } from '../../agent/lib/log.ts';
import { systemRandom } from '../../agent/lib/random.ts';
import { createServer } from '../../agent/server/api.ts';
import { createFakeDomains } from '../../agent/server/fake-domains.ts';
import { createTables } from './agent-server.ts';

/** In the order of a change; 'stage' and 'activate' come again when it is taken back. */
export type FaultStep = 'plan' | 'stage' | 'activate' | 'applied' | 'confirming' | 'confirmed' | 'taken-back';

export interface FaultAgentOptions {
  readonly stateDir: string;
  readonly port: number;
  /** What the kernel enforces, as a text; outlives the agent. */
  readonly kernelFile: string;
  readonly clock?: Clock;
  readonly onStep?: (step: FaultStep) => void;
}

export interface FaultAgent extends AsyncDisposable {
  readonly identity: IdentityControl;
  readonly revisions: RevisionControl;
  readonly rollouts: RolloutControl;
  readonly audit: AuditControl;
  /** Codes of the warnings that stand. */
  warnings(): readonly string[];
  join(token: string): Promise<void>;
}

const statusMs = 150;
/** Words of the log of revision control, each said when the disk knows and the caller does not yet. */
const stepsByWord: Readonly<Record<string, FaultStep>> = {
  'revision applied, waiting for its confirmation': 'applied',
  'revision confirmed': 'confirmed',
  'revision taken back': 'taken-back',
};

/** What the kernel enforces. */
export const enforcedBy = (kernelFile: string): string => (existsSync(kernelFile) ? readFileSync(kernelFile, 'utf8') : emptyPolicyJson);

/** Starts it as system.ts does, in the order in which a host becomes safe. */
export const startFaultAgent = async (options: FaultAgentOptions): Promise<FaultAgent> => {
  const { stateDir, port, kernelFile, clock = systemClock, onStep = () => undefined } = options;
  await using opened = new AsyncDisposableStack();
  const startedAtMs = clock.nowMs();
  const identity = opened.adopt(await createIdentityControl({ stateDir, clock, random: systemRandom }), (control) => control.close());
  const domains = createFakeDomains();
  const raise: typeof domains.host.raise = (code, warning) => domains.host.raise(code, warning);
  const sign = createHeadSigner(() => identity.identity());
  const audit = await createAuditControl({ stateDir, clock, log: silentLogger, sign, raise });
  opened.defer(() => audit.close());
  const traffic = fileTraffic(domains.traffic, { kernelFile, onStep });
  const said = (message: string): void => {
    const step = stepsByWord[message];
    if (step !== undefined) onStep(step);
  };
  const log: Logger = { ...silentLogger, info: said, warn: said };
  const revisions = createRevisionControl({ stateDir, activation: traffic, clock, log, raise });
  opened.defer(() => revisions.close());
  await revisions.start(new AbortController().signal);
  await noteUnfinished({ audit, revisions });
  opened.use(
    noteLocalEffects({ audit, identity, revisions, agentVersion: '1.2.3', startedAtMs, onFailed: (error) => console.error(error) }),
  );
  const signed = { stateDir, clock, identity, log: silentLogger, maySign: () => true };
  const rollouts = opened.adopt(createRolloutControl(signed), (control) => control.close());
  const intents = opened.adopt(createIntentControl(signed), (control) => control.close());
  const server = await createServer({
    ...domains,
    traffic,
    revisions: {
      ...bound(revisions),
      confirm: (request) => {
        onStep('confirming');
        return revisions.confirm(request);
      },
    },
    rollouts,
    intents,
    audit,
    identity,
    listen: { address: '127.0.0.1', port },
    metrics: { address: '127.0.0.1', port: 0 },
    agentVersion: '1.2.3',
    // Many short connections of a test do not meet the limit per source.
    clock: { ...clock, monotonicMs: () => clock.monotonicMs() * 100 },
    logger: silentLogger,
    onAuthentication: (event) => auditConnection(audit, event),
  });
  opened.defer(() => server.close());
  const ticking = setInterval(() => domains.tick(), statusMs);
  opened.defer(() => clearInterval(ticking));
  opened.defer(() => domains.host.close());
  const owned = opened.move();
  return {
    identity,
    revisions,
    rollouts,
    audit,
    warnings: () => domains.host.warnings().map(({ code }) => code),
    join: async (token) => {
      await identity.openEnrollment(token);
      await server.settled();
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
};

const fileTraffic = (
  fake: Traffic,
  { kernelFile, onStep }: { readonly kernelFile: string; readonly onStep: (step: FaultStep) => void },
): Traffic => {
  const tables = createTables(fake, { policy: enforcedBy(kernelFile), drops: 0, countedMs: performance.now() }, { badPolicy: '' });
  return {
    ...tables,
    plan: (request, signal) => {
      onStep('plan');
      return tables.plan(request, signal);
    },
    activate: (policyJson, signal) => {
      onStep('stage');
      writeFileSync(`${kernelFile}.next`, policyJson);
      renameSync(`${kernelFile}.next`, kernelFile);
      onStep('activate');
      return tables.activate(policyJson, signal);
    },
  };
};

/** Its methods as functions: those of a class do not spread. */
const bound = (revisions: RevisionControl): RevisionControl => ({
  start: (signal) => revisions.start(signal),
  current: () => revisions.current(),
  pending: () => revisions.pending(),
  list: () => revisions.list(),
  get: (revision) => revisions.get(revision),
  repeated: (transactionId) => revisions.repeated(transactionId),
  apply: (request, signal) => revisions.apply(request, signal),
  confirm: (request) => revisions.confirm(request),
  rollback: (request, signal) => revisions.rollback(request, signal),
  returnTo: (request, signal) => revisions.returnTo(request, signal),
  watch: (signal) => revisions.watch(signal),
  close: () => revisions.close(),
});
