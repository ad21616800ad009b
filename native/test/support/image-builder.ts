/** Table images for tests, written straight from bpf/include/nest/image.h and independent of the policy compiler. */

export const l4 = { tcp: 1, udp: 2, icmp: 3, other: 4 } as const;

/** The match word of bpf/include/nest/abi.h. */
export const match = (mapping: number, priority: number, isDeny: boolean): number =>
  (((priority * 2 + (isDeny ? 1 : 0) + 1) << 16) | (0xffff ^ mapping)) >>> 0;

export interface ImageIdentity {
  /** 4 or 16 bytes. */
  readonly address: readonly number[];
  readonly length: number;
  readonly source?: number;
  readonly destination?: number;
}

export interface ImagePair {
  readonly source: number;
  readonly destination: number;
  readonly l4: number;
  /** One match for all ports, or intervals [start, match] from port 0 on. */
  readonly ports: number | readonly (readonly [number, number])[];
}

/** struct nest_image_action; what is left out is zero, the DSCP kept. */
export interface ImageAction {
  readonly mapping: number;
  readonly packetsPerSecond?: number;
  readonly bytesPerSecond?: number;
  readonly burstPackets?: number;
  readonly burstBytes?: number;
  /** Index + 1. */
  readonly balancer?: number;
  readonly dscp?: number;
  /** 1 limit per source, 2 source NAT, 4 masquerade. */
  readonly flags?: number;
  readonly source4?: readonly number[];
  readonly source6?: readonly number[];
}

export interface ImageDeny {
  /** 4 or 16 bytes. */
  readonly address: readonly number[];
  readonly length: number;
  /** Index of the list. */
  readonly list: number;
}

export interface ImageBackend {
  /** 4 or 16 bytes. */
  readonly address: readonly number[];
  readonly port?: number;
  /** Default 1. */
  readonly weight?: number;
  /** 0 up, 1 drain, 2 down. */
  readonly state?: number;
  readonly seed: number;
}

export interface ImageBalancer {
  readonly mapping: number;
  /** 1 destination, 2 full, 3 direct. */
  readonly nat: number;
  readonly bySource?: boolean;
  readonly backends: readonly ImageBackend[];
}

export interface ImageContent {
  /** 1 enforce, 2 default deny, 4 deny lists; default 3, and 4 when there are lists. */
  readonly flags?: number;
  readonly identities4?: readonly ImageIdentity[];
  readonly identities6?: readonly ImageIdentity[];
  readonly pairs?: readonly ImagePair[];
  readonly mappings?: readonly { readonly name: string; readonly deny?: boolean; readonly priority: number }[];
  readonly sourceClasses?: number;
  readonly destinationClasses?: number;
  readonly actions?: readonly ImageAction[];
  readonly deny4?: readonly ImageDeny[];
  readonly deny6?: readonly ImageDeny[];
  /** Names of the deny lists, by index. */
  readonly denyLists?: readonly string[];
  /** Rings are numbered, and backends put in a row, as the format says. */
  readonly balancers?: readonly ImageBalancer[];
}

const words = (...values: readonly number[]): Buffer => {
  const buffer = Buffer.alloc(values.length * 4);
  for (const [index, value] of values.entries()) buffer.writeUInt32LE(value >>> 0, index * 4);
  return buffer;
};

const identitySection = (identities: readonly ImageIdentity[]): Buffer =>
  Buffer.concat(
    identities.flatMap(({ address, length, source = 0, destination = 0 }) => [
      words(length),
      Buffer.from(address),
      words(source, destination),
    ]),
  );

const pairSections = (pairs: readonly ImagePair[]): { readonly pairs: Buffer; readonly intervals: Buffer } => {
  const rows: Buffer[] = [];
  const intervals: Buffer[] = [];
  for (const pair of pairs) {
    const set = typeof pair.ports === 'number' ? [pair.ports, 1] : [intervals.length, pair.ports.length];
    rows.push(words(pair.source, pair.destination, pair.l4, ...set));
    if (typeof pair.ports !== 'number') intervals.push(...pair.ports.map(([start, word]) => words(start, word)));
  }
  return { pairs: Buffer.concat(rows), intervals: Buffer.concat(intervals) };
};

const mappingSections = (mappings: NonNullable<ImageContent['mappings']>): { readonly rows: Buffer; readonly names: Buffer } => {
  const rows: Buffer[] = [];
  let offset = 0;
  for (const { name, deny = false, priority } of mappings) {
    const row = words(offset, 0, priority);
    row.writeUInt16LE(Buffer.byteLength(name), 4);
    row.writeUInt8(deny ? 1 : 0, 6);
    rows.push(row);
    offset += Buffer.byteLength(name);
  }
  return { rows: Buffer.concat(rows), names: Buffer.from(mappings.map(({ name }) => name).join('')) };
};

const addressOf = (address: readonly number[] | undefined, bytes: number): Buffer => {
  const buffer = Buffer.alloc(bytes);
  buffer.set(address ?? []);
  return buffer;
};

const actionSection = (actions: readonly ImageAction[]): Buffer =>
  Buffer.concat(
    actions.map((action) => {
      const row = Buffer.alloc(actionBytes);
      const rates = [action.packetsPerSecond, action.bytesPerSecond, action.burstPackets, action.burstBytes];
      row.writeUInt32LE(action.mapping, 0);
      for (const [index, value] of rates.entries()) row.writeBigUInt64LE(BigInt(value ?? 0), 8 + index * 8);
      row.writeUInt32LE(action.balancer ?? 0, 40);
      row.writeUInt8(action.dscp ?? 0xff, 44);
      row.writeUInt8(action.flags ?? 0, 45);
      row.set(addressOf(action.source4, 4), 48);
      row.set(addressOf(action.source6, 16), 52);
      return row;
    }),
  );

/** Packed struct nest_image_deny4 or nest_image_deny6; also what updateDeny takes. */
export const denySection = (entries: readonly ImageDeny[]): Buffer =>
  Buffer.concat(entries.flatMap(({ address, length, list }) => [words(length), Buffer.from(address), words(list)]));

const balancerSections = (balancers: readonly ImageBalancer[]): { readonly rows: Buffer; readonly backends: Buffer } => {
  const rows: Buffer[] = [];
  const backends: Buffer[] = [];
  let rings = 0;
  for (const [index, balancer] of balancers.entries()) {
    const ring = (bytes: number): number => (balancer.backends.some(({ address }) => address.length === bytes) ? rings++ : ringNone);
    const row = words(balancer.mapping, ring(4), ring(16), backends.length, 0, 0);
    row.writeUInt16LE(balancer.backends.length, 16);
    row.writeUInt8(balancer.nat, 18);
    row.writeUInt8(balancer.bySource === true ? 1 : 0, 19);
    rows.push(row);
    for (const { address, port = 0, weight = 1, state = 0, seed } of balancer.backends) {
      const backend = Buffer.concat([addressOf(address, 16), words(0, 0, seed, index)]);
      backend.writeUInt16LE(port, 16);
      backend.writeUInt16LE(weight, 18);
      backend.writeUInt8(address.length === 4 ? 4 : 6, 20);
      backend.writeUInt8(state, 21);
      backends.push(backend);
    }
  }
  return { rows: Buffer.concat(rows), backends: Buffer.concat(backends) };
};

/** Of struct nest_image_header; sections follow. */
export const headerBytes = 96;
export const headerOffsets = {
  version: 8,
  flags: 12,
  identities4: 16,
  identities6: 20,
  pairs: 24,
  portIntervals: 28,
  mappings: 32,
  names: 36,
  explain: 40,
  actions: 52,
  deny4: 56,
  deny6: 60,
  denyLists: 64,
  balancers: 68,
  backends: 72,
  reserved: 76,
} as const;

const actionBytes = 72;
const backendBytes = 32;
const ringNone = 0xffff_ffff;

/** The image of sorted content; nothing is checked, so that hostile images can be made. */
export const buildImage = (content: ImageContent): Buffer => {
  const { identities4 = [], identities6 = [], pairs = [], mappings = [] } = content;
  const { actions = [], deny4 = [], deny6 = [], denyLists = [], balancers = [] } = content;
  const pairSection = pairSections(pairs);
  const mappingSection = mappingSections(mappings);
  const balancerSection = balancerSections(balancers);
  const explain = Buffer.from(JSON.stringify({ sources: [], destinations: [], denyLists, backends: [] }));
  const flags = content.flags ?? (denyLists.length > 0 ? 7 : 3);
  const header = Buffer.concat([
    Buffer.from('NESTIMG1'),
    words(2, flags, identities4.length, identities6.length, pairs.length, pairSection.intervals.length / 8, mappings.length),
    words(mappingSection.names.length, explain.length, content.sourceClasses ?? 0, content.destinationClasses ?? 0),
    words(actions.length, deny4.length, deny6.length, denyLists.length, balancers.length, balancerSection.backends.length / backendBytes),
    words(0, 0, 0, 0, 0),
  ]);
  const sections = [
    identitySection(identities4),
    identitySection(identities6),
    pairSection.pairs,
    pairSection.intervals,
    mappingSection.rows,
    actionSection(actions),
    denySection(deny4),
    denySection(deny6),
    balancerSection.rows,
    balancerSection.backends,
    mappingSection.names,
  ];
  const padded = sections.map((section) => Buffer.concat([section, Buffer.alloc((8 - (section.length % 8)) % 8)]));
  return Buffer.concat([header, ...padded, explain]);
};
