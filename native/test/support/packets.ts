/** Packets for tests, byte by byte. Checksums stay zero: the data path never looks at them. */

export const tcpFlag = { fin: 1, syn: 2, rst: 4, ack: 16 } as const;

const u16 = (value: number): readonly number[] => [(value >> 8) & 0xff, value & 0xff];

const u32 = (value: number): readonly number[] => [...u16(value >>> 16), ...u16(value)];

/** "198.18.0.1" or "2001:db8::1" as bytes. */
export const address = (text: string): readonly number[] => {
  if (text.includes('.')) return text.split('.').map(Number);
  const [left = '', right] = text.split('::');
  const groups = (part: string): number[] => (part === '' ? [] : part.split(':').map((group) => Number.parseInt(group, 16)));
  const head = groups(left);
  const tail = right === undefined ? [] : groups(right);
  return [...head, ...Array.from({ length: 8 - head.length - tail.length }, () => 0), ...tail].flatMap((group) => u16(group));
};

export const tcp = (fields: {
  readonly from?: number;
  readonly to?: number;
  readonly flags?: number;
  readonly dataOffset?: number;
  readonly options?: number;
  readonly payload?: number;
}): Buffer =>
  Buffer.from([
    ...u16(fields.from ?? 40000),
    ...u16(fields.to ?? 443),
    ...u32(1),
    ...u32(0),
    (fields.dataOffset ?? 5 + (fields.options ?? 0) / 4) << 4,
    fields.flags ?? tcpFlag.syn,
    ...u16(0xffff),
    ...u32(0),
    ...Array.from({ length: (fields.options ?? 0) + (fields.payload ?? 0) }, () => 1),
  ]);

export const udp = (fields: { readonly from?: number; readonly to?: number; readonly payload?: number }): Buffer =>
  Buffer.from([
    ...u16(fields.from ?? 40000),
    ...u16(fields.to ?? 53),
    ...u16(8 + (fields.payload ?? 4)),
    0,
    0,
    ...Array.from({ length: fields.payload ?? 4 }, () => 2),
  ]);

export const icmp = (type: number, identifier = 7): Buffer => Buffer.from([type, 0, 0, 0, ...u16(identifier), 0, 1, 1, 2, 3, 4]);

export interface Ipv4Fields {
  readonly from: string;
  readonly to: string;
  readonly protocol: number;
  readonly payload: Buffer;
  /** Bytes, a multiple of four. */
  readonly options?: number;
  readonly ihl?: number;
  readonly version?: number;
  readonly totalLength?: number;
  /** Offset in units of eight bytes. */
  readonly fragmentOffset?: number;
  readonly moreFragments?: boolean;
  readonly identification?: number;
}

export const ipv4 = (fields: Ipv4Fields): Buffer => {
  const options = fields.options ?? 0;
  const header = [
    ((fields.version ?? 4) << 4) | (fields.ihl ?? 5 + options / 4),
    0,
    ...u16(fields.totalLength ?? 20 + options + fields.payload.length),
    ...u16(fields.identification ?? 1),
    ...u16((fields.moreFragments === true ? 0x2000 : 0) | (fields.fragmentOffset ?? 0)),
    64,
    fields.protocol,
    0,
    0,
    ...address(fields.from),
    ...address(fields.to),
    ...Array.from({ length: options }, () => 1),
  ];
  return Buffer.concat([Buffer.from(header), fields.payload]);
};

export interface Ipv6Fields {
  readonly from: string;
  readonly to: string;
  readonly next: number;
  readonly payload: Buffer;
  readonly hopLimit?: number;
  readonly payloadLength?: number;
  readonly version?: number;
}

export const ipv6 = (fields: Ipv6Fields): Buffer =>
  Buffer.concat([
    Buffer.from([
      (fields.version ?? 6) << 4,
      0,
      0,
      0,
      ...u16(fields.payloadLength ?? fields.payload.length),
      fields.next,
      fields.hopLimit ?? 64,
      ...address(fields.from),
      ...address(fields.to),
    ]),
    fields.payload,
  ]);

/** An extension header of `units` * 8 bytes (hop-by-hop, routing, destination) in front of `rest`. */
export const extension = (next: number, rest: Buffer, units = 1): Buffer =>
  Buffer.concat([Buffer.from([next, units - 1]), Buffer.alloc(units * 8 - 2), rest]);

/** An authentication header of 12 bytes. */
export const authentication = (next: number, rest: Buffer): Buffer => Buffer.concat([Buffer.from([next, 1]), Buffer.alloc(10), rest]);

export const fragmentHeader = (
  next: number,
  rest: Buffer,
  fields: { readonly offset: number; readonly more: boolean; readonly identification?: number },
): Buffer =>
  Buffer.concat([
    Buffer.from([next, 0, ...u16((fields.offset << 3) | (fields.more ? 1 : 0)), 0, 0, ...u16(fields.identification ?? 9)]),
    rest,
  ]);

/** A frame; `tags` are EtherTypes of VLAN tags, outermost first. */
export const ethernet = (type: number, payload: Buffer, tags: readonly number[] = []): Buffer =>
  Buffer.concat([
    Buffer.from([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2]),
    ...tags.map((tag) => Buffer.from([...u16(tag), ...u16(10)])),
    Buffer.from(u16(type)),
    payload,
  ]);

export const frame4 = (fields: Ipv4Fields, tags: readonly number[] = []): Buffer => ethernet(0x0800, ipv4(fields), tags);
export const frame6 = (fields: Ipv6Fields, tags: readonly number[] = []): Buffer => ethernet(0x86dd, ipv6(fields), tags);

/** As nest-packet reads them from its standard input. */
export const framed = (packets: readonly Buffer[]): Buffer =>
  Buffer.concat(
    packets.flatMap((packet) => {
      const length = Buffer.alloc(4);
      length.writeUInt32LE(packet.length);
      return [length, packet];
    }),
  );
