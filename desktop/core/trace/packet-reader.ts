/** Reads what policy looks at from a packet: enough to judge it under a draft. The verdict on malformed packets is the data path's alone. */
import type { TrafficTuple } from '../../../native/image/api.ts';

const tagsMax = 2;
const extensionsMax = 8;
const tagTypes: ReadonlySet<number> = new Set([0x8100, 0x88a8]);
/** Hop-by-hop, routing, destination options. */
const extensionTypes: ReadonlySet<number> = new Set([0, 43, 60]);
const fragmentHeader = 44;
const authenticationHeader = 51;

/** The flow a packet would open; undefined when policy is not asked about it (not IP, neighbour discovery, later fragments, malformed). */
export const tupleOf = (packet: Uint8Array): TrafficTuple | undefined => {
  const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
  let at = 12;
  try {
    let type = view.getUint16(at);
    for (let tags = 0; tagTypes.has(type); tags += 1) {
      if (tags === tagsMax) return undefined;
      at += 4;
      type = view.getUint16(at);
    }
    at += 2;
    if (type === 0x0800) return ipv4Tuple(packet, view, at);
    return type === 0x86dd ? ipv6Tuple(packet, view, at) : undefined;
  } catch (error) {
    // A read past the end: the packet is truncated.
    if (error instanceof RangeError) return undefined;
    throw error;
  }
};

const ipv4Tuple = (packet: Uint8Array, view: DataView, at: number): TrafficTuple | undefined => {
  const headerBytes = (view.getUint8(at) & 0x0f) * 4;
  if (view.getUint8(at) >>> 4 !== 4 || headerBytes < 20 || (view.getUint16(at + 6) & 0x1fff) !== 0) return undefined;
  view.getUint8(at + headerBytes - 1);
  const protocol = view.getUint8(at + 9);
  return {
    source: packet.slice(at + 12, at + 16),
    destination: packet.slice(at + 16, at + 20),
    protocol,
    ...portsOf(view, at + headerBytes, protocol),
  };
};

const ipv6Tuple = (packet: Uint8Array, view: DataView, at: number): TrafficTuple | undefined => {
  view.getUint8(at + 39);
  let protocol = view.getUint8(at + 6);
  let next = at + 40;
  for (let headers = 0; extensionTypes.has(protocol) || protocol === fragmentHeader || protocol === authenticationHeader; headers += 1) {
    if (headers === extensionsMax) return undefined;
    if (protocol === fragmentHeader && (view.getUint16(next + 2) & 0xfff8) !== 0) return undefined;
    const bytes =
      protocol === fragmentHeader
        ? 8
        : protocol === authenticationHeader
          ? (view.getUint8(next + 1) + 2) * 4
          : (view.getUint8(next + 1) + 1) * 8;
    protocol = view.getUint8(next);
    next += bytes;
  }
  const type = protocol === 58 ? view.getUint8(next) : 0;
  // Router and neighbour solicitations, advertisements and redirects always pass.
  if (type >= 133 && type <= 137) return undefined;
  return { source: packet.slice(at + 8, at + 24), destination: packet.slice(at + 24, at + 40), protocol, ...portsOf(view, next, protocol) };
};

const portsOf = (view: DataView, at: number, protocol: number): { readonly sourcePort?: number; readonly destinationPort?: number } =>
  protocol === 6 || protocol === 17 ? { sourcePort: view.getUint16(at), destinationPort: view.getUint16(at + 2) } : {};
