/** The endpoints of merges, approvals, drift and who edits. */
import type { CallName, InputOf, OutputOf } from '../../bridge/contract.ts';
import { ask, bridgeApi, kindsOf } from './bridge-api.ts';

const changeApi = bridgeApi.injectEndpoints({
  endpoints: (build) => {
    const query = <Name extends CallName>(method: Name) =>
      build.query<OutputOf<Name>, InputOf<Name>>({ query: ask(method), providesTags: ['revisions'] });
    const command = <Name extends CallName>(method: Name) =>
      build.mutation<OutputOf<Name>, InputOf<Name>>({ query: ask(method), invalidatesTags: ['revisions'] });
    return {
      mergePolicy: build.mutation<OutputOf<'policy.merge'>, InputOf<'policy.merge'>>({ query: ask('policy.merge') }),
      watchEditors: kindsOf(build).stream('lease.hold'),
      approvals: query('approval.list'),
      approveMapping: command('approval.approve'),
      drift: query('drift.list'),
      checkDrift: command('drift.check'),
      setDriftMode: command('drift.mode'),
    };
  },
});

export const {
  useMergePolicyMutation,
  useWatchEditorsQuery,
  useApprovalsQuery,
  useApproveMappingMutation,
  useDriftQuery,
  useCheckDriftMutation,
  useSetDriftModeMutation,
} = changeApi;
