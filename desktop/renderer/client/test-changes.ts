/** What the core would answer about approvals, drift and merges, for tests. */
import type { OutputOf } from '../../bridge/contract.ts';
import type { ApprovalRow, HostDrift, HostEditors, HostRow } from '../../bridge/model.ts';

const noDrift: HostDrift = { mode: 'report', checkedAt: 1_700_000_000_000, findings: [], healed: 0 };

interface Fleet {
  readonly hosts: readonly HostRow[];
  readonly editors: readonly HostEditors[];
}

const approvals = ({ hosts }: Fleet): readonly ApprovalRow[] =>
  hosts.slice(0, 2).map((host, index) => ({
    hostId: host.hostId,
    hostName: host.name,
    revision: 118,
    mapping: `web-in-${String(index + 1)}`,
    justification: 'Migration of the shop.',
    ticket: 'NET-481',
    requestedBy: index === 0 ? 'operator/bert' : 'operator/olga-petrov',
    approvedBy: null,
    approvedAt: null,
    expiresAt: 1_700_090_000_000,
    state: 'waiting',
    live: true,
  }));

export const changeAnswers = (bridge: Fleet) => ({
  'approval.list': ({ hostIds }: { readonly hostIds?: readonly string[] | undefined }): OutputOf<'approval.list'> => ({
    self: 'operator/olga-petrov',
    rows: hostIds?.length === 0 ? [] : approvals(bridge),
    unknown: [],
  }),
  'drift.list': (): OutputOf<'drift.list'> =>
    bridge.hosts.slice(0, 2).map(({ hostId, name }, index) => ({
      hostId,
      hostName: name,
      live: true,
      drift:
        index === 0
          ? { ...noDrift, findings: [{ resource: 'interface wan0', message: 'Taken off.', since: 1_700_000_000_000, canHeal: true }] }
          : noDrift,
    })),
  'drift.check': (): HostDrift => noDrift,
  'drift.mode': ({ mode }: { readonly mode: 'report' | 'heal' }): HostDrift => ({ ...noDrift, mode }),
  'lease.list': (): OutputOf<'lease.list'> => bridge.editors,
});
