/** The endpoints of the snapshot pages. */
import type { CallName, InputOf, OutputOf } from '../../bridge/contract.ts';
import { ask, bridgeApi } from './bridge-api.ts';

const snapshotApi = bridgeApi.enhanceEndpoints({ addTagTypes: ['snapshots', 'recipients'] }).injectEndpoints({
  endpoints: (build) => {
    const query = <Name extends CallName>(method: Name, tag: 'snapshots' | 'recipients' = 'snapshots') =>
      build.query<OutputOf<Name>, InputOf<Name>>({ query: ask(method), providesTags: [tag] });
    const command = <Name extends CallName>(method: Name, invalidatesTags: readonly ('snapshots' | 'recipients')[] = []) =>
      build.mutation<OutputOf<Name>, InputOf<Name>>({ query: ask(method), invalidatesTags });
    return {
      snapshots: query('snapshot.list'),
      createSnapshot: command('snapshot.create', ['snapshots']),
      readSnapshot: command('snapshot.read'),
      beginSnapshot: command('snapshot.begin'),
      appendSnapshot: command('snapshot.append'),
      inspectSnapshot: command('snapshot.inspect', ['snapshots']),
      openSnapshot: command('snapshot.open', ['snapshots']),
      closeSnapshot: command('snapshot.close', ['snapshots']),
      snapshotHosts: query('snapshot.hosts'),
      snapshotHost: query('snapshot.host'),
      snapshotPolicy: query('snapshot.policy'),
      snapshotFlows: query('snapshot.flows'),
      traceSnapshot: command('snapshot.trace'),
      compareSnapshots: query('snapshot.compare'),
      compareSnapshotPolicies: query('snapshot.compare.policy'),
      recipients: query('snapshot.recipients', 'recipients'),
      putRecipient: command('snapshot.recipient.put', ['recipients']),
      removeRecipient: command('snapshot.recipient.remove', ['recipients']),
    };
  },
});

export const {
  useSnapshotsQuery,
  useCreateSnapshotMutation,
  useReadSnapshotMutation,
  useBeginSnapshotMutation,
  useAppendSnapshotMutation,
  useInspectSnapshotMutation,
  useOpenSnapshotMutation,
  useCloseSnapshotMutation,
  useSnapshotHostsQuery,
  useSnapshotHostQuery,
  useSnapshotPolicyQuery,
  useSnapshotFlowsQuery,
  useTraceSnapshotMutation,
  useCompareSnapshotsQuery,
  useCompareSnapshotPoliciesQuery,
  useRecipientsQuery,
  usePutRecipientMutation,
  useRemoveRecipientMutation,
} = snapshotApi;
