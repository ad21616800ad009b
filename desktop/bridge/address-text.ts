/** Addresses and CIDRs as an operator types them: enough to say at once what is wrong with one. The data path's own reading is in native/image. */

export interface Network {
  readonly family: 4 | 6;
  /** The address as a number; host bits are zero. */
  readonly bits: bigint;
  /** 0..32 or 0..128. */
  readonly length: number;
}

const widthOf = (family: 4 | 6): number => (family === 4 ? 32 : 128);

/** The network of an address or CIDR, or one sentence that says what is wrong with the text. */
export const readNetwork = (text: string): Network | string => {
  const [address = '', suffix, ...rest] = text.split('/');
  const family = address.includes(':') ? 6 : 4;
  const bits = family === 4 ? readIpv4(address) : readIpv6(address);
  if (bits === undefined) return `“${text.slice(0, 60)}” is no address: write for instance 198.18.4.7 or 2001:db8::7.`;
  if (suffix === undefined) return { family, bits, length: widthOf(family) };
  const width = widthOf(family);
  const length = /^(?:0|[1-9]\d{0,2})$/.test(suffix) ? Number(suffix) : Number.NaN;
  if (rest.length > 0 || !(length <= width))
    return `“/${[suffix, ...rest].join('/').slice(0, 20)}” is no length: write /0 to /${String(width)}.`;
  const network = { family, bits: (bits >> BigInt(width - length)) << BigInt(width - length), length } as const;
  return network.bits === bits ? network : `${text} has bits behind its length: write ${writeNetwork(network)}.`;
};

/** An address alone for a full length, else a CIDR; IPv6 as in RFC 5952. */
export const writeNetwork = ({ family, bits, length }: Network): string => {
  const address = family === 4 ? writeIpv4(bits) : writeIpv6(bits);
  return length === widthOf(family) ? address : `${address}/${String(length)}`;
};

/** True when every address of `inner` is in `outer`. */
export const isInNetwork = (inner: Network, outer: Network): boolean => {
  const shift = BigInt(widthOf(outer.family) - outer.length);
  return inner.family === outer.family && inner.length >= outer.length && inner.bits >> shift === outer.bits >> shift;
};

const readIpv4 = (text: string): bigint | undefined => {
  const parts = text.split('.');
  if (parts.length !== 4 || !parts.every((part) => /^(?:0|[1-9]\d{0,2})$/.test(part) && Number(part) <= 255)) return undefined;
  return parts.reduce((bits, part) => (bits << 8n) | BigInt(part), 0n);
};

const readIpv6 = (text: string): bigint | undefined => {
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const head = readGroups(halves[0] ?? '', halves.length === 1);
  const tail = halves.length === 1 ? [] : readGroups(halves[1] ?? '', true);
  if (head === undefined || tail === undefined) return undefined;
  const missing = 8 - head.length - tail.length;
  if (halves.length === 1 ? missing !== 0 : missing < 1) return undefined;
  return [...head, ...Array.from({ length: missing }, () => 0), ...tail].reduce((bits, group) => (bits << 16n) | BigInt(group), 0n);
};

/** Groups of one side of "::"; dotted decimal may end the address. */
const readGroups = (text: string, isEnd: boolean): readonly number[] | undefined => {
  if (text === '') return [];
  const groups: number[] = [];
  const parts = text.split(':');
  for (const [position, part] of parts.entries()) {
    const dotted = isEnd && position === parts.length - 1 && part.includes('.') ? readIpv4(part) : undefined;
    if (dotted !== undefined) groups.push(Number(dotted >> 16n), Number(dotted & 0xffffn));
    else if (/^[0-9a-fA-F]{1,4}$/.test(part)) groups.push(Number.parseInt(part, 16));
    else return undefined;
  }
  return groups;
};

const writeIpv4 = (bits: bigint): string => [24n, 16n, 8n, 0n].map((shift) => String((bits >> shift) & 0xffn)).join('.');

const writeIpv6 = (bits: bigint): string => {
  const groups = Array.from({ length: 8 }, (_, index) => ((bits >> BigInt(112 - index * 16)) & 0xffffn).toString(16));
  const text = groups.join(':');
  const zeros = [...text.matchAll(/(?:^|(?<=:))0(?::0)+(?=:|$)/g)].sort((left, right) => right[0].length - left[0].length)[0];
  if (zeros === undefined) return text;
  return `${text.slice(0, zeros.index).replace(/:$/, '')}::${text.slice(zeros.index + zeros[0].length).replace(/^:/, '')}`;
};
