/** The endpoints of merges, approvals and drift. */
import type { CallName, InputOf, OutputOf } from '../../bridge/contract.ts';
import { ask, bridgeApi } from './bridge-api.ts';

const changeApi = bridgeApi.injectEndpoints({
  endpoints: (build) => {
    const query = <Name extends CallName>(method: Name) =>
      build.query<OutputOf<Name>, InputOf<Name>>({ query: ask(method), providesTags: ['revisions'] });
    const command = <Name extends CallName>(method: Name) =>
      build.mutation<OutputOf<Name>, InputOf<Name>>({ query: ask(method), invalidatesTags: ['revisions'] });
    return {
      mergePolicy: build.mutation<OutputOf<'policy.merge'>, InputOf<'policy.merge'>>({ query: ask('policy.merge') }),
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
  useApprovalsQuery,
  useApproveMappingMutation,
  useDriftQuery,
  useCheckDriftMutation,
  useSetDriftModeMutation,
} = changeApi;
