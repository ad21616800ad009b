/** The endpoints of second factors. */
import type { CallName, InputOf, OutputOf } from '../../bridge/contract.ts';
import { ask, bridgeApi } from './bridge-api.ts';

const mfaApi = bridgeApi.injectEndpoints({
  endpoints: (build) => {
    const command = <Name extends CallName>(method: Name) =>
      build.mutation<OutputOf<Name>, InputOf<Name>>({ query: ask(method), invalidatesTags: ['mfa'] });
    return {
      mfa: build.query<OutputOf<'mfa.get'>, InputOf<'mfa.get'>>({ query: ask('mfa.get'), providesTags: ['mfa'] }),
      enrolFactor: command('mfa.enrol'),
      confirmFactor: command('mfa.confirm'),
      admitFactor: command('mfa.admit'),
      removeFactor: command('mfa.remove'),
      stepUp: command('mfa.stepUp'),
      useGrant: command('breakGlass.use'),
    };
  },
});

export const {
  useMfaQuery,
  useEnrolFactorMutation,
  useConfirmFactorMutation,
  useAdmitFactorMutation,
  useRemoveFactorMutation,
  useStepUpMutation,
  useUseGrantMutation,
} = mfaApi;
