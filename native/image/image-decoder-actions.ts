/** Reads and checks what mappings do beyond allow and deny: actions, balancers, backends. */
import type { AddressWords } from './address.ts';
import type { ImageAction, ImageBackend, ImageBalancer, ImageMapping } from './image-content.ts';
import { invalidImage } from './image-invalid.ts';
import {
  actionBytes,
  actionLimitPerSource,
  actionMasquerade,
  actionSourceNat,
  backendBytes,
  backendState,
  backendWeightMax,
  balancerBytes,
  burstBytesMax,
  burstBytesMin,
  burstPacketsMax,
  bytesPerSecondMax,
  dscpKeep,
  dscpMax,
  natKind,
  packetsPerSecondMax,
  ringNone,
} from './limits.ts';

/** Actions by mapping index. Raises IMAGE_INVALID. */
export const readActions = (
  view: DataView,
  from: {
    readonly start: number;
    readonly count: number;
    readonly mappings: readonly ImageMapping[];
    readonly balancers: readonly ImageBalancer[];
  },
): ReadonlyMap<number, ImageAction> => {
  const actions = new Map<number, ImageAction>();
  let previous = -1;
  let balancing = 0;
  for (let position = 0; position < from.count; position++) {
    const offset = from.start + position * actionBytes;
    const action = readAction(view, offset);
    const mapping = from.mappings[action.mapping];
    if (mapping === undefined || mapping.isDeny) throw invalidImage('an action has no mapping that allows');
    if (action.mapping <= previous) throw invalidImage('actions are not sorted');
    previous = action.mapping;
    if (action.balancer !== 0 && from.balancers[action.balancer - 1]?.mapping !== action.mapping)
      throw invalidImage('an action names the balancer of another mapping');
    if (action.balancer !== 0) balancing++;
    actions.set(action.mapping, action);
  }
  if (balancing !== from.balancers.length) throw invalidImage('a balancer has no action');
  return actions;
};

const readAction = (view: DataView, offset: number): ImageAction => {
  const padding = [4, 46, 68];
  const wide = (at: number): number => Number(view.getBigUint64(offset + at, true));
  const action = {
    mapping: view.getUint32(offset, true),
    packetsPerSecond: wide(8),
    bytesPerSecond: wide(16),
    burstPackets: wide(24),
    burstBytes: wide(32),
    balancer: view.getUint32(offset + 40, true),
    dscp: view.getUint8(offset + 44),
    flags: view.getUint8(offset + 45),
    source4: view.getUint32(offset + 48),
    source6: wordsAt(view, offset + 52),
  };
  if (padding.some((at) => (at === 46 ? view.getUint16(offset + at, true) : view.getUint32(offset + at, true)) !== 0))
    throw invalidImage('padding of an action is set');
  if (!isLimit(action)) throw invalidImage('a rate limit is out of range');
  if (action.dscp !== dscpKeep && action.dscp > dscpMax) throw invalidImage('a DSCP is out of range');
  if (!isSourceNat(action)) throw invalidImage('a source NAT contradicts itself');
  return action;
};

const isLimit = (action: ImageAction): boolean => {
  const { packetsPerSecond, bytesPerSecond, burstPackets, burstBytes } = action;
  const isPackets =
    packetsPerSecond === 0
      ? burstPackets === 0
      : packetsPerSecond <= packetsPerSecondMax && burstPackets >= 1 && burstPackets <= burstPacketsMax;
  const isBytes =
    bytesPerSecond === 0
      ? burstBytes === 0
      : bytesPerSecond <= bytesPerSecondMax && burstBytes >= burstBytesMin && burstBytes <= burstBytesMax;
  const isPerSource = (action.flags & actionLimitPerSource) !== 0;
  return isPackets && isBytes && !(isPerSource && packetsPerSecond === 0 && bytesPerSecond === 0);
};

const isSourceNat = ({ flags, source4, source6, balancer }: ImageAction): boolean => {
  if ((flags & ~(actionLimitPerSource | actionSourceNat | actionMasquerade)) !== 0) return false;
  const nat = flags & (actionSourceNat | actionMasquerade);
  const hasAddress = source4 !== 0 || source6.some((word) => word !== 0);
  if (nat === 0) return !hasAddress;
  return balancer === 0 && nat !== (actionSourceNat | actionMasquerade) && hasAddress === (nat === actionSourceNat);
};

/** Balancers whose backends and rings are numbered as the format says. Raises IMAGE_INVALID. */
export const readBalancers = (
  view: DataView,
  from: { readonly start: number; readonly count: number; readonly backends: readonly ImageBackend[] },
): readonly ImageBalancer[] => {
  let previous = -1;
  let nextBackend = 0;
  let nextRing = 0;
  const balancers = Array.from({ length: from.count }, (_, position): ImageBalancer => {
    const offset = from.start + position * balancerBytes;
    const balancer = {
      mapping: view.getUint32(offset, true),
      ring4: view.getUint32(offset + 4, true),
      ring6: view.getUint32(offset + 8, true),
      firstBackend: view.getUint32(offset + 12, true),
      backendCount: view.getUint16(offset + 16, true),
      nat: view.getUint8(offset + 18),
      isBySource: view.getUint8(offset + 19) === 1,
    };
    if (balancer.mapping <= previous) throw invalidImage('balancers are not sorted');
    if (
      view.getUint32(offset + 20, true) !== 0 ||
      view.getUint8(offset + 19) > 1 ||
      balancer.nat < natKind.dnat ||
      balancer.nat > natKind.dsr
    )
      throw invalidImage('a balancer is out of range');
    const own = from.backends.slice(nextBackend, nextBackend + balancer.backendCount);
    const isOwn = own.length === balancer.backendCount && own.length > 0 && own.every((backend) => backend.balancer === position);
    if (balancer.firstBackend !== nextBackend || !isOwn) throw invalidImage('a balancer does not fit its backends');
    const ring = (family: 4 | 6): number => (own.some(({ address }) => address.family === family) ? nextRing++ : ringNone);
    if (balancer.ring4 !== ring(4) || balancer.ring6 !== ring(6)) throw invalidImage('a balancer has a bad ring');
    previous = balancer.mapping;
    nextBackend += balancer.backendCount;
    return balancer;
  });
  if (nextBackend !== from.backends.length) throw invalidImage('a backend has no balancer');
  return balancers;
};

/** Backends with their names. Raises IMAGE_INVALID. */
export const readBackends = (
  view: DataView,
  from: { readonly start: number; readonly count: number; readonly names: readonly string[] },
): readonly ImageBackend[] =>
  Array.from({ length: from.count }, (_, position): ImageBackend => {
    const offset = from.start + position * backendBytes;
    const family = view.getUint8(offset + 20);
    const words = wordsAt(view, offset);
    const weight = view.getUint16(offset + 18, true);
    const state = view.getUint8(offset + 21);
    const isAddress = family === 6 || (family === 4 && words.slice(1).every((word) => word === 0));
    if (!isAddress || weight > backendWeightMax || state > backendState.down || view.getUint16(offset + 22, true) !== 0)
      throw invalidImage('a backend is out of range');
    return {
      name: from.names[position] ?? '',
      address: { family: family === 6 ? 6 : 4, words },
      port: view.getUint16(offset + 16, true),
      weight,
      state,
      seed: view.getUint32(offset + 24, true),
      balancer: view.getUint32(offset + 28, true),
    };
  });

const wordsAt = (view: DataView, offset: number): AddressWords => [
  view.getUint32(offset),
  view.getUint32(offset + 4),
  view.getUint32(offset + 8),
  view.getUint32(offset + 12),
];
