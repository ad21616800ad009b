/** The endpoints of the page that begins a rollout. */
import type { InputOf, OutputOf } from '../../bridge/contract.ts';
import { ask, bridgeApi } from './bridge-api.ts';

const stagedApi = bridgeApi.injectEndpoints({
  endpoints: (build) => ({
    // A mutation: it runs when somebody presses, and its answer is not kept.
    planStaged: build.mutation<OutputOf<'rollouts.plan'>, InputOf<'rollouts.plan'>>({ query: ask('rollouts.plan') }),
    startStaged: build.mutation<OutputOf<'rollouts.start'>, InputOf<'rollouts.start'>>({
      query: ask('rollouts.start'),
      invalidatesTags: ['staged'],
    }),
  }),
});

export const { usePlanStagedMutation, useStartStagedMutation } = stagedApi;
