/** What mappings do beyond allow and deny, as the tables of the image: actions, balancers, backends. */
import { masquerade } from './action-schema.ts';
import type { PolicyDscp } from './action-schema.ts';
import { formatAddress, parseAddress } from './address.ts';
import type { AddressWords } from './address.ts';
import { backendSeed } from './flow-hash.ts';
import type { ImageAction, ImageBackend, ImageBalancer } from './image-content.ts';
import {
  actionLimitPerSource,
  actionMasquerade,
  actionSourceNat,
  backendState,
  backendsMax,
  balancersMax,
  burstBytesMax,
  burstBytesMin,
  burstPacketsMax,
  dscpKeep,
  natKind,
  ringNone,
} from './limits.ts';
import type { CheckedMapping, CheckedRateLimit } from './policy-schema.ts';
import { tooLarge } from './too-large.ts';

export interface TreatmentTables {
  readonly actions: readonly ImageAction[];
  readonly balancers: readonly ImageBalancer[];
  readonly backends: readonly ImageBackend[];
}

/** DSCP of each class: EF, AF41, AF21, CS0. */
const dscpOf: Readonly<Record<PolicyDscp, number>> = { P0: 46, P1: 34, P2: 18, P3: 0 };

const noAddress: AddressWords = [0, 0, 0, 0];

/** True when a mapping needs a row in the action table. */
export const hasTreatment = (mapping: CheckedMapping): boolean =>
  mapping.action !== 'deny' &&
  (mapping.action === 'balance' || mapping.rateLimit !== undefined || mapping.dscp !== undefined || mapping.sourceNat !== undefined);

/** The tables of mappings sorted by name. Raises POLICY_TOO_LARGE. */
export const compileTreatments = (mappings: readonly CheckedMapping[]): TreatmentTables => {
  const actions: ImageAction[] = [];
  const balancers: ImageBalancer[] = [];
  const backends: ImageBackend[] = [];
  let rings = 0;
  const nextRing = (own: readonly ImageBackend[], family: 4 | 6): number =>
    own.some(({ address }) => address.family === family) ? rings++ : ringNone;
  for (const [index, mapping] of mappings.entries()) {
    if (!hasTreatment(mapping)) continue;
    let balancer = 0;
    if (mapping.action === 'balance') {
      const own = backendsOf(mapping, balancers.length);
      if (balancers.length === balancersMax) throw tooLarge('balancers', mapping.name);
      if (backends.length + own.length > backendsMax) throw tooLarge('backends', mapping.name);
      balancer = balancers.push({
        mapping: index,
        ring4: nextRing(own, 4),
        ring6: nextRing(own, 6),
        firstBackend: backends.length,
        backendCount: own.length,
        nat: natKind[mapping.nat ?? 'dnat'],
        isBySource: mapping.affinity === 'source',
      });
      backends.push(...own);
    }
    actions.push(actionOf(mapping, { index, balancer }));
  }
  return { actions, balancers, backends };
};

const backendsOf = (mapping: CheckedMapping, balancer: number): ImageBackend[] =>
  [...(mapping.backends ?? [])]
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap(({ name, address: text, port = 0, weight, state }) => {
      const address = parseAddress(text);
      if (address === undefined) return [];
      const seed = backendSeed(name, formatAddress(address), port);
      return [{ name, address, port, weight, state: backendState[state], seed, balancer }];
    });

const actionOf = (mapping: CheckedMapping, at: { readonly index: number; readonly balancer: number }): ImageAction => {
  const nat = sourceNatOf(mapping.sourceNat);
  const limit = limitOf(mapping.rateLimit);
  return {
    mapping: at.index,
    balancer: at.balancer,
    dscp: mapping.dscp === undefined ? dscpKeep : dscpOf[mapping.dscp],
    source4: nat.source4,
    source6: nat.source6,
    ...limit,
    flags: nat.flags | limit.flags,
  };
};

const sourceNatOf = (text: string | undefined): { flags: number; source4: number; source6: AddressWords } => {
  const address = text === undefined || text === masquerade ? undefined : parseAddress(text);
  if (address === undefined) return { flags: text === masquerade ? actionMasquerade : 0, source4: 0, source6: noAddress };
  return address.family === 4
    ? { flags: actionSourceNat, source4: address.words[0], source6: noAddress }
    : { flags: actionSourceNat, source4: 0, source6: address.words };
};

type Limit = Pick<ImageAction, 'packetsPerSecond' | 'bytesPerSecond' | 'burstPackets' | 'burstBytes' | 'flags'>;

/** A default bucket of bytes holds one packet that the kernel has merged. */
const burstBytesDefaultMin = 65_536;

/** The bucket of a limit as the tables have it: in packets where there is a packet rate, else in bytes. */
export const burstOf = (limit: CheckedRateLimit): number => {
  const { burstPackets, burstBytes } = limitOf(limit);
  return limit.packetsPerSecond === undefined ? burstBytes : burstPackets;
};

const limitOf = (limit: CheckedRateLimit | undefined): Limit => {
  const packetsPerSecond = limit?.packetsPerSecond ?? 0;
  const bytesPerSecond = limit?.bytesPerSecond ?? 0;
  const burstPackets = packetsPerSecond === 0 ? 0 : clamp(limit?.burst ?? Math.ceil(packetsPerSecond / 10), 1, burstPacketsMax);
  return {
    packetsPerSecond,
    bytesPerSecond,
    burstPackets,
    burstBytes: bytesPerSecond === 0 ? 0 : burstBytesOf(limit, { packetsPerSecond, bytesPerSecond, burstPackets }),
    flags: limit?.per === 'source' ? actionLimitPerSource : 0,
  };
};

/** With a packet rate beside it, the bucket of bytes lasts as long as that of packets. */
const burstBytesOf = (
  limit: CheckedRateLimit | undefined,
  { packetsPerSecond, bytesPerSecond, burstPackets }: { packetsPerSecond: number; bytesPerSecond: number; burstPackets: number },
): number => {
  if (packetsPerSecond > 0)
    return clamp(Math.ceil((bytesPerSecond * burstPackets) / packetsPerSecond), burstBytesDefaultMin, burstBytesMax);
  return limit?.burst === undefined
    ? clamp(Math.ceil(bytesPerSecond / 10), burstBytesDefaultMin, burstBytesMax)
    : clamp(limit.burst, burstBytesMin, burstBytesMax);
};

const clamp = (value: number, min: number, max: number): number => Math.min(Math.max(value, min), max);
