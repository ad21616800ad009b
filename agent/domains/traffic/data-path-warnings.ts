import { NestError } from '../../../proto/model/error.ts';
import type { RaiseWarning } from '../../control/revisions/api.ts';
import type { EngineCounters, Policy } from '../../engine/api.ts';
import type { Logger } from '../../lib/log.ts';
import type { Attachment } from './attachments.ts';
import { localSourceWarning } from './local-source-warning.ts';

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

/** Tells that packets passed without being judged. */
export const warnTables = (raise: RaiseWarning, counters: EngineCounters): void => {
  const isMissing = counters.interfaces.some(({ reasons }) => reasons.some(({ reason }) => reason === 'TABLE_MISSING'));
  if (!isMissing) return;
  const message =
    'Packets passed because a policy table was missing in the kernel. Apply the policy again; if it comes back, restart the agent.';
  raise('TABLE_MISSING', { title: 'A policy table was missing', message, severity: 'critical' });
};

/** Tells that the kernel would drop packets that leave under an address of this host, and takes the warning back when it would not. */
export const warnLocalSource = async (
  raise: RaiseWarning,
  policy: Policy | undefined,
  interfaces: readonly { readonly name: string }[],
): Promise<void> => {
  const message =
    policy === undefined
      ? ''
      : await localSourceWarning(
          policy,
          interfaces.map(({ name }) => name),
        );
  raise(
    'SOURCE_NAT_DROPPED_BY_KERNEL',
    message === '' ? null : { title: 'The kernel may drop translated packets', message, severity: 'warning' },
  );
};
