import { NestError, toErrorShape } from '../../../proto/model/error.ts';
import type { RaiseWarning } from '../../control/revisions/api.ts';
import type { EngineCounters, Policy } from '../../engine/api.ts';
import type { Logger } from '../../lib/log.ts';
import type { DenyList, InterfaceService } from './api.ts';
import type { Attachment } from './attachments.ts';
import { mixedEnginesWarning } from './engine-mix.ts';
import { localSourceWarning } from './local-source-warning.ts';
import type { ReadSetting } from './local-source-warning.ts';

/** Which changes of the data path failed when they were tried last; what succeeds takes its part of the warning back. */
export interface FailedChanges {
  failed(what: string, error: unknown): void;
  succeeded(what: string): void;
}

/** No change has failed yet. */
export const createFailedChanges = (raise: RaiseWarning): FailedChanges => {
  const failures = new Map<string, string>();
  const tell = (): void => {
    const message = [...failures.values()].join(' ');
    raise('DATA_PATH_NOT_CHANGED', message === '' ? null : { title: 'The data path was not changed', message, severity: 'warning' });
  };
  return {
    failed: (what, error) => {
      failures.set(what, `${toErrorShape(error).message} What concerns ${what} stays as it was; it is tried again at the next change.`);
      tell();
    },
    succeeded: (what) => {
      if (failures.delete(what)) tell();
    },
  };
};

/** There is no data path. Raises ENGINE_UNAVAILABLE when the configuration demands one. */
export const warnObserving = (
  { mode, log, raise }: { readonly mode: 'auto' | 'enforce' | 'observe'; readonly log: Logger; readonly raise: RaiseWarning },
  reason: string,
): void => {
  if (mode === 'enforce')
    throw new NestError(
      'ENGINE_UNAVAILABLE',
      `${reason} The configuration demands enforcing (traffic.mode); set it to "auto" to run without.`,
    );
  log.warn('observing only', { reason });
  if (mode === 'auto') raise('OBSERVE_ONLY', { title: 'This host only observes', message: reason, severity: 'warning' });
};

/** Tells which interfaces lack the program, and takes the warning back when none does. */
export const warnAttachments = (raise: RaiseWarning, attachments: readonly Attachment[]): void => {
  const missing = attachments.filter(({ problem }) => problem !== '');
  const message = missing.map(({ name, problem }) => `${name}: ${problem}`).join(' ');
  raise(
    'INTERFACE_NOT_ATTACHED',
    missing.length === 0 ? null : { title: 'Policy is not enforced on every interface', message, severity: 'warning' },
  );
};

/** Lists named in one warning. */
const listsNamed = 5;

/** Tells which deny lists are not what their files say now, and takes the warning back when all are. */
export const warnDenyLists = (raise: RaiseWarning, lists: readonly DenyList[]): void => {
  const failing = lists.filter(({ problem, isExpired }) => problem !== '' && !isExpired);
  const more = failing.length > listsNamed ? ` And ${String(failing.length - listsNamed)} more.` : '';
  const message = failing
    .slice(0, listsNamed)
    .map(({ name, problem }) => `${name}: ${problem}`)
    .join(' ');
  raise(
    'DENY_LIST_NOT_READ',
    failing.length === 0 ? null : { title: 'A deny list is not read from its file', message: `${message}${more}`, severity: 'warning' },
  );
};

/** Tells that packets passed without being judged. */
export const warnTables = (raise: RaiseWarning, counters: EngineCounters): void => {
  const isMissing = counters.interfaces.some(({ reasons }) => reasons.some(({ reason }) => reason === 'TABLE_MISSING'));
  if (!isMissing) return;
  const message =
    'Packets passed because a policy table was missing in the kernel. Apply the policy again; if it comes back, restart the agent.';
  raise('TABLE_MISSING', { title: 'A policy table was missing', message, severity: 'critical' });
};

/** Tells that connections cross engines which do not share flows, and takes the warning back when none does. Returns its message; empty = none. */
export const warnMixedEngines = (raise: RaiseWarning, interfaces: readonly InterfaceService[], policy: Policy | undefined): string => {
  const message = mixedEnginesWarning(interfaces, policy);
  raise(
    'ENGINES_MIXED',
    message === '' ? null : { title: 'Interfaces are served by engines that do not share flows', message, severity: 'warning' },
  );
  return message;
};

/** Tells that the kernel would drop packets that leave under an address of this host, and takes the warning back when it would not. */
export const warnLocalSource = async (
  { raise, readSetting }: { readonly raise: RaiseWarning; readonly readSetting?: ReadSetting | undefined },
  policy: Policy | undefined,
  interfaces: readonly { readonly name: string }[],
): Promise<void> => {
  const message =
    policy === undefined
      ? ''
      : await localSourceWarning(
          policy,
          interfaces.map(({ name }) => name),
          readSetting,
        );
  raise(
    'SOURCE_NAT_DROPPED_BY_KERNEL',
    message === '' ? null : { title: 'The kernel may drop translated packets', message, severity: 'warning' },
  );
};
