/** What the fake agent knows of traffic: flows, counters, balancers, deny lists, engines; changes are kept. */
import type { UntypedServiceImplementation } from '@grpc/grpc-js';
import type { Flow, ListFlowsRequest, ListFlowsResponse, SummarizeFlowsRequest } from '../../proto/gen/nest/v1/flow.ts';
import { SummarizeFlowsResponse } from '../../proto/gen/nest/v1/flow.ts';
import {
  DenyList,
  DenyList_Origin,
  GetCountersResponse,
  ListBalancersResponse,
  TracePacketResponse,
} from '../../proto/gen/nest/v1/traffic.ts';
import type {
  ListDenyListsRequest,
  ListDenyListsResponse,
  SetInterfaceEngineRequest,
  SetInterfaceEngineResponse,
  TracePacketRequest,
  UpdateDenyListRequest,
  UpdateDenyListResponse,
} from '../../proto/gen/nest/v1/traffic.ts';
import { NestError } from '../../proto/model/error.ts';
import { answer } from './fake-answer.ts';

export interface FakeTraffic {
  flows: Flow[];
  /** The last questions, to look at. */
  flowsAsked: ListFlowsRequest | null;
  sumsAsked: SummarizeFlowsRequest | null;
  sums: SummarizeFlowsResponse;
  counters: GetCountersResponse;
  trace: TracePacketResponse;
  balancers: ListBalancersResponse;
  denyLists: DenyList[];
  /** All prefixes of the lists the host keeps, by name. */
  denied: Map<string, Set<string>>;
  /** By interface. */
  engines: Map<string, string>;
}

export const createFakeTraffic = (): FakeTraffic => ({
  flows: [],
  flowsAsked: null,
  sumsAsked: null,
  sums: SummarizeFlowsResponse.fromPartial({}),
  counters: GetCountersResponse.fromPartial({}),
  trace: TracePacketResponse.fromPartial({}),
  balancers: ListBalancersResponse.fromPartial({}),
  denyLists: [],
  denied: new Map(),
  engines: new Map(),
});

export const flowService = (state: FakeTraffic): UntypedServiceImplementation => ({
  listFlows: answer<ListFlowsRequest, ListFlowsResponse>(async (request) => {
    state.flowsAsked = request;
    return { flows: state.flows, matched: BigInt(state.flows.length), truncated: false, recordsLost: 0n };
  }),
  summarizeFlows: answer<SummarizeFlowsRequest, SummarizeFlowsResponse>(async (request) => {
    state.sumsAsked = request;
    return state.sums;
  }),
  watchFlows: () => undefined,
});

export const trafficService = (state: FakeTraffic): UntypedServiceImplementation => ({
  getCounters: answer<object, GetCountersResponse>(async () => state.counters),
  tracePacket: answer<TracePacketRequest, TracePacketResponse>(async (request) => ({ ...state.trace, interface: request.interface })),
  listBalancers: answer<object, ListBalancersResponse>(async () => state.balancers),
  listDenyLists: answer<ListDenyListsRequest, ListDenyListsResponse>(async ({ prefixes }) => ({
    lists: state.denyLists.map((list) => ({ ...list, firstPrefixes: [...(state.denied.get(list.name) ?? [])].slice(0, prefixes) })),
    timeMs: BigInt(Date.now()),
  })),
  updateDenyList: answer<UpdateDenyListRequest, UpdateDenyListResponse>(async (request) => updateDenyList(state, request)),
  setInterfaceEngine: answer<SetInterfaceEngineRequest, SetInterfaceEngineResponse>(async ({ interface: name, engine }) => {
    state.engines.set(name, engine);
    const served = engine === 'off' ? '' : engine === 'auto' || engine === 'xdp' ? 'xdp-native' : engine;
    const warning = engine === 'dpdk' ? `Engines do not share flows: put the others on dpdk, too.` : '';
    return { engine: served, reason: `${engine} was chosen`, warning };
  }),
});

const updateDenyList = (
  state: FakeTraffic,
  { name, add, remove, expiresAtMs, delete: whole }: UpdateDenyListRequest,
): UpdateDenyListResponse => {
  const known = state.denyLists.find((list) => list.name === name);
  if (known?.origin === DenyList_Origin.POLICY)
    throw new NestError('INPUT_INVALID', 'The policy has a deny list of this name. Choose another.');
  const others = state.denyLists.filter((list) => list !== known);
  const before = state.denied.get(name) ?? new Set<string>();
  if (whole) {
    state.denied.delete(name);
    state.denyLists = others;
    return { added: 0n, removed: BigInt(before.size), prefixes: 0n };
  }
  const added = add.filter((prefix) => !before.has(prefix));
  const removed = remove.filter((prefix) => before.has(prefix));
  const after = new Set([...before, ...added].filter((prefix) => !removed.includes(prefix)));
  state.denied.set(name, after);
  const kept = known ?? DenyList.fromPartial({ name, origin: DenyList_Origin.HOST });
  state.denyLists = [...others, { ...kept, prefixes: BigInt(after.size), expiresAtMs }];
  return { added: BigInt(added.length), removed: BigInt(removed.length), prefixes: BigInt(after.size) };
};
