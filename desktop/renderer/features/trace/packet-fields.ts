/** Which bytes of a packet are which field, for the hex view: enough of the headers to mark addresses and ports. */

export interface PacketField {
  readonly name: string;
  readonly first: number;
  /** Behind the last byte. */
  readonly end: number;
}

const etherTypes = { vlan: 0x8100, qinq: 0x88a8, ipv4: 0x0800, ipv6: 0x86dd } as const;
const tagsMax = 2;
const tcp = 6;
const udp = 17;

/** The bytes of a hex text; an odd digit at the end is left out. */
export const bytesOf = (hex: string): Uint8Array =>
  Uint8Array.from(hex.replaceAll(/[^0-9a-fA-F]/g, '').match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));

const wordAt = (bytes: Uint8Array, offset: number): number => ((bytes[offset] ?? 0) << 8) | (bytes[offset + 1] ?? 0);

const ports = (fields: PacketField[], protocol: number | undefined, offset: number): void => {
  if (protocol !== tcp && protocol !== udp) return;
  fields.push({ name: 'source port', first: offset, end: offset + 2 }, { name: 'destination port', first: offset + 2, end: offset + 4 });
};

/** The fields of an Ethernet frame, in order. What is cut off or unknown is left out. */
export const packetFields = (bytes: Uint8Array): readonly PacketField[] => {
  const fields: PacketField[] = [{ name: 'Ethernet', first: 0, end: 12 }];
  let offset = 12;
  for (
    let tags = 0;
    tags < tagsMax && (wordAt(bytes, offset) === etherTypes.vlan || wordAt(bytes, offset) === etherTypes.qinq);
    tags += 1
  ) {
    fields.push({ name: 'VLAN', first: offset + 2, end: offset + 4 });
    offset += 4;
  }
  const type = wordAt(bytes, offset);
  offset += 2;
  if (type === etherTypes.ipv4) {
    fields.push(
      { name: 'protocol', first: offset + 9, end: offset + 10 },
      { name: 'source', first: offset + 12, end: offset + 16 },
      { name: 'destination', first: offset + 16, end: offset + 20 },
    );
    ports(fields, bytes[offset + 9], offset + ((bytes[offset] ?? 0x45) & 15) * 4);
  } else if (type === etherTypes.ipv6) {
    fields.push(
      { name: 'protocol', first: offset + 6, end: offset + 7 },
      { name: 'source', first: offset + 8, end: offset + 24 },
      { name: 'destination', first: offset + 24, end: offset + 40 },
    );
    ports(fields, bytes[offset + 6], offset + 40);
  }
  return fields.filter(({ end }) => end <= bytes.length);
};
