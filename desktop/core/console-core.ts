/** Puts the console's parts together and answers the bridge. */
import type { BridgeHandlers } from '../bridge/contract.ts';
import { createTaskGroup } from '../lib/api.ts';
import { approvalHandlers } from './approval/approval-handlers.ts';
import { auditHandlers } from './audit/audit-handlers.ts';
import { accessHandlers } from './access/access-handlers.ts';
import { certificateHandlers } from './certificate/certificate-handlers.ts';
import { rootChangeHandlers } from './certificate/root-change-handlers.ts';
import { deviceHandlers } from './device/device-handlers.ts';
import { withDocumentBuffer } from './cache/document-buffer.ts';
import { consoleHandlers } from './console-handlers.ts';
import type { ConsolePorts, HandlerContext } from './handler-context.ts';
import { driftHandlers } from './drift/drift-handlers.ts';
import { FleetKeeper } from './fleet/fleet-keeper.ts';
import { openFleetSession } from './fleet/fleet-session.ts';
import { groupHandlers } from './group/group-handlers.ts';
import { hostHandlers } from './hosts/host-handlers.ts';
import { HostRoster } from './hosts/host-roster.ts';
import { developmentSettings } from './license/license-settings.ts';
import { licenseHandlers } from './license/license-handlers.ts';
import { leaseHandlers } from './lease/lease-handlers.ts';
import { mergeHandlers } from './merge/merge-handlers.ts';
import { createPlanner } from './policy/planner.ts';
import { mfaHandlers } from './mfa/mfa-handlers.ts';
import { policyHandlers } from './policy/policy-handlers.ts';
import { stagedHandlers } from './rollout/rollout-handlers.ts';
import { SsoDesk } from './sso/sso-desk.ts';
import { ssoHandlers } from './sso/sso-handlers.ts';
import { snapshotHandlers } from './snapshot/snapshot-handlers.ts';

/** The file is looked at so often for changes of other processes. */
const reloadPollMs = 1_000;

export interface ConsoleCore {
  readonly handlers: BridgeHandlers;
  /** Locks, disconnects and closes the cache. Idempotent, never raises. */
  close(): Promise<void>;
}

/** A console that is locked, or empty, and shows what it remembers. */
export const createConsoleCore = (ports: ConsolePorts): ConsoleCore => {
  const { clock, random, report } = ports;
  const cache = withDocumentBuffer(ports.cache, ports);
  // What ends soon makes its connections itself.
  const openShard = ports.isShortLived === true ? undefined : ports.openShard;
  const roster = new HostRoster({ cache, clock, random, consoleVersion: ports.version, openShard, report });
  const sso = new SsoDesk({ cache, clock, random, report, keys: () => keeper.openKeys() });
  const licensing = { settings: ports.license ?? developmentSettings, version: ports.version };
  const keeper: FleetKeeper = new FleetKeeper({
    vaults: ports.vaults,
    clock,
    random,
    version: ports.version,
    hostCount: () => roster.size.value,
    admit: (keys, excuse, signal) => sso.admit(keys, { excuse, signal }),
    openSession: (keys, own) =>
      openFleetSession(keys, {
        roster,
        cache,
        clock,
        random,
        report,
        ...own,
        resumesRollouts: ports.isShortLived !== true,
        licensing,
      }),
  });
  const planner = createPlanner({ roster, clock, random });
  const tasks = createTaskGroup((task, error) => {
    report('background work of the console failed', { task, error });
  });
  tasks.start('reload', async (signal) => {
    for (;;) {
      await clock.sleep(reloadPollMs, signal);
      if (cache.isChangedElsewhere()) await roster.reload();
    }
  });
  const context: HandlerContext = { ...ports, cache, roster, keeper, planner, sso };
  let closing: Promise<void> | undefined;
  return {
    handlers: handlersOf(context),
    close: () => {
      closing ??= (async () => {
        await tasks.close();
        await sso.close();
        await keeper.close();
        cache.close();
      })();
      return closing;
    },
  };
};

/** Every method of the bridge, by what it is about. */
const handlersOf = (context: HandlerContext): ConsoleCore['handlers'] => ({
  ...accessHandlers(context),
  ...approvalHandlers(context),
  ...auditHandlers(context),
  ...certificateHandlers(context),
  ...consoleHandlers(context),
  ...deviceHandlers(context),
  ...driftHandlers(context),
  ...groupHandlers(context),
  ...hostHandlers(context),
  ...licenseHandlers(context),
  ...leaseHandlers(context),
  ...mergeHandlers(context),
  ...mfaHandlers(context),
  ...policyHandlers(context),
  ...rootChangeHandlers(context),
  ...ssoHandlers(context),
  ...snapshotHandlers(context),
  ...stagedHandlers(context),
});
