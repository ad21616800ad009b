/** The endpoints: RTK Query over the bridge. A query's cache entry lives as long as somebody looks at it, and so does its stream. */
import { createApi } from '@reduxjs/toolkit/query/react';
import type { BaseQueryFn, EndpointBuilder } from '@reduxjs/toolkit/query/react';
import type { BridgeClient, CallName, InputOf, OutputOf, StreamName } from '../../bridge/contract.ts';
import { toFailure } from './failure.ts';
import type { Failure } from './failure.ts';
import type { FleetTelemetry } from './fleet-telemetry.ts';
import type { StepUpPrompt } from './step-up.ts';
import { followStream } from './stream.ts';
import type { StreamListener } from './stream.ts';

/** What thunks and endpoints reach besides the store; given by the composition root. */
export interface ClientPorts {
  readonly bridge: BridgeClient;
  readonly telemetry: FleetTelemetry;
  /** Asks for a code of the second factor. */
  readonly stepUp: StepUpPrompt;
}

/** A followed stream: the last value, and why the stream is broken when it is. Neither = still waiting. */
export interface Followed<Value> {
  readonly value: Value | null;
  readonly failure: Failure | null;
}

export interface BridgeCall {
  readonly method: CallName;
  readonly input: unknown;
}

const portsOf = (extra: unknown): ClientPorts => extra as ClientPorts;

const bridgeQuery: BaseQueryFn<BridgeCall, unknown, Failure> = async ({ method, input }, { signal, extra }) => {
  const { bridge, stepUp } = portsOf(extra);
  const once = async (): Promise<{ readonly data: unknown } | { readonly error: Failure }> => {
    try {
      return { data: await bridge.call(method, input as InputOf<CallName>, { signal }) };
    } catch (error) {
      return { error: toFailure(error) };
    }
  };
  const answer = await once();
  if (!('error' in answer) || answer.error.code !== 'MFA_REQUIRED' || answer.error.hasNoFactor === true) return answer;
  return (await stepUp.ask(answer.error)) ? once() : answer;
};

/** A call of the bridge as the base query wants it. */
export const ask =
  <Name extends CallName>(method: Name) =>
  (input: InputOf<Name>): BridgeCall => ({ method, input });

interface StreamLife {
  readonly extra: unknown;
  readonly cacheDataLoaded: Promise<unknown>;
  readonly cacheEntryRemoved: Promise<unknown>;
}

/** Keeps a stream open exactly as long as its cache entry lives. */
const followWhileCached = async <Name extends StreamName>(
  life: StreamLife,
  stream: { readonly method: Name; readonly input: InputOf<Name> },
  listener: StreamListener<OutputOf<Name>>,
): Promise<void> => {
  const abort = new AbortController();
  const removed = life.cacheEntryRemoved.then(() => abort.abort());
  // The entry may go before its first data: then there is nothing to follow.
  const isLoaded = await life.cacheDataLoaded.then(
    () => true,
    () => false,
  );
  if (isLoaded) await followStream({ client: portsOf(life.extra).bridge, ...stream }, listener, abort.signal);
  await removed;
};

const waiting = { data: { value: null, failure: null } };

type Update<Value> = (recipe: (draft: Followed<Value>) => Followed<Value>) => unknown;

/** Writes a stream into its cache entry. The recipe returns a new object: values are never drafted by Immer. */
const intoCache = <Value>(update: Update<Value>): StreamListener<Value> => ({
  onValue: (value) => update(() => ({ value, failure: null })),
  onFailure: (failure) => update((previous) => ({ value: previous.value, failure })),
});

/** Frames of the fleet go to the telemetry, not into the cache. */
const followFleet = (input: InputOf<'hosts.watch'>, life: StreamLife): Promise<void> => {
  const { telemetry } = portsOf(life.extra);
  return followWhileCached(
    life,
    { method: 'hosts.watch', input },
    { onValue: (frame) => telemetry.put(frame), onFailure: (failure) => telemetry.fail(failure) },
  );
};

const tags = [
  'settings',
  'draft',
  'enrollments',
  'host',
  'revisions',
  'rollout',
  'deny-lists',
  'audit',
  'certificates',
  'root-change',
  'staged',
  'intents',
  'license',
  'mfa',
  'groups',
] as const;
type Tag = (typeof tags)[number];

/** The three kinds of methods as endpoints. */
export const kindsOf = (build: EndpointBuilder<typeof bridgeQuery, Tag, 'bridge'>) => {
  const stream = <Name extends StreamName>(method: Name) =>
    build.query<Followed<OutputOf<Name>>, InputOf<Name>>({
      queryFn: () => waiting,
      keepUnusedDataFor: 1,
      onCacheEntryAdded: (input, api) =>
        followWhileCached(
          api,
          { method, input },
          intoCache<OutputOf<Name>>((recipe) => api.updateCachedData(recipe as Parameters<typeof api.updateCachedData>[0])),
        ),
    });
  const query = <Name extends CallName>(method: Name, providesTags: readonly Tag[] = []) =>
    build.query<OutputOf<Name>, InputOf<Name>>({ query: ask(method), providesTags });
  const command = <Name extends CallName>(method: Name, invalidatesTags: readonly Tag[] = []) =>
    build.mutation<OutputOf<Name>, InputOf<Name>>({ query: ask(method), invalidatesTags });
  return { stream, query, command };
};

/** The change of the fleet's root. */
const rootChangeEndpoints = (build: EndpointBuilder<typeof bridgeQuery, Tag, 'bridge'>) => {
  const { query, command } = kindsOf(build);
  return {
    rootChange: query('root-change.get', ['root-change']),
    startRoot: command('root-change.start', ['root-change', 'certificates']),
    advanceRoot: command('root-change.advance', ['root-change', 'certificates']),
    rollBackRoot: command('root-change.rollback', ['root-change', 'certificates']),
  };
};

export const bridgeApi = createApi({
  reducerPath: 'bridge',
  baseQuery: bridgeQuery,
  tagTypes: tags,
  keepUnusedDataFor: 5,
  endpoints: (build) => {
    const { stream, query, command } = kindsOf(build);
    return {
      watchConsole: stream('console.watch'),
      settings: query('settings.get', ['settings']),
      putSettings: command('settings.put', ['settings']),
      createFleet: command('fleet.create'),
      unlockFleet: command('fleet.unlock'),
      lockFleet: command('fleet.lock'),
      certificates: query('certificate.list', ['certificates']),
      renewCertificate: command('certificate.renew', ['certificates']),
      revokeCertificate: command('certificate.revoke', ['certificates']),
      ...rootChangeEndpoints(build),

      /** Has no data of its own: frames go to FleetTelemetry. */
      watchFleet: build.query<null, InputOf<'hosts.watch'>>({
        queryFn: () => ({ data: null }),
        onCacheEntryAdded: followFleet,
      }),
      enrollments: query('enrollment.list', ['enrollments']),
      beginEnrollment: command('enrollment.begin', ['enrollments']),
      watchEnrollment: stream('enrollment.watch'),
      approveEnrollment: command('enrollment.approve', ['enrollments']),
      cancelEnrollment: command('enrollment.cancel', ['enrollments']),
      renameHost: command('hosts.rename', ['host']),
      removeHost: command('hosts.remove'),

      host: query('host.get', ['host']),
      watchHost: stream('host.watch'),
      watchAccess: stream('access.watch'),
      changeAccess: command('access.change', ['mfa']),
      mergeAccess: command('access.merge'),
      cosignAccess: command('access.cosign'),
      pushAccess: command('access.push'),
      hostCounters: query('host.counters'),
      hostFlows: query('host.flows'),
      flowSums: query('host.flowSums'),
      balancers: query('host.balancers'),
      denyLists: query('host.denyLists', ['deny-lists']),
      updateDenyList: command('host.denyList.update', ['deny-lists']),
      setInterfaceEngine: command('host.interface.engine', ['host']),

      policy: query('policy.get', ['revisions']),
      revisions: query('policy.revisions', ['revisions']),
      // Mutations, because their arguments are whole documents and would become cache keys.
      validatePolicy: command('policy.validate'),
      importPolicy: command('policy.import'),
      draft: query('draft.get', ['draft']),
      putDraft: command('draft.put', ['draft']),
      dropDraft: command('draft.drop', ['draft']),
      planPolicy: command('policy.plan'),
      applyPolicy: command('policy.apply', ['revisions', 'rollout']),
      confirmPolicy: command('policy.confirm', ['revisions', 'rollout', 'draft']),
      undoPolicy: command('policy.undo', ['revisions', 'rollout']),
      rollbackPolicy: command('policy.rollback', ['revisions']),
      currentRollout: query('rollout.current', ['rollout']),
      watchRollout: stream('rollout.watch'),

      stagedRollouts: query('rollouts.list', ['staged']),
      watchStaged: stream('rollouts.watch'),
      pauseStaged: command('rollouts.pause', ['staged']),
      resumeStaged: command('rollouts.resume', ['staged']),
      abortStaged: command('rollouts.abort', ['staged']),
      takeOverStaged: command('rollouts.takeOver', ['staged']),
      intents: query('intents.list', ['intents']),
      cancelIntent: command('intents.cancel', ['intents']),

      trace: command('trace.run'),
    };
  },
});

export const {
  useWatchConsoleQuery,
  useSettingsQuery,
  usePutSettingsMutation,
  useCreateFleetMutation,
  useUnlockFleetMutation,
  useLockFleetMutation,
  useWatchFleetQuery,
  useEnrollmentsQuery,
  useBeginEnrollmentMutation,
  useWatchEnrollmentQuery,
  useApproveEnrollmentMutation,
  useCancelEnrollmentMutation,
  useRenameHostMutation,
  useRemoveHostMutation,
  useHostQuery,
  useWatchHostQuery,
  useWatchAccessQuery,
  useChangeAccessMutation,
  useMergeAccessMutation,
  useCosignAccessMutation,
  usePushAccessMutation,
  useHostCountersQuery,
  useHostFlowsQuery,
  useFlowSumsQuery,
  useBalancersQuery,
  useDenyListsQuery,
  useUpdateDenyListMutation,
  useSetInterfaceEngineMutation,
  usePolicyQuery,
  useLazyPolicyQuery,
  useCertificatesQuery,
  useRenewCertificateMutation,
  useRevokeCertificateMutation,
  useRootChangeQuery,
  useStartRootMutation,
  useAdvanceRootMutation,
  useRollBackRootMutation,
  useRevisionsQuery,
  useValidatePolicyMutation,
  useImportPolicyMutation,
  useDraftQuery,
  usePutDraftMutation,
  useDropDraftMutation,
  usePlanPolicyMutation,
  useApplyPolicyMutation,
  useConfirmPolicyMutation,
  useUndoPolicyMutation,
  useRollbackPolicyMutation,
  useCurrentRolloutQuery,
  useWatchRolloutQuery,
  useStagedRolloutsQuery,
  useWatchStagedQuery,
  usePauseStagedMutation,
  useResumeStagedMutation,
  useAbortStagedMutation,
  useTakeOverStagedMutation,
  useIntentsQuery,
  useCancelIntentMutation,
  useTraceMutation,
} = bridgeApi;
