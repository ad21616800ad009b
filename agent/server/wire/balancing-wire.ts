import { Backend_Health, Backend_State, DenyList_Origin } from '../../../proto/gen/nest/v1/traffic.ts';
import type {
  Backend as WireBackend,
  Balancer as WireBalancer,
  DenyList as WireDenyList,
  MappingCounter,
  UpdateDenyListRequest,
} from '../../../proto/gen/nest/v1/traffic.ts';
import { NestError } from '../../../proto/model/error.ts';
import type { Backend, Balancer, DenyList, DenyListUpdate, TrafficCounters } from '../../domains/traffic/api.ts';
import { toSafeNumber } from './number-wire.ts';
import { wholeMs } from './revision-wire.ts';

/** Prefixes added or removed by one call. */
const prefixesPerCallMax = 10_000;

const states = { up: Backend_State.UP, drain: Backend_State.DRAIN, down: Backend_State.DOWN } as const;
const healths = { unknown: Backend_Health.UNKNOWN, up: Backend_Health.UP, down: Backend_Health.DOWN } as const;

/** A balancer on the wire. */
export const toWireBalancer = (balancer: Balancer): WireBalancer => ({
  mapping: balancer.mapping,
  destinations: [...balancer.destinations],
  protocols: [...balancer.protocols],
  ports: [...balancer.ports],
  nat: balancer.nat,
  affinity: balancer.affinity,
  backends: balancer.backends.map(toWireBackend),
  healthCheck: balancer.healthCheck === null ? undefined : { ...balancer.healthCheck },
});

const toWireBackend = (backend: Backend): WireBackend => ({
  name: backend.name,
  address: backend.address,
  port: backend.port,
  weight: backend.weight,
  wanted: states[backend.wanted],
  effective: states[backend.effective],
  health: healths[backend.health],
  healthDetail: backend.healthDetail,
  healthSinceMs: backend.healthSinceMs === null ? 0n : wholeMs(backend.healthSinceMs),
  flows: backend.flows,
  count: { ...backend.count },
  liveFlows: backend.liveFlows === null ? undefined : BigInt(backend.liveFlows),
});

/** A deny list on the wire. */
export const toWireDenyList = (list: DenyList): WireDenyList => ({
  name: list.name,
  origin: list.origin === 'host' ? DenyList_Origin.HOST : DenyList_Origin.POLICY,
  file: list.file,
  prefixes: BigInt(list.prefixes),
  expiresAtMs: list.expiresAtMs === null ? 0n : wholeMs(list.expiresAtMs),
  expired: list.isExpired,
  hits: { ...list.hits },
  problem: list.problem,
  firstPrefixes: [...list.firstPrefixes],
});

/** The update of a request. Throws INPUT_INVALID. */
export const fromWireDenyUpdate = (request: UpdateDenyListRequest): DenyListUpdate => {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/.test(request.name))
    throw new NestError('INPUT_INVALID', 'A deny list has a name of 1 to 63 letters, digits, dots, dashes and underscores. Correct it.');
  if (request.add.length > prefixesPerCallMax || request.remove.length > prefixesPerCallMax)
    throw new NestError('INPUT_INVALID', `One call adds and removes at most ${String(prefixesPerCallMax)} prefixes. Send them in parts.`);
  return {
    name: request.name,
    add: request.add,
    remove: request.remove,
    expiresAtMs: request.expiresAtMs === 0n ? null : toSafeNumber(request.expiresAtMs, 'expires_at_ms'),
    delete: request.delete,
  };
};

/** Counters of a mapping on the wire. */
export const toWireMapping = ({ mapping, allow, count, limited, limit }: TrafficCounters['mappings'][number]): MappingCounter => ({
  mapping,
  allow,
  count: { ...count },
  limited: { ...limited },
  limit:
    limit === null
      ? undefined
      : {
          packetsPerSecond: BigInt(limit.packetsPerSecond ?? 0),
          bytesPerSecond: BigInt(limit.bytesPerSecond ?? 0),
          burst: BigInt(limit.burst),
          perSource: limit.perSource,
        },
});
