/** Reads and checks a table image. A decoded image is consistent: every index in it points to something. */
import { compareWords, isNetwork } from './address.ts';
import type { Prefix } from './address.ts';
import {
  backendsMax,
  balancersMax,
  denyListsMax,
  denyPrefixesMax,
  flagDefaultDeny,
  flagDeny,
  flagEnforce,
  identitiesMax,
  identity4Bytes,
  identity6Bytes,
  imageHeaderBytes,
  imageMagic,
  imageVersion,
  l4Count,
  mappingBytes,
  mappingsMax,
  matchNone,
  pairBytes,
  pairsMax,
  portIntervalBytes,
  portIntervalsMax,
  portMax,
  priorityMax,
} from './limits.ts';
import { readActions, readBackends, readBalancers } from './image-decoder-actions.ts';
import { readDenyTable } from './image-decoder-deny.ts';
import type { DenyRanges } from './image-decoder-deny.ts';
import type { ImageAction, ImageBackend, ImageBalancer, ImageMapping } from './image-content.ts';
import { invalidImage } from './image-invalid.ts';
import { countNames, countsOffset, sectionsOf } from './image-sections.ts';
import type { ImageCounts, Sections } from './image-sections.ts';
import { encodeMatch, matchIndex } from './match-word.ts';
import { NumberTable } from './number-table.ts';
import { pairNumber } from './pair-table.ts';
import { PrefixRanges } from './prefix-ranges.ts';
import type { IdentityEntry } from './prefix-ranges.ts';

export interface DecodedImage {
  readonly isEnforced: boolean;
  readonly isDefaultDeny: boolean;
  readonly ranges4: PrefixRanges;
  readonly ranges6: PrefixRanges;
  /** Position of a pair plus one, by pair number. */
  readonly pairs: NumberTable;
  /** { first, count } of each pair's port set. */
  readonly portSets: Uint32Array;
  /** [start, match, ...] */
  readonly portIntervals: Uint32Array;
  readonly mappings: readonly ImageMapping[];
  /** By mapping index; absent = no more than allow or deny. */
  readonly actions: ReadonlyMap<number, ImageAction>;
  /** Index of the deny list plus one, by address. */
  readonly deny4: DenyRanges;
  readonly deny6: DenyRanges;
  readonly denyLists: readonly string[];
  readonly balancers: readonly ImageBalancer[];
  readonly backends: readonly ImageBackend[];
  /** Service names by class; [0] is empty. */
  readonly sources: readonly (readonly string[])[];
  readonly destinations: readonly (readonly string[])[];
}

/** Decodes an image. Raises IMAGE_INVALID. The result keeps no reference to the bytes. */
export const decodeImage = (image: Uint8Array): DecodedImage => {
  const { view, flags, counts, sections } = openHeader(image);
  const classes = { sourceCount: counts.sourceClasses, destinationCount: counts.destinationClasses };
  const mappings = readMappings(image, view, { sections, count: counts.mappings, namesBytes: counts.names });
  const isMatch = (word: number): boolean => {
    const mapping = mappings[matchIndex(word)];
    return mapping !== undefined && word === encodeMatch({ index: matchIndex(word), isDeny: mapping.isDeny, priority: mapping.priority });
  };
  const portIntervals = readIntervals(view, { start: sections.portIntervals, count: counts.portIntervals, isMatch });
  const { pairs, portSets } = readPairs(view, { start: sections.pairs, count: counts.pairs, classes, isMatch, portIntervals });
  const explain = readExplain(image.subarray(sections.explain, sections.total), counts);
  const backends = readBackends(view, { start: sections.backends, count: counts.backends, names: explain.backends });
  const balancers = readBalancers(view, { start: sections.balancers, count: counts.balancers, backends });
  return {
    isEnforced: (flags & flagEnforce) !== 0,
    isDefaultDeny: (flags & flagDefaultDeny) !== 0,
    ranges4: new PrefixRanges(readIdentities(view, { family: 4, start: sections.identities4, count: counts.identities4, classes })),
    ranges6: new PrefixRanges(readIdentities(view, { family: 6, start: sections.identities6, count: counts.identities6, classes })),
    pairs,
    portSets,
    portIntervals,
    mappings,
    actions: readActions(view, { start: sections.actions, count: counts.actions, mappings, balancers }),
    deny4: readDenyTable(view, { family: 4, start: sections.deny4, count: counts.deny4, lists: counts.denyLists }),
    deny6: readDenyTable(view, { family: 6, start: sections.deny6, count: counts.deny6, lists: counts.denyLists }),
    denyLists: explain.denyLists,
    balancers,
    backends,
    sources: explain.sources,
    destinations: explain.destinations,
  };
};

const openHeader = (image: Uint8Array): { view: DataView; flags: number; counts: ImageCounts; sections: Sections } => {
  if (image.length < imageHeaderBytes) throw invalidImage('it is shorter than its header');
  const view = new DataView(image.buffer, image.byteOffset, image.byteLength);
  if (new TextDecoder('latin1').decode(image.subarray(0, 8)) !== imageMagic) throw invalidImage('it does not start with the magic');
  if (view.getUint32(8, true) !== imageVersion) throw invalidImage(`its version is ${String(view.getUint32(8, true))}`);
  const flags = view.getUint32(12, true);
  if ((flags & ~(flagEnforce | flagDefaultDeny | flagDeny)) !== 0) throw invalidImage('it has unknown flags');
  const counts = Object.fromEntries(
    countNames.map((name, position) => [name, view.getUint32(countsOffset + position * 4, true)]),
  ) as ImageCounts;
  for (const [name, max] of countLimits) if (counts[name] > max) throw invalidImage('a count is over its limit');
  if (((flags & flagDeny) !== 0) !== counts.denyLists > 0) throw invalidImage('its flags do not fit its deny lists');
  for (let offset = countsOffset + countNames.length * 4; offset < imageHeaderBytes; offset += 4)
    if (view.getUint32(offset, true) !== 0) throw invalidImage('reserved fields are set');
  const sections = sectionsOf(counts);
  if (sections.total !== image.length) throw invalidImage('its length does not fit its counts');
  return { view, flags, counts, sections };
};

const countLimits: readonly (readonly [keyof ImageCounts, number])[] = [
  ['identities4', identitiesMax],
  ['identities6', identitiesMax],
  ['pairs', pairsMax],
  ['portIntervals', portIntervalsMax],
  ['mappings', mappingsMax],
  ['actions', mappingsMax],
  ['deny4', denyPrefixesMax],
  ['deny6', denyPrefixesMax],
  ['denyLists', denyListsMax],
  ['balancers', balancersMax],
  ['backends', backendsMax],
];

interface Classes {
  readonly sourceCount: number;
  readonly destinationCount: number;
}

const readIdentities = (
  view: DataView,
  from: { readonly family: 4 | 6; readonly start: number; readonly count: number; readonly classes: Classes },
): IdentityEntry[] => {
  const addressBytes = from.family === 4 ? 4 : 16;
  const size = from.family === 4 ? identity4Bytes : identity6Bytes;
  const entries: IdentityEntry[] = [];
  for (let position = 0; position < from.count; position++) {
    const offset = from.start + position * size;
    const word = (index: number): number => (index * 4 < addressBytes ? view.getUint32(offset + 4 + index * 4) : 0);
    const length = view.getUint32(offset, true);
    const prefix: Prefix = { family: from.family, words: [word(0), word(1), word(2), word(3)], length };
    const source = view.getUint32(offset + 4 + addressBytes, true);
    const destination = view.getUint32(offset + 8 + addressBytes, true);
    if (length > addressBytes * 8 || !isNetwork(prefix)) throw invalidImage('a prefix is malformed');
    if (source > from.classes.sourceCount || destination > from.classes.destinationCount)
      throw invalidImage('an identity names an unknown class');
    const previous = entries.at(-1)?.prefix;
    if (previous !== undefined && (compareWords(previous.words, prefix.words) || previous.length - length) >= 0)
      throw invalidImage('prefixes are not sorted');
    entries.push({ prefix, source, destination });
  }
  return entries;
};

const readIntervals = (
  view: DataView,
  from: { readonly start: number; readonly count: number; readonly isMatch: (word: number) => boolean },
): Uint32Array => {
  const intervals = new Uint32Array(from.count * 2);
  for (let position = 0; position < from.count; position++) {
    const offset = from.start + position * portIntervalBytes;
    const start = view.getUint32(offset, true);
    const match = view.getUint32(offset + 4, true);
    if (start > portMax) throw invalidImage('a port interval starts behind the last port');
    if (match !== matchNone && !from.isMatch(match)) throw invalidImage('a port interval names an unknown match');
    intervals[position * 2] = start;
    intervals[position * 2 + 1] = match;
  }
  return intervals;
};

interface PairSource {
  readonly start: number;
  readonly count: number;
  readonly classes: Classes;
  readonly isMatch: (word: number) => boolean;
  readonly portIntervals: Uint32Array;
}

const readPairs = (view: DataView, from: PairSource): { pairs: NumberTable; portSets: Uint32Array } => {
  const pairs = new NumberTable(from.count);
  const portSets = new Uint32Array(from.count * 2);
  const checkedSets = new NumberTable();
  let previous = -1;
  for (let position = 0; position < from.count; position++) {
    const offset = from.start + position * pairBytes;
    const source = view.getUint32(offset, true);
    const destination = view.getUint32(offset + 4, true);
    const l4 = view.getUint8(offset + 8);
    if (source > from.classes.sourceCount || destination > from.classes.destinationCount || l4 < 1 || l4 > l4Count)
      throw invalidImage('a pair key is out of range');
    const pair = pairNumber(source, destination, { destinationCount: from.classes.destinationCount, l4 });
    if (pair <= previous) throw invalidImage('pairs are not sorted');
    previous = pair;
    const first = view.getUint32(offset + 12, true);
    const count = view.getUint32(offset + 16, true);
    if (count === 1 ? !from.isMatch(first) : checkedSets.get(first) !== count && !isPortSet(from.portIntervals, first, count))
      throw invalidImage('a pair has a bad port set');
    if (count > 1) checkedSets.set(first, count);
    portSets[position * 2] = first;
    portSets[position * 2 + 1] = count;
    pairs.set(pair, position + 1);
  }
  return { pairs, portSets };
};

const isPortSet = (intervals: Uint32Array, first: number, count: number): boolean => {
  if (count < 2 || (first + count) * 2 > intervals.length || intervals[first * 2] !== 0) return false;
  for (let position = first + 1; position < first + count; position++) {
    if ((intervals[position * 2] ?? 0) <= (intervals[position * 2 - 2] ?? 0)) return false;
  }
  return true;
};

const readMappings = (
  image: Uint8Array,
  view: DataView,
  from: { readonly sections: Sections; readonly count: number; readonly namesBytes: number },
): ImageMapping[] => {
  const text = new TextDecoder('utf-8', { fatal: true });
  let previous = '';
  return Array.from({ length: from.count }, (_, position) => {
    const offset = from.sections.mappings + position * mappingBytes;
    const nameOffset = view.getUint32(offset, true);
    const nameEnd = nameOffset + view.getUint16(offset + 4, true);
    const priority = view.getUint32(offset + 8, true);
    const deny = view.getUint8(offset + 6);
    if (nameEnd > from.namesBytes || priority > priorityMax || deny > 1) throw invalidImage('a mapping is out of range');
    const name = guarded('a mapping name is not UTF-8', () =>
      text.decode(image.subarray(from.sections.names + nameOffset, from.sections.names + nameEnd)),
    );
    if (name <= previous) throw invalidImage('mappings are not sorted by name');
    previous = name;
    return { name, isDeny: deny === 1, priority };
  });
};

interface Explanation {
  readonly sources: readonly (readonly string[])[];
  readonly destinations: readonly (readonly string[])[];
  readonly denyLists: readonly string[];
  readonly backends: readonly string[];
}

const readExplain = (bytes: Uint8Array, counts: ImageCounts): Explanation => {
  const value = guarded('its explanations are not JSON', (): unknown =>
    JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)),
  );
  const field = (key: keyof Explanation): unknown => (typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined);
  const classNames = (key: 'sources' | 'destinations', count: number): readonly (readonly string[])[] => {
    const lists = field(key);
    if (!Array.isArray(lists) || lists.length !== count || !lists.every(isTextList))
      throw invalidImage('its explanations do not fit its classes');
    return [[], ...lists];
  };
  const names = (key: 'denyLists' | 'backends', count: number): readonly string[] => {
    const list = field(key);
    if (!isTextList(list) || list.length !== count) throw invalidImage('its explanations do not fit its deny lists and backends');
    return list;
  };
  return {
    sources: classNames('sources', counts.sourceClasses),
    destinations: classNames('destinations', counts.destinationClasses),
    denyLists: names('denyLists', counts.denyLists),
    backends: names('backends', counts.backends),
  };
};

const isTextList = (value: unknown): value is string[] => Array.isArray(value) && value.every((entry) => typeof entry === 'string');

const guarded = <T>(what: string, read: () => T): T => {
  try {
    return read();
  } catch (cause) {
    throw invalidImage(what, cause);
  }
};
