/**
 * Reads deny lists: one prefix per line, "#" and ";" begin a comment, blank lines count for nothing, of a CSV line the first column
 * counts. Works on bytes, because a list has a hundred thousand lines and a string each would take most of the time.
 */

const newline = 10;
const hash = 35;
const comma = 44;
const dot = 46;
const slash = 47;
const zero = 48;
const nine = 57;
const colon = 58;
const semicolon = 59;
const quote = 34;

/** A line without a prefix. */
export interface RefusedLine {
  /** From 1. */
  readonly line: number;
  /** At most its first 80 bytes. */
  readonly text: string;
}

/** Calls `take` for each prefix, with the same object each time, and `refuse` for each line that holds none; stops when `refuse` answers false. */
export const readDenyLines = (bytes: Uint8Array, take: (prefix: ReadPrefix) => void, refuse: (refused: RefusedLine) => boolean): void => {
  const prefix = new ReadPrefix(bytes);
  let position = hasByteOrderMark(bytes) ? 3 : 0;
  let isFirst = true;
  for (let line = 1; position < bytes.length; line++) {
    const found = bytes.indexOf(newline, position);
    const end = found < 0 ? bytes.length : found;
    const start = skipBlanks(bytes, position, end);
    position = end + 1;
    const code = bytes[start];
    if (start === end || code === hash || code === semicolon) continue;
    const from = code === quote ? start + 1 : start;
    const to = endOfField(bytes, from, end);
    const canBeHeading = isFirst && (bytes[to] === semicolon || bytes.subarray(to, end).includes(comma));
    isFirst = false;
    if (prefix.parse(from, to)) take(prefix);
    else if (canBeHeading && isHeading(bytes, from, to)) continue;
    else if (!refuse({ line, text: new TextDecoder().decode(bytes.subarray(start, Math.min(end, start + 80))) })) return;
  }
};

const hasByteOrderMark = (bytes: Uint8Array): boolean => bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf;

const isBlank = (code: number | undefined): boolean => code === 32 || code === 9 || code === 13;

const skipBlanks = (bytes: Uint8Array, from: number, end: number): number => {
  let position = from;
  while (position < end && isBlank(bytes[position])) position++;
  return position;
};

const endOfField = (bytes: Uint8Array, from: number, end: number): number => {
  let position = from;
  for (; position < end; position++) {
    const code = bytes[position];
    if (code === comma || code === hash || code === semicolon || code === quote || isBlank(code)) break;
  }
  return position;
};

/** A word in the first column of a CSV names the column. */
const isHeading = (bytes: Uint8Array, from: number, to: number): boolean => {
  for (let position = from; position < to; position++) {
    const code = bytes[position] ?? 0;
    if (code === dot || code === colon || code === slash) return false;
  }
  return to > from;
};

/** A prefix somewhere in a text; each `parse` overwrites the one before. */
export class ReadPrefix {
  family: 4 | 6 = 4;
  /** Network order; IPv4 in [0]. */
  readonly words = new Uint32Array(4);
  length = 0;
  readonly #bytes: Uint8Array;
  readonly #groups = new Uint16Array(8);

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** Reads an address or CIDR without host bits, as `parsePrefix` does. False when there is none. */
  parse(start: number, end: number): boolean {
    const bytes = this.#bytes;
    let cut = start;
    let isIpv6 = false;
    for (; cut < end && bytes[cut] !== slash; cut++) if (bytes[cut] === colon) isIpv6 = true;
    const bits = isIpv6 ? 128 : 32;
    this.family = isIpv6 ? 6 : 4;
    this.length = cut === end ? bits : this.#parseLength(cut + 1, end);
    if (this.length < 0 || this.length > bits) return false;
    if (isIpv6) return this.#parseIpv6(start, cut) && !hasHostBits(this.words, this.length);
    const word = this.#parseIpv4(start, cut);
    if (word < 0) return false;
    this.words[0] = word;
    return (word & hostMask(this.length)) === 0;
  }

  /** A decimal of at most three digits without leading zeros; -1 for anything else. */
  #parseLength(start: number, end: number): number {
    const bytes = this.#bytes;
    if (end === start || end - start > 3 || (bytes[start] === zero && end - start > 1)) return -1;
    let value = 0;
    for (let position = start; position < end; position++) {
      const code = bytes[position] ?? 0;
      if (code < zero || code > nine) return -1;
      value = value * 10 + code - zero;
    }
    return value;
  }

  /** The address as a number; -1 when it is none. */
  #parseIpv4(start: number, end: number): number {
    let word = 0;
    let octet = 0;
    let digits = 0;
    let dots = 0;
    for (let position = start; position < end; position++) {
      const code = this.#bytes[position] ?? 0;
      if (code === dot) {
        if (digits === 0 || ++dots > 3) return -1;
        word = word * 256 + octet;
        octet = 0;
        digits = 0;
        continue;
      }
      if (code < zero || code > nine || (digits > 0 && octet === 0)) return -1;
      octet = octet * 10 + code - zero;
      digits++;
      if (octet > 255) return -1;
    }
    return dots === 3 && digits > 0 ? word * 256 + octet : -1;
  }

  #parseIpv6(start: number, end: number): boolean {
    const [bytes, groups] = [this.#bytes, this.#groups];
    let count = 0;
    let gap = -1;
    let position = start;
    if (bytes[position] === colon) {
      if (position + 1 >= end || bytes[position + 1] !== colon) return false;
      gap = 0;
      position += 2;
    }
    while (position < end) {
      if (count === 8) return false;
      const from = position;
      let value = 0;
      for (let digit = hexDigit(bytes[position]); position < end && digit >= 0; digit = hexDigit(bytes[++position]))
        value = value * 16 + digit;
      if (position === from || position - from > 4) return false;
      if (position < end && bytes[position] === dot) {
        const word = this.#parseIpv4(from, end);
        if (word < 0 || count > 6) return false;
        groups[count++] = word >>> 16;
        groups[count++] = word & 0xffff;
        break;
      }
      groups[count++] = value;
      if (position === end) break;
      if (bytes[position] !== colon || ++position === end) return false;
      if (bytes[position] !== colon) continue;
      if (gap >= 0) return false;
      gap = count;
      position++;
    }
    return this.#expand(count, gap);
  }

  /** Puts zeros into the gap ("::"), if there is one. */
  #expand(count: number, gap: number): boolean {
    const groups = this.#groups;
    if (gap < 0 ? count !== 8 : count > 7) return false;
    const tail = gap < 0 ? 0 : count - gap;
    for (let index = 0; index < tail; index++) groups[7 - index] = groups[count - 1 - index] ?? 0;
    if (gap >= 0) groups.fill(0, gap, 8 - tail);
    for (let index = 0; index < 4; index++) this.words[index] = (groups[index * 2] ?? 0) * 65_536 + (groups[index * 2 + 1] ?? 0);
    return true;
  }
}

/** Bits of a word behind the first `bits`. */
const hostMask = (bits: number): number => (bits >= 32 ? 0 : bits <= 0 ? 0xffff_ffff : 0xffff_ffff >>> bits);

const hasHostBits = (words: Uint32Array, length: number): boolean => {
  for (let index = length >> 5; index < 4; index++) if (((words[index] ?? 0) & hostMask(length - index * 32)) !== 0) return true;
  return false;
};

const hexDigit = (code = 0): number => {
  if (code >= zero && code <= nine) return code - zero;
  const letter = code | 32;
  return letter >= 97 && letter <= 102 ? letter - 87 : -1;
};
