/** What a mapping matches on, in the compiler's terms. */
import { l4, l4Bit } from './limits.ts';
import { portRangesOf } from './port-range.ts';
import type { PortRange } from './port-range.ts';
import { anyName } from './schema-checks.ts';
import type { PolicyMapping, PolicyProtocol } from './policy-schema.ts';

export interface TrafficMatch {
  /** Bits of the transport classes. */
  readonly l4Mask: number;
  /** Empty = every port. */
  readonly ports: readonly PortRange[];
}

const portMask = l4Bit(l4.tcp) | l4Bit(l4.udp);
const masks: Readonly<Record<PolicyProtocol, number>> = {
  tcp: l4Bit(l4.tcp),
  udp: l4Bit(l4.udp),
  icmp: l4Bit(l4.icmp),
  any: portMask | l4Bit(l4.icmp) | l4Bit(l4.other),
};

/** Protocols and ports of a checked mapping; "any" with ports means TCP and UDP. */
export const trafficOf = (mapping: PolicyMapping): TrafficMatch => {
  const ports = portRangesOf(mapping.ports ?? []);
  let l4Mask = 0;
  for (const protocol of mapping.protocols) l4Mask |= masks[protocol];
  return { l4Mask: ports.length > 0 ? l4Mask & portMask : l4Mask, ports };
};

/** Sorted, unique names of one side, or the single "any" when it is among them. */
export const sideOf = (names: readonly string[]): readonly string[] => {
  if (names.includes(anyName)) return [anyName];
  return names.length === 1 ? names : [...new Set(names)].sort();
};
