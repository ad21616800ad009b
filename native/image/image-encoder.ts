/** Writes the table image of bpf/include/nest/image.h. */
import { addressToBytes } from './address.ts';
import type { Identity } from './identity-classes.ts';
import type { ImageAction, ImageBackend, ImageBalancer, ImageContent, ImageFrame } from './image-content.ts';
import { countNames, countsOffset, sectionsOf } from './image-sections.ts';
import type { ImageCounts } from './image-sections.ts';
import {
  actionBytes,
  backendBytes,
  balancerBytes,
  deny4Bytes,
  deny6Bytes,
  flagDefaultDeny,
  flagDeny,
  flagEnforce,
  identity4Bytes,
  identity6Bytes,
  imageMagic,
  imageVersion,
  l4Count,
  mappingBytes,
  pairBytes,
} from './limits.ts';

/** Encodes what {@link ImageFrame} holds; `names` are those of the mappings, sorted, and sides the service names of each class from 1 on. */
export const encodeFrame = (content: {
  readonly identities4: readonly Identity[];
  readonly identities6: readonly Identity[];
  readonly names: readonly string[];
  readonly sources: readonly (readonly string[])[];
  readonly destinations: readonly (readonly string[])[];
}): ImageFrame => {
  const text = new TextEncoder();
  const { sources, destinations } = content;
  return {
    identities4: identityRows(content.identities4, identity4Bytes),
    identities6: identityRows(content.identities6, identity6Bytes),
    names: text.encode(content.names.join('')),
    nameBytes: Uint16Array.from(content.names, (name) => name.length),
    sourceClasses: sources.length,
    destinationClasses: destinations.length,
    explain: text.encode(JSON.stringify({ sources, destinations }).slice(0, -1)),
  };
};

/** The image, a fresh buffer. */
export const encodeImage = (content: ImageContent): Uint8Array => {
  const { frame, deny, backends } = content;
  const more = JSON.stringify({ denyLists: deny.names, backends: backends.map(({ name }) => name) });
  const explain = new TextEncoder().encode(`,${more.slice(1)}`);
  const counts = countsOf(content, frame.explain.length + explain.length);
  const sections = sectionsOf(counts);
  const image = new Uint8Array(sections.total);
  const view = new DataView(image.buffer);
  writeHeader(image, content, counts);
  image.set(frame.identities4, sections.identities4);
  image.set(frame.identities6, sections.identities6);
  writePairs(view, sections.pairs, content);
  writeIntervals(view, sections.portIntervals, content.portIntervals);
  writeMappings(view, sections.mappings, content);
  for (const [position, action] of content.actions.entries()) writeAction(view, sections.actions + position * actionBytes, action);
  image.set(deny.rows4, sections.deny4);
  image.set(deny.rows6, sections.deny6);
  for (const [position, entry] of content.balancers.entries()) writeBalancer(view, sections.balancers + position * balancerBytes, entry);
  for (const [position, entry] of backends.entries()) writeBackend(image, sections.backends + position * backendBytes, entry);
  image.set(frame.names, sections.names);
  image.set(frame.explain, sections.explain);
  image.set(explain, sections.explain + frame.explain.length);
  return image;
};

const countsOf = (content: ImageContent, explain: number): ImageCounts => ({
  identities4: content.frame.identities4.length / identity4Bytes,
  identities6: content.frame.identities6.length / identity6Bytes,
  pairs: content.pairs.length,
  portIntervals: content.portIntervals.length / 2,
  mappings: content.mappings.length,
  names: content.frame.names.length,
  explain,
  sourceClasses: content.frame.sourceClasses,
  destinationClasses: content.frame.destinationClasses,
  actions: content.actions.length,
  deny4: content.deny.rows4.length / deny4Bytes,
  deny6: content.deny.rows6.length / deny6Bytes,
  denyLists: content.deny.names.length,
  balancers: content.balancers.length,
  backends: content.backends.length,
});

const writeHeader = (image: Uint8Array, content: ImageContent, counts: ImageCounts): void => {
  const view = new DataView(image.buffer);
  new TextEncoder().encodeInto(imageMagic, image);
  view.setUint32(8, imageVersion, true);
  const flags =
    (content.isEmpty ? 0 : flagEnforce) | (content.isDefaultDeny ? flagDefaultDeny : 0) | (content.deny.names.length > 0 ? flagDeny : 0);
  view.setUint32(12, flags, true);
  for (const [position, name] of countNames.entries()) view.setUint32(countsOffset + position * 4, counts[name], true);
};

const identityRows = (identities: readonly Identity[], size: number): Uint8Array => {
  const rows = new Uint8Array(identities.length * size);
  const view = new DataView(rows.buffer);
  const words = (size - 12) / 4;
  let offset = 0;
  for (const { prefix, source, destination } of identities) {
    view.setUint32(offset, prefix.length, true);
    for (let index = 0; index < words; index++) view.setUint32(offset + 4 + index * 4, prefix.words[index] ?? 0);
    view.setUint32(offset + size - 8, source, true);
    view.setUint32(offset + size - 4, destination, true);
    offset += size;
  }
  return rows;
};

const writePairs = (view: DataView, start: number, { pairs, portSets, frame }: ImageContent): void => {
  const columns = frame.destinationClasses + 1;
  let offset = start;
  for (let position = 0; position < pairs.length; position++) {
    const pair = pairs[position] ?? 0;
    const cell = Math.floor(pair / l4Count);
    view.setUint32(offset, Math.floor(cell / columns), true);
    view.setUint32(offset + 4, cell % columns, true);
    view.setUint8(offset + 8, (pair % l4Count) + 1);
    view.setUint32(offset + 12, portSets[position * 2] ?? 0, true);
    view.setUint32(offset + 16, portSets[position * 2 + 1] ?? 0, true);
    offset += pairBytes;
  }
};

const writeIntervals = (view: DataView, start: number, words: Uint32Array): void => {
  for (let position = 0; position < words.length; position++) view.setUint32(start + position * 4, words[position] ?? 0, true);
};

const writeMappings = (view: DataView, start: number, { mappings, frame }: ImageContent): void => {
  let nameOffset = 0;
  for (const [position, { action, priority }] of mappings.entries()) {
    const offset = start + position * mappingBytes;
    const nameBytes = frame.nameBytes[position] ?? 0;
    view.setUint32(offset, nameOffset, true);
    view.setUint16(offset + 4, nameBytes, true);
    view.setUint8(offset + 6, action === 'deny' ? 1 : 0);
    view.setUint32(offset + 8, priority, true);
    nameOffset += nameBytes;
  }
};

const writeAction = (view: DataView, offset: number, action: ImageAction): void => {
  view.setUint32(offset, action.mapping, true);
  view.setBigUint64(offset + 8, BigInt(action.packetsPerSecond), true);
  view.setBigUint64(offset + 16, BigInt(action.bytesPerSecond), true);
  view.setBigUint64(offset + 24, BigInt(action.burstPackets), true);
  view.setBigUint64(offset + 32, BigInt(action.burstBytes), true);
  view.setUint32(offset + 40, action.balancer, true);
  view.setUint8(offset + 44, action.dscp);
  view.setUint8(offset + 45, action.flags);
  view.setUint32(offset + 48, action.source4);
  for (const [position, word] of action.source6.entries()) view.setUint32(offset + 52 + position * 4, word);
};

const writeBalancer = (view: DataView, offset: number, balancer: ImageBalancer): void => {
  view.setUint32(offset, balancer.mapping, true);
  view.setUint32(offset + 4, balancer.ring4, true);
  view.setUint32(offset + 8, balancer.ring6, true);
  view.setUint32(offset + 12, balancer.firstBackend, true);
  view.setUint16(offset + 16, balancer.backendCount, true);
  view.setUint8(offset + 18, balancer.nat);
  view.setUint8(offset + 19, balancer.isBySource ? 1 : 0);
};

const writeBackend = (image: Uint8Array, offset: number, backend: ImageBackend): void => {
  const view = new DataView(image.buffer);
  image.set(addressToBytes(backend.address), offset);
  view.setUint16(offset + 16, backend.port, true);
  view.setUint16(offset + 18, backend.weight, true);
  view.setUint8(offset + 20, backend.address.family);
  view.setUint8(offset + 21, backend.state);
  view.setUint32(offset + 24, backend.seed, true);
  view.setUint32(offset + 28, backend.balancer, true);
};
