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

export interface ImageContent {
  /** 1 enforce, 2 default deny; default 3. */
  readonly flags?: number;
  readonly identities4?: readonly ImageIdentity[];
  readonly identities6?: readonly ImageIdentity[];
  readonly pairs?: readonly ImagePair[];
  readonly mappings?: readonly { readonly name: string; readonly deny?: boolean; readonly priority: number }[];
  readonly sourceClasses?: number;
  readonly destinationClasses?: number;
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

/** Offset of each section's first byte, for tests that damage one. */
export const headerBytes = 64;

/** The image of sorted content; nothing is checked, so that hostile images can be made. */
export const buildImage = (content: ImageContent): Buffer => {
  const { identities4 = [], identities6 = [], pairs = [], mappings = [] } = content;
  const pairSection = pairSections(pairs);
  const mappingSection = mappingSections(mappings);
  const explain = Buffer.from('{"sources":[],"destinations":[]}');
  const header = Buffer.concat([
    Buffer.from('NESTIMG1'),
    words(1, content.flags ?? 3, identities4.length, identities6.length, pairs.length, pairSection.intervals.length / 8, mappings.length),
    words(mappingSection.names.length, explain.length, content.sourceClasses ?? 0, content.destinationClasses ?? 0, 0, 0, 0),
  ]);
  const sections = [
    identitySection(identities4),
    identitySection(identities6),
    pairSection.pairs,
    pairSection.intervals,
    mappingSection.rows,
    mappingSection.names,
  ];
  const padded = sections.map((section) => Buffer.concat([section, Buffer.alloc((8 - (section.length % 8)) % 8)]));
  return Buffer.concat([header, ...padded, explain]);
};
