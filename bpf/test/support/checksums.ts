/** Frames with every checksum computed from nothing: what the data path's incremental ones are compared with. */

const fold = (sum: number): number => {
  let rest = sum;
  while (rest > 0xffff) rest = (rest & 0xffff) + Math.floor(rest / 0x10000);
  return rest;
};

/** Sum of 16-bit words, not folded. */
const sumOf = (bytes: Buffer): number => {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += ((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0);
  return sum;
};

const checksumOf = (sum: number): number => fold(sum) ^ 0xffff;

/** Offset of the IP header behind Ethernet and VLAN tags. */
export const ipOffset = (frame: Buffer): number => {
  let offset = 12;
  while ([0x8100, 0x88a8].includes(frame.readUInt16BE(offset))) offset += 4;
  return offset + 2;
};

const extensions = new Set([0, 43, 44, 51, 60]);

/** Transport header, protocol and pseudo-header sum; undefined for a later fragment. */
export const transportOf = (
  frame: Buffer,
): { readonly offset: number; readonly protocol: number; readonly pseudo: number; readonly end: number } | undefined => {
  const ip = ipOffset(frame);
  if ((frame[ip] ?? 0) >> 4 === 4) {
    if ((frame.readUInt16BE(ip + 6) & 0x1fff) !== 0) return undefined;
    const header = ((frame[ip] ?? 0) & 15) * 4;
    const end = ip + frame.readUInt16BE(ip + 2);
    const protocol = frame[ip + 9] ?? 0;
    const pseudo = sumOf(frame.subarray(ip + 12, ip + 20)) + protocol + (end - ip - header);
    return { offset: ip + header, protocol, pseudo, end };
  }
  let offset = ip + 40;
  let protocol = frame[ip + 6] ?? 0;
  const end = offset + frame.readUInt16BE(ip + 4);
  while (extensions.has(protocol)) {
    if (protocol === 44 && frame.readUInt16BE(offset + 2) >> 3 !== 0) return undefined;
    const units = frame[offset + 1] ?? 0;
    const bytes = protocol === 44 ? 8 : protocol === 51 ? (units + 2) * 4 : (units + 1) * 8;
    protocol = frame[offset] ?? 0;
    offset += bytes;
  }
  return { offset, protocol, pseudo: sumOf(frame.subarray(ip + 8, ip + 40)) + protocol + (end - offset), end };
};

const places: Readonly<Record<number, number>> = { 1: 2, 6: 16, 17: 6, 58: 2 };

/** A copy with right checksums. `plainUdp`: UDP without one. */
export const withChecksums = (input: Buffer, options: { readonly plainUdp?: boolean } = {}): Buffer => {
  const frame = Buffer.from(input);
  const ip = ipOffset(frame);
  if ((frame[ip] ?? 0) >> 4 === 4) {
    frame.writeUInt16BE(0, ip + 10);
    frame.writeUInt16BE(checksumOf(sumOf(frame.subarray(ip, ip + ((frame[ip] ?? 0) & 15) * 4))), ip + 10);
  }
  const transport = transportOf(frame);
  if (transport === undefined) return frame;
  const { offset, protocol, pseudo, end } = transport;
  const place = places[protocol];
  if (place === undefined) return frame;
  frame.writeUInt16BE(0, offset + place);
  if (protocol === 17 && options.plainUdp === true) return frame;
  const sum = checksumOf(sumOf(frame.subarray(offset, end)) + (protocol === 1 ? 0 : pseudo));
  frame.writeUInt16BE(protocol === 17 && sum === 0 ? 0xffff : sum, offset + place);
  return frame;
};

export interface Changes {
  readonly from?: readonly number[];
  readonly to?: readonly number[];
  readonly fromPort?: number;
  readonly toPort?: number;
  /** ICMP. */
  readonly identifier?: number;
  readonly dscp?: number;
  /** One hop less, and these addresses. */
  readonly macs?: { readonly to: readonly number[]; readonly from: readonly number[] };
  readonly keepsHops?: boolean;
  readonly plainUdp?: boolean;
}

/** The frame after the changes, with all checksums computed anew. */
export const changed = (input: Buffer, changes: Changes): Buffer => {
  const frame = Buffer.from(input);
  const ip = ipOffset(frame);
  const is4 = (frame[ip] ?? 0) >> 4 === 4;
  const transport = transportOf(frame);
  if (changes.from !== undefined) frame.set(changes.from, ip + (is4 ? 12 : 8));
  if (changes.to !== undefined) frame.set(changes.to, ip + (is4 ? 16 : 24));
  if (changes.fromPort !== undefined && transport !== undefined) frame.writeUInt16BE(changes.fromPort, transport.offset);
  if (changes.toPort !== undefined && transport !== undefined) frame.writeUInt16BE(changes.toPort, transport.offset + 2);
  if (changes.identifier !== undefined && transport !== undefined) frame.writeUInt16BE(changes.identifier, transport.offset + 4);
  if (changes.dscp !== undefined) {
    if (is4) frame[ip + 1] = (changes.dscp << 2) | ((frame[ip + 1] ?? 0) & 3);
    else frame.writeUInt16BE((frame.readUInt16BE(ip) & 0xf03f) | (changes.dscp << 6), ip);
  }
  if (changes.macs !== undefined) {
    frame.set(changes.macs.to, 0);
    frame.set(changes.macs.from, 6);
    if (changes.keepsHops !== true) frame[ip + (is4 ? 8 : 7)] = (frame[ip + (is4 ? 8 : 7)] ?? 0) - 1;
  }
  return withChecksums(frame, { plainUdp: changes.plainUdp ?? false });
};
