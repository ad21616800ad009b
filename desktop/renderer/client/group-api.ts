/** The endpoints of groups and labels. */
import type { CallName, InputOf, OutputOf } from '../../bridge/contract.ts';
import { ask, bridgeApi } from './bridge-api.ts';

const groupApi = bridgeApi.injectEndpoints({
  endpoints: (build) => {
    const command = <Name extends CallName>(method: Name) =>
      build.mutation<OutputOf<Name>, InputOf<Name>>({ query: ask(method), invalidatesTags: ['groups'] });
    return {
      groups: build.query<OutputOf<'groups.list'>, InputOf<'groups.list'>>({ query: ask('groups.list'), providesTags: ['groups'] }),
      putGroup: command('groups.put'),
      removeGroup: command('groups.remove'),
      // A mutation, because its argument is a whole document and would become a cache key.
      planGroup: build.mutation<OutputOf<'groups.plan'>, InputOf<'groups.plan'>>({ query: ask('groups.plan') }),
      labelHosts: command('hosts.label'),
    };
  },
});

export const { useGroupsQuery, usePutGroupMutation, useRemoveGroupMutation, usePlanGroupMutation, useLabelHostsMutation } = groupApi;
