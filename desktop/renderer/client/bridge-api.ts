/** The endpoints: RTK Query over the bridge. A query's cache entry lives as long as somebody looks at it, and so does its stream. */
import { createApi } from '@reduxjs/toolkit/query/react';
import type { BaseQueryFn } from '@reduxjs/toolkit/query/react';
import type { BridgeClient, CallName, InputOf, OutputOf, StreamName } from '../../bridge/contract.ts';
import { toFailure } from './failure.ts';
import type { Failure } from './failure.ts';
import type { FleetTelemetry } from './fleet-telemetry.ts';
import { followStream } from './stream.ts';
import type { StreamListener } from './stream.ts';

/** What thunks and endpoints reach besides the store; given by the composition root. */
export interface ClientPorts {
  readonly bridge: BridgeClient;
  readonly telemetry: FleetTelemetry;
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
  try {
    return { data: await portsOf(extra).bridge.call(method, input as InputOf<CallName>, { signal }) };
  } catch (error) {
    return { error: toFailure(error) };
  }
};

const ask =
  <Name extends CallName>(method: Name) =>
  (input: InputOf<Name>): BridgeCall => ({ method, input });

interface StreamLife {
  readonly extra: unknown;
  readonly cacheDataLoaded: Promise<unknown>;
  readonly cacheEntryRemoved: Promise<unknown>;
}

/** Keeps a stream open exactly as long as its cache entry lives. */
const followWhileCached = async <Name extends StreamName>(life: StreamLife, stream: { readonly method: Name; readonly input: InputOf<Name> }, listener: StreamListener<OutputOf<Name>>): Promise<void> => {
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

export const bridgeApi = createApi({
  reducerPath: 'bridge',
  baseQuery: bridgeQuery,
  tagTypes: ['settings', 'draft', 'enrollments', 'host', 'revisions', 'rollout'],
  keepUnusedDataFor: 5,
  endpoints: (build) => {
    const stream = <Name extends StreamName>(method: Name) =>
      build.query<Followed<OutputOf<Name>>, InputOf<Name>>({
        queryFn: () => waiting,
        keepUnusedDataFor: 1,
        onCacheEntryAdded: (input, api) => followWhileCached(api, { method, input }, intoCache<OutputOf<Name>>(api.updateCachedData as Update<OutputOf<Name>>)),
      });
    const query = <Name extends CallName>(method: Name) => build.query<OutputOf<Name>, InputOf<Name>>({ query: ask(method) });
    const command = <Name extends CallName>(method: Name) => build.mutation<OutputOf<Name>, InputOf<Name>>({ query: ask(method) });
    return {
      watchConsole: stream('console.watch'),
      settings: build.query<OutputOf<'settings.get'>, InputOf<'settings.get'>>({ query: ask('settings.get'), providesTags: ['settings'] }),
      putSettings: build.mutation<OutputOf<'settings.put'>, InputOf<'settings.put'>>({ query: ask('settings.put'), invalidatesTags: ['settings'] }),
      createFleet: command('fleet.create'),
      unlockFleet: command('fleet.unlock'),
      lockFleet: command('fleet.lock'),

      /** Has no data of its own: frames go to FleetTelemetry. */
      watchFleet: build.query<null, InputOf<'hosts.watch'>>({
        queryFn: () => ({ data: null }),
        onCacheEntryAdded: (input, api) => {
          const { telemetry } = portsOf(api.extra);
          return followWhileCached(api, { method: 'hosts.watch', input }, { onValue: (frame) => telemetry.put(frame), onFailure: (failure) => telemetry.fail(failure) });
        },
      }),
      enrollments: build.query<OutputOf<'enrollment.list'>, InputOf<'enrollment.list'>>({ query: ask('enrollment.list'), providesTags: ['enrollments'] }),
      beginEnrollment: build.mutation<OutputOf<'enrollment.begin'>, InputOf<'enrollment.begin'>>({ query: ask('enrollment.begin'), invalidatesTags: ['enrollments'] }),
      watchEnrollment: stream('enrollment.watch'),
      approveEnrollment: build.mutation<OutputOf<'enrollment.approve'>, InputOf<'enrollment.approve'>>({ query: ask('enrollment.approve'), invalidatesTags: ['enrollments'] }),
      cancelEnrollment: build.mutation<OutputOf<'enrollment.cancel'>, InputOf<'enrollment.cancel'>>({ query: ask('enrollment.cancel'), invalidatesTags: ['enrollments'] }),
      renameHost: build.mutation<OutputOf<'hosts.rename'>, InputOf<'hosts.rename'>>({ query: ask('hosts.rename'), invalidatesTags: ['host'] }),
      removeHost: command('hosts.remove'),

      host: build.query<OutputOf<'host.get'>, InputOf<'host.get'>>({ query: ask('host.get'), providesTags: ['host'] }),
      watchHost: stream('host.watch'),
      hostCounters: query('host.counters'),
      hostFlows: query('host.flows'),

      policy: build.query<OutputOf<'policy.get'>, InputOf<'policy.get'>>({ query: ask('policy.get'), providesTags: ['revisions'] }),
      revisions: build.query<OutputOf<'policy.revisions'>, InputOf<'policy.revisions'>>({ query: ask('policy.revisions'), providesTags: ['revisions'] }),
      // Mutations, because their arguments are whole documents and would become cache keys.
      validatePolicy: command('policy.validate'),
      importPolicy: command('policy.import'),
      draft: build.query<OutputOf<'draft.get'>, InputOf<'draft.get'>>({ query: ask('draft.get'), providesTags: ['draft'] }),
      putDraft: build.mutation<OutputOf<'draft.put'>, InputOf<'draft.put'>>({ query: ask('draft.put'), invalidatesTags: ['draft'] }),
      dropDraft: build.mutation<OutputOf<'draft.drop'>, InputOf<'draft.drop'>>({ query: ask('draft.drop'), invalidatesTags: ['draft'] }),
      planPolicy: command('policy.plan'),
      applyPolicy: build.mutation<OutputOf<'policy.apply'>, InputOf<'policy.apply'>>({ query: ask('policy.apply'), invalidatesTags: ['revisions', 'rollout'] }),
      confirmPolicy: build.mutation<OutputOf<'policy.confirm'>, InputOf<'policy.confirm'>>({ query: ask('policy.confirm'), invalidatesTags: ['revisions', 'rollout'] }),
      undoPolicy: build.mutation<OutputOf<'policy.undo'>, InputOf<'policy.undo'>>({ query: ask('policy.undo'), invalidatesTags: ['revisions', 'rollout'] }),
      rollbackPolicy: build.mutation<OutputOf<'policy.rollback'>, InputOf<'policy.rollback'>>({ query: ask('policy.rollback'), invalidatesTags: ['revisions'] }),
      currentRollout: build.query<OutputOf<'rollout.current'>, InputOf<'rollout.current'>>({ query: ask('rollout.current'), providesTags: ['rollout'] }),
      watchRollout: stream('rollout.watch'),

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
  useHostCountersQuery,
  useHostFlowsQuery,
  usePolicyQuery,
  useLazyPolicyQuery,
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
  useTraceMutation,
} = bridgeApi;
