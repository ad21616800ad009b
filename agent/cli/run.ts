import { errorCodeOf, NestError } from '../../proto/model/error.ts';
import type { AgentConfig } from '../config/schema.ts';
import { agentVersion } from '../config/version.ts';
import { makePrivateDirectory } from '../lib/atomic-file.ts';
import { createConsoleSink } from '../lib/console-sink.ts';
import { createLogger } from '../lib/log.ts';
import type { LogFields, Logger, LogSink } from '../lib/log.ts';
import { createSyslogSink } from '../lib/syslog-sink.ts';
import { startSystem } from '../system.ts';
import type { System } from '../system.ts';
import { handleLocal } from './local-commands.ts';
import { socketPath } from './local-protocol.ts';
import { createLocalServer } from './local-server.ts';
import type { Terminal } from './terminal.ts';

const stopSignals = ['SIGTERM', 'SIGINT'] as const;

/** Runs the agent until SIGTERM or SIGINT, then stops it in order; a second signal ends the process at once. Throws what keeps it from starting. */
export const runAgent = async (config: AgentConfig, terminal: Terminal): Promise<void> => {
  const sinks = createSinks(config, terminal);
  const logger = createLogger({ level: config.log.level, sinks, nowMs: () => Date.now() });
  const stopped = awaitSignal(logger);
  try {
    await serve(config, logger, stopped);
  } finally {
    for (const sink of sinks) sink.close();
  }
};

/**
 * The local socket comes first: it tells a second agent on the same state away before that one could touch policy or
 * packets. Commands wait until the agent has started.
 */
const serve = async (config: AgentConfig, logger: Logger, stopped: AbortSignal): Promise<void> => {
  const started = Promise.withResolvers<System>();
  started.promise.catch(() => undefined);
  await makePrivateDirectory(config.stateDir);
  const local = await createLocalServer(
    socketPath(config.stateDir),
    async (request) => handleLocal(request, await started.promise, config),
    logger,
  );
  try {
    await using system = await startSystem({ config, logger }, stopped);
    started.resolve(system);
    logger.info('agent started', startFields(system, config));
    await untilAborted(stopped);
    logger.info('agent stops, traffic goes on', { reason: (stopped.reason as NestError).message });
  } catch (error) {
    started.reject(error);
    // Told to stop while it was starting: that is no failure.
    if (errorCodeOf(error) !== 'CANCELLED') throw error;
  } finally {
    await local.close();
  }
};

const startFields = ({ identity, traffic, revisions, server }: System, config: AgentConfig): LogFields => {
  const { mode, observeReason } = traffic.status();
  return {
    version: agentVersion,
    name: config.name,
    agentId: identity.identity()?.agentId ?? null,
    traffic: mode,
    ...(mode === 'observe' ? { observeReason } : {}),
    revision: revisions.current().revision,
    grpc: server.mode,
    grpcPort: server.grpcPort,
    httpPort: server.httpPort,
  };
};

const createSinks = ({ log, name }: AgentConfig, { stderr }: Terminal): readonly LogSink[] => [
  createConsoleSink(log.format, stderr),
  ...(log.syslog === undefined ? [] : [createSyslogSink({ ...log.syslog, hostName: name, appName: 'nest-agent', processId: process.pid })]),
];

/** Aborts on the first stop signal. */
const awaitSignal = (logger: Logger): AbortSignal => {
  const controller = new AbortController();
  for (const name of stopSignals) {
    process.once(name, () => {
      controller.abort(new NestError('CANCELLED', name));
      for (const again of stopSignals) {
        process.removeAllListeners(again);
        process.once(again, () => {
          logger.warn('agent ends at once', { reason: again });
          process.exit(1);
        });
      }
    });
  }
  return controller.signal;
};

/** Keeps the process alive until then: the timers of the parts do not. */
const untilAborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) {
      resolve();
      return;
    }
    const alive = setInterval(() => undefined, 2 ** 30);
    signal.addEventListener(
      'abort',
      () => {
        clearInterval(alive);
        resolve();
      },
      { once: true },
    );
  });
