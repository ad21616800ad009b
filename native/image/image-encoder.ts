/** Writes the table image of bpf/include/nest/image.h. */
import { addressToBytes } from './address.ts';
import {
  flagDefaultDeny,
  flagEnforce,
  identity4Bytes,
  identity6Bytes,
  imageHeaderBytes,
  imageMagic,
  imageVersion,
  l4Count,
  mappingBytes,
  pairBytes,
  portIntervalBytes,
  sectionAlignment,
} from './limits.ts';
import type { Identity } from './identity-classes.ts';

export interface ImageContent {
  readonly isEmpty: boolean;
  readonly isDefaultDeny: boolean;
  readonly identities4: readonly Identity[];
  readonly identities6: readonly Identity[];
  /** Pair numbers, ascending, and per pair { first, count } of its port set, back to back. */
  readonly pairs: Float64Array;
  readonly portSets: Uint32Array;
  /** [start, match, ...] */
  readonly portIntervals: Uint32Array;
  /** Sorted by name. */
  readonly mappings: readonly { readonly name: string; readonly isDeny: boolean; readonly priority: number }[];
  /** Service names of each class from 1 on. */
  readonly sources: readonly (readonly string[])[];
  readonly destinations: readonly (readonly string[])[];
}

/** The image, a fresh buffer. */
export const encodeImage = (content: ImageContent): Uint8Array => {
  const text = new TextEncoder();
  const names = content.mappings.map(({ name }) => text.encode(name));
  const namesBytes = names.reduce((sum, name) => sum + name.length, 0);
  const explain = text.encode(JSON.stringify({ sources: content.sources, destinations: content.destinations }));
  const counts = [
    content.identities4.length,
    content.identities6.length,
    content.pairs.length,
    content.portIntervals.length / 2,
    content.mappings.length,
    namesBytes,
    explain.length,
    content.sources.length,
    content.destinations.length,
  ];
  const sections = sectionsOf(counts);
  const image = new Uint8Array(sections.total);
  const view = new DataView(image.buffer);
  text.encodeInto(imageMagic, image);
  view.setUint32(8, imageVersion, true);
  view.setUint32(12, (content.isEmpty ? 0 : flagEnforce) | (content.isDefaultDeny ? flagDefaultDeny : 0), true);
  for (const [position, count] of counts.entries()) view.setUint32(16 + position * 4, count, true);
  writeIdentities(image, sections.identities4, content.identities4);
  writeIdentities(image, sections.identities6, content.identities6);
  writePairs(view, sections.pairs, content);
  for (const [position, word] of content.portIntervals.entries()) view.setUint32(sections.portIntervals + position * 4, word, true);
  writeMappings(image, sections, { content, names });
  image.set(explain, sections.explain);
  return image;
};

export interface Sections {
  readonly identities4: number;
  readonly identities6: number;
  readonly pairs: number;
  readonly portIntervals: number;
  readonly mappings: number;
  readonly names: number;
  readonly explain: number;
  readonly total: number;
}

/** Offsets of the sections from the header's counts, in its order. The image ends with the last section, unpadded. */
export const sectionsOf = (counts: readonly number[]): Sections => {
  const sizes = [identity4Bytes, identity6Bytes, pairBytes, portIntervalBytes, mappingBytes, 1, 1];
  const offsets: number[] = [];
  let end = imageHeaderBytes;
  for (const [position, size] of sizes.entries()) {
    const start = Math.ceil(end / sectionAlignment) * sectionAlignment;
    offsets.push(start);
    end = start + (counts[position] ?? 0) * size;
  }
  const [identities4 = 0, identities6 = 0, pairs = 0, portIntervals = 0, mappings = 0, names = 0, explain = 0] = offsets;
  return { identities4, identities6, pairs, portIntervals, mappings, names, explain, total: end };
};

const writeIdentities = (image: Uint8Array, start: number, identities: readonly Identity[]): void => {
  const view = new DataView(image.buffer);
  let offset = start;
  for (const { prefix, source, destination } of identities) {
    const address = addressToBytes(prefix);
    view.setUint32(offset, prefix.length, true);
    image.set(address, offset + 4);
    view.setUint32(offset + 4 + address.length, source, true);
    view.setUint32(offset + 8 + address.length, destination, true);
    offset += 12 + address.length;
  }
};

const writePairs = (view: DataView, start: number, content: ImageContent): void => {
  const columns = content.destinations.length + 1;
  for (const [position, pair] of content.pairs.entries()) {
    const offset = start + position * pairBytes;
    const cell = Math.floor(pair / l4Count);
    view.setUint32(offset, Math.floor(cell / columns), true);
    view.setUint32(offset + 4, cell % columns, true);
    view.setUint8(offset + 8, (pair % l4Count) + 1);
    view.setUint32(offset + 12, content.portSets[position * 2] ?? 0, true);
    view.setUint32(offset + 16, content.portSets[position * 2 + 1] ?? 0, true);
  }
};

const writeMappings = (
  image: Uint8Array,
  sections: Sections,
  from: { readonly content: ImageContent; readonly names: readonly Uint8Array[] },
): void => {
  const view = new DataView(image.buffer);
  let nameOffset = 0;
  for (const [position, mapping] of from.content.mappings.entries()) {
    const offset = sections.mappings + position * mappingBytes;
    const name = from.names[position] ?? new Uint8Array();
    view.setUint32(offset, nameOffset, true);
    view.setUint16(offset + 4, name.length, true);
    view.setUint8(offset + 6, mapping.isDeny ? 1 : 0);
    view.setUint32(offset + 8, mapping.priority, true);
    image.set(name, sections.names + nameOffset);
    nameOffset += name.length;
  }
};
