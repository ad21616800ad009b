/** IPv4 and IPv6 addresses and prefixes as text, as bytes and as four unsigned 32-bit words. Text is RFC 5952; input is stricter than most libraries'. */

export type AddressWords = readonly [number, number, number, number];

export interface Address {
  readonly family: 4 | 6;
  /** Network order, unsigned; an IPv4 address is in the first word and the others are 0. */
  readonly words: AddressWords;
}

export interface Prefix extends Address {
  /** Bits, 0..32 or 0..128. */
  readonly length: number;
}

/** Bits of an address of this family. */
const addressBits = (family: 4 | 6): 32 | 128 => (family === 4 ? 32 : 128);

/** Parses "198.18.0.1" or "2001:db8::1"; undefined for anything else (leading zeros, zones, blanks, short forms). */
export const parseAddress = (text: string): Address | undefined => {
  if (text.length > 45) return undefined;
  if (!text.includes(':')) {
    const word = parseIpv4(text);
    return word === undefined ? undefined : { family: 4, words: [word, 0, 0, 0] };
  }
  const words = parseIpv6(text);
  return words === undefined ? undefined : { family: 6, words };
};

/** Parses an address or CIDR; host bits are kept (see {@link networkOf}); undefined when it is neither. */
export const parsePrefix = (text: string): Prefix | undefined => {
  const slash = text.indexOf('/');
  const address = parseAddress(slash < 0 ? text : text.slice(0, slash));
  if (address === undefined) return undefined;
  if (slash < 0) return { ...address, length: addressBits(address.family) };
  const length = parseDecimal(text.slice(slash + 1), addressBits(address.family));
  return length === undefined ? undefined : { ...address, length };
};

/** The prefix without host bits. */
export const networkOf = (prefix: Prefix): Prefix => {
  const word = (position: 0 | 1 | 2 | 3): number => (prefix.words[position] & wordMask(prefix.length - position * 32)) >>> 0;
  return { family: prefix.family, length: prefix.length, words: [word(0), word(1), word(2), word(3)] };
};

/** True when no bit behind the prefix length is set. */
export const isNetwork = (prefix: Prefix): boolean => compareWords(prefix.words, networkOf(prefix).words) === 0;

/** True when every address of `inner` is in `outer`. Both without host bits. */
export const isWithin = (inner: Prefix, outer: Prefix): boolean =>
  inner.family === outer.family &&
  inner.length >= outer.length &&
  compareWords(networkOf({ ...inner, length: outer.length }).words, outer.words) === 0;

/** Order of two addresses as numbers: negative, 0 or positive. */
export const compareWords = (a: AddressWords, b: AddressWords): number => a[0] - b[0] || a[1] - b[1] || a[2] - b[2] || a[3] - b[3];

/** RFC 5952 text; IPv4-mapped addresses end in dotted decimal. */
export const formatAddress = (address: Address): string =>
  address.family === 4 ? formatIpv4(address.words[0]) : formatIpv6(address.words);

/** An address alone for a full-length prefix, else CIDR. */
export const formatPrefix = (prefix: Prefix): string =>
  prefix.length === addressBits(prefix.family) ? formatAddress(prefix) : `${formatAddress(prefix)}/${String(prefix.length)}`;

/** Network-order bytes: 4 or 16. */
export const addressToBytes = (address: Address): Uint8Array => {
  const bytes = new Uint8Array(address.family === 4 ? 4 : 16);
  const view = new DataView(bytes.buffer);
  for (let position = 0; position < bytes.length; position += 4) view.setUint32(position, address.words[position >> 2] ?? 0);
  return bytes;
};

/** The address in 4 or 16 bytes of network order; undefined for another length. */
export const addressFromBytes = (bytes: Uint8Array): Address | undefined => {
  if (bytes.length === 4) return { family: 4, words: [wordAt(bytes, 0), 0, 0, 0] };
  if (bytes.length !== 16) return undefined;
  return { family: 6, words: [wordAt(bytes, 0), wordAt(bytes, 4), wordAt(bytes, 8), wordAt(bytes, 12)] };
};

const wordAt = (bytes: Uint8Array, offset: number): number =>
  (((bytes[offset] ?? 0) << 24) | ((bytes[offset + 1] ?? 0) << 16) | ((bytes[offset + 2] ?? 0) << 8) | (bytes[offset + 3] ?? 0)) >>> 0;

/** Mask of the first `bits` bits of a word; fewer than 0 count as 0, more than 32 as 32. */
const wordMask = (bits: number): number => {
  if (bits <= 0) return 0;
  return bits >= 32 ? 0xffff_ffff : (0xffff_ffff << (32 - bits)) >>> 0;
};

/** A decimal number 0..max without sign or leading zeros. */
const parseDecimal = (text: string, max: number): number | undefined => {
  if (!/^(?:0|[1-9][0-9]{0,9})$/.test(text)) return undefined;
  const value = Number(text);
  return value <= max ? value : undefined;
};

const parseIpv4 = (text: string): number | undefined => {
  let word = 0;
  let octet = 0;
  let digits = 0;
  let dots = 0;
  for (let position = 0; position < text.length; position++) {
    const code = text.charCodeAt(position);
    if (code === 46) {
      if (digits === 0 || ++dots > 3) return undefined;
      word = word * 256 + octet;
      octet = 0;
      digits = 0;
      continue;
    }
    if (code < 48 || code > 57 || (digits > 0 && octet === 0)) return undefined;
    octet = octet * 10 + code - 48;
    digits++;
    if (octet > 255) return undefined;
  }
  return dots === 3 && digits > 0 ? word * 256 + octet : undefined;
};

const parseIpv6 = (text: string): AddressWords | undefined => {
  const gap = text.indexOf('::');
  if (gap !== text.lastIndexOf('::')) return undefined;
  const head = parseGroups(gap < 0 ? text : text.slice(0, gap), gap < 0);
  const tail = gap < 0 ? [] : parseGroups(text.slice(gap + 2), true);
  if (head === undefined || tail === undefined) return undefined;
  const missing = 8 - head.length - tail.length;
  if (gap < 0 ? missing !== 0 : missing < 1) return undefined;
  const groups = [...head, ...Array.from({ length: missing }, () => 0), ...tail];
  const word = (position: number): number => (((groups[position] ?? 0) << 16) | (groups[position + 1] ?? 0)) >>> 0;
  return [word(0), word(2), word(4), word(6)];
};

/** Colon-separated groups of one side of "::"; dotted decimal may end the address. */
const parseGroups = (text: string, isEnd: boolean): number[] | undefined => {
  if (text === '') return [];
  const groups: number[] = [];
  const parts = text.split(':');
  for (const [position, part] of parts.entries()) {
    if (isEnd && position === parts.length - 1 && part.includes('.')) {
      const word = parseIpv4(part);
      if (word === undefined) return undefined;
      groups.push(word >>> 16, word & 0xffff);
    } else {
      if (!/^[0-9a-fA-F]{1,4}$/.test(part)) return undefined;
      groups.push(Number.parseInt(part, 16));
    }
  }
  return groups;
};

const formatIpv4 = (word: number): string =>
  `${String(word >>> 24)}.${String((word >>> 16) & 255)}.${String((word >>> 8) & 255)}.${String(word & 255)}`;

const formatIpv6 = (words: AddressWords): string => {
  if (words[0] === 0 && words[1] === 0 && words[2] === 0xffff) return `::ffff:${formatIpv4(words[3])}`;
  const groups = words.flatMap((word) => [word >>> 16, word & 0xffff]);
  const run = longestZeroRun(groups);
  const text = (from: number, to: number): string =>
    groups
      .slice(from, to)
      .map((group) => group.toString(16))
      .join(':');
  return run.length < 2 ? text(0, 8) : `${text(0, run.start)}::${text(run.start + run.length, 8)}`;
};

/** The longest run of zero groups, the first of equals. */
const longestZeroRun = (groups: readonly number[]): { start: number; length: number } => {
  let best = { start: 0, length: 0 };
  for (let start = 0; start < groups.length; start++) {
    let end = start;
    while (groups[end] === 0) end++;
    if (end - start > best.length) best = { start, length: end - start };
    start = end;
  }
  return best;
};
