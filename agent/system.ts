import type { AgentConfig } from './config/schema.ts';
import { agentVersion } from './config/version.ts';
import type { IdentityControl } from './control/identity/api.ts';
import { createIdentityControl } from './control/identity/identity-control.ts';
import type { RevisionControl } from './control/revisions/api.ts';
import { createRevisionControl } from './control/revisions/revisions.ts';
import { createHost } from './domains/host/host.ts';
import type { Host } from './domains/host/api.ts';
import type { Traffic } from './domains/traffic/api.ts';
import { createTraffic } from './domains/traffic/traffic.ts';
import { createEngine } from './engine/engine.ts';
import { makePrivateDirectory } from './lib/atomic-file.ts';
import { systemClock } from './lib/clock.ts';
import type { Clock } from './lib/clock.ts';
import type { Logger } from './lib/log.ts';
import { systemRandom } from './lib/random.ts';
import { createServer } from './server/api.ts';
import type { AgentServer } from './server/api.ts';

export interface SystemOptions {
  readonly config: AgentConfig;
  readonly logger: Logger;
  readonly clock?: Clock;
}

/** The running agent. */
export interface System extends AsyncDisposable {
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
  await makePrivateDirectory(config.stateDir);
  const identity = await createIdentityControl({ stateDir: config.stateDir, clock, random: systemRandom });
  opened.defer(() => identity.close());
  const host = createHost({ clock, name: config.name });
  opened.defer(() => host.close());
  const raise: Host['raise'] = (code, warning) => host.raise(code, warning);
  const traffic = createTraffic({
    engine: createEngineOf(config),
    interfaces: config.traffic.interfaces,
    mode: config.traffic.mode,
    stateDir: config.stateDir,
    clock,
    log: logger.with({ part: 'traffic' }),
    raise,
  });
  opened.defer(() => traffic.close());
  await traffic.start(signal);
  const revisions = createRevisionControl({
    stateDir: config.stateDir,
    activation: traffic,
    clock,
    log: logger.with({ part: 'revisions' }),
    raise,
  });
  opened.defer(() => revisions.close());
  await revisions.start(signal);
  traffic.setRevision(revisions.current().revision);
  opened.use(followRevisions(revisions, traffic, logger));
  host.start(signal);
  const listen = config.listen.enabled ? config.listen : null;
  const server = await createServer({
    listen,
    metrics: config.metrics,
    reflection: config.reflection,
    agentVersion,
    identity,
    revisions,
    traffic,
    host,
    clock,
    logger: logger.with({ part: 'server' }),
  });
  opened.defer(() => server.close());
  const owned = opened.move();
  return { identity, revisions, traffic, host, server, [Symbol.asyncDispose]: () => owned.disposeAsync() };
};

/**
 * Stores the token of a host whose agent is not running, so that the next start opens the enrolment for what is left
 * of its ten minutes. Throws TOKEN_*, ALREADY_ENROLLED, STATE_*.
 */
export const storeToken = async (
  config: AgentConfig,
  token: string,
): Promise<{ readonly fingerprint: string; readonly expiresAtMs: number }> => {
  await makePrivateDirectory(config.stateDir);
  const identity = await createIdentityControl({ stateDir: config.stateDir, clock: systemClock, random: systemRandom });
  try {
    return await identity.openEnrollment(token);
  } finally {
    identity.close();
  }
};

const createEngineOf = ({ traffic: { mode, pinPath, objectPath } }: AgentConfig): ReturnType<typeof createEngine> =>
  createEngine({ mode, pinPath, ...(objectPath === undefined ? {} : { objectPath }) });

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
