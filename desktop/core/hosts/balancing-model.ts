/** From wire messages about balancers, deny lists and sums of flows to what the bridge carries. */
import type { FlowFilter as WireFlowFilter, SummarizeFlowsResponse } from '../../../proto/gen/nest/v1/flow.ts';
import { Flow_State } from '../../../proto/gen/nest/v1/flow.ts';
import { Reason } from '../../../proto/gen/nest/v1/reason.ts';
import { Backend_Health, Backend_State, DenyList_Origin } from '../../../proto/gen/nest/v1/traffic.ts';
import type { Backend, Balancer, HealthCheck, ListBalancersResponse, ListDenyListsResponse } from '../../../proto/gen/nest/v1/traffic.ts';
import { NestError } from '../../../proto/model/error.ts';
import type * as model from '../../bridge/model.ts';
import { bytesOf, moment, named, packetsOf } from './wire-model.ts';

type BalancerRow = model.BalancerList['balancers'][number];

export const balancerListOf = (answer: ListBalancersResponse, at: number): model.BalancerList => ({
  at,
  live: true,
  revision: Number(answer.revision),
  balancers: answer.balancers.map(balancerOf),
});

const balancerOf = (balancer: Balancer): BalancerRow => ({
  mapping: balancer.mapping,
  destinations: balancer.destinations,
  protocols: balancer.protocols,
  ports: balancer.ports,
  nat: balancer.nat === 'full' || balancer.nat === 'dsr' ? balancer.nat : 'dnat',
  affinity: balancer.affinity === 'source' ? 'source' : 'none',
  healthCheck: healthCheckOf(balancer.healthCheck),
  backends: balancer.backends.map(backendOf),
});

const healthCheckOf = (check: HealthCheck | undefined): BalancerRow['healthCheck'] => {
  if (check === undefined || (check.kind !== 'tcp' && check.kind !== 'http' && check.kind !== 'icmp')) return null;
  const { kind, path, intervalMs, timeoutMs, rise, fall } = check;
  return { kind, path, intervalMs, timeoutMs, rise, fall };
};

const states: Readonly<Record<number, model.BackendRow['wanted']>> = {
  [Backend_State.UP]: 'up',
  [Backend_State.DRAIN]: 'drain',
  [Backend_State.DOWN]: 'down',
};
const healths: Readonly<Record<number, model.BackendRow['health']>> = { [Backend_Health.UP]: 'up', [Backend_Health.DOWN]: 'down' };

const backendOf = (backend: Backend): model.BackendRow => ({
  name: backend.name,
  address: backend.address,
  port: backend.port === 0 ? null : backend.port,
  weight: backend.weight,
  wanted: states[backend.wanted] ?? 'up',
  effective: states[backend.effective] ?? 'down',
  health: healths[backend.health] ?? 'unknown',
  healthDetail: backend.healthDetail,
  healthSince: moment(backend.healthSinceMs),
  flows: Number(backend.flows),
  packets: packetsOf(backend.count),
  bytes: bytesOf(backend.count),
  liveFlows: backend.liveFlows === undefined ? null : Number(backend.liveFlows),
});

export const denyListTableOf = (answer: ListDenyListsResponse, at: number): model.DenyListTable => ({
  at,
  live: true,
  lists: answer.lists.map((list) => ({
    name: list.name,
    origin: list.origin === DenyList_Origin.HOST ? 'host' : 'policy',
    file: named(list.file),
    prefixes: Number(list.prefixes),
    firstPrefixes: list.firstPrefixes,
    expiresAt: moment(list.expiresAtMs),
    expired: list.expired,
    hitPackets: packetsOf(list.hits),
    hitBytes: bytesOf(list.hits),
    problem: named(list.problem),
  })),
});

export const flowSumsOf = (answer: SummarizeFlowsResponse, at: number): model.FlowSums => ({
  at,
  live: true,
  sums: answer.sums.map(({ key, flows, count, deniedFlows }) => ({
    key,
    flows: Number(flows),
    deniedFlows: Number(deniedFlows),
    packets: packetsOf(count),
    bytes: bytesOf(count),
  })),
  keys: Number(answer.keys),
  flows: Number(answer.flows),
  packets: packetsOf(answer.total),
  bytes: bytesOf(answer.total),
  recordsLost: Number(answer.recordsLost),
});

/** What a face filters flows by; absent = all. */
export interface FlowQuery {
  readonly address?: string | undefined;
  readonly source?: string | undefined;
  readonly destination?: string | undefined;
  readonly port?: number | undefined;
  readonly protocol?: number | undefined;
  readonly mapping?: string | undefined;
  readonly interface?: string | undefined;
  readonly verdict?: 'allowed' | 'denied' | undefined;
  readonly state?: 'live' | 'ended' | 'denied' | 'cut' | undefined;
  readonly reason?: string | undefined;
  readonly windowSeconds?: number | undefined;
}

const flowStates = { live: Flow_State.LIVE, ended: Flow_State.ENDED, denied: Flow_State.DENIED, cut: Flow_State.CUT } as const;

/** The filter on the wire. Raises INPUT_INVALID for a reason that does not exist. */
export const wireFilterOf = (query: FlowQuery): WireFlowFilter => ({
  address: query.address ?? '',
  source: query.source ?? '',
  destination: query.destination ?? '',
  port: query.port ?? 0,
  protocolPlusOne: query.protocol === undefined ? 0 : query.protocol + 1,
  mapping: query.mapping ?? '',
  interface: query.interface ?? '',
  verdict: query.verdict ?? '',
  state: query.state === undefined ? Flow_State.UNSPECIFIED : flowStates[query.state],
  reason: query.reason === undefined ? Reason.UNSPECIFIED : reasonNumber(query.reason),
});

const reasonNumber = (name: string): Reason => {
  const wanted = name.toUpperCase().replaceAll('-', '_');
  const found = Object.entries(Reason).find(([known]) => known === wanted)?.[1];
  if (found !== undefined && found !== Reason.UNRECOGNIZED) return found;
  throw new NestError('INPUT_INVALID', `There is no reason "${name}". Write for instance POLICY_DENY; docs/REASONS.md lists them all.`);
};
