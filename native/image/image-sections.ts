/** Where the sections of a table image lie: the header of bpf/include/nest/image.h, told once for writing and reading. */
import {
  actionBytes,
  backendBytes,
  balancerBytes,
  deny4Bytes,
  deny6Bytes,
  identity4Bytes,
  identity6Bytes,
  imageHeaderBytes,
  mappingBytes,
  pairBytes,
  portIntervalBytes,
  sectionAlignment,
} from './limits.ts';

/** The counts of the header, in its order. */
export const countNames = [
  'identities4',
  'identities6',
  'pairs',
  'portIntervals',
  'mappings',
  'names',
  'explain',
  'sourceClasses',
  'destinationClasses',
  'actions',
  'deny4',
  'deny6',
  'denyLists',
  'balancers',
  'backends',
] as const;

export type ImageCounts = Readonly<Record<(typeof countNames)[number], number>>;

/** Offset of the first count; one follows another. */
export const countsOffset = 16;

/** Sections in their order, and the bytes of one entry. */
const entryBytes = {
  identities4: identity4Bytes,
  identities6: identity6Bytes,
  pairs: pairBytes,
  portIntervals: portIntervalBytes,
  mappings: mappingBytes,
  actions: actionBytes,
  deny4: deny4Bytes,
  deny6: deny6Bytes,
  balancers: balancerBytes,
  backends: backendBytes,
  names: 1,
  explain: 1,
} as const;

export type SectionName = keyof typeof entryBytes;

/** Offsets of the sections, and the length of the whole. */
export interface Sections extends Readonly<Record<SectionName, number>> {
  readonly total: number;
}

const sectionNames = Object.keys(entryBytes) as SectionName[];

/** Offsets from the header's counts. The image ends with the last section, unpadded. */
export const sectionsOf = (counts: ImageCounts): Sections => {
  let end = imageHeaderBytes;
  const offsets: Partial<Record<SectionName, number>> = {};
  for (const name of sectionNames) {
    const start = Math.ceil(end / sectionAlignment) * sectionAlignment;
    offsets[name] = start;
    end = start + counts[name] * entryBytes[name];
  }
  return { ...(offsets as Record<SectionName, number>), total: end };
};
