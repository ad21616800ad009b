/**
 * The one text form of a flow filter, for every face: `src:198.18.0.0/16 port:443 verdict:denied last:5m`. A bare address
 * or CIDR is either side, a bare number a port. All terms must hold; what is wrong is said with its place in the text.
 */
import { reasonNames } from '../../proto/model/reason.ts';
import { readNetwork, writeNetwork } from './address-text.ts';
import type { InputOf } from './contract.ts';

/** What a filter says about flows; absent = all. */
export type FlowQuery = Omit<InputOf<'host.flows'>, 'hostId' | 'limit'>;

export interface FlowTerm {
  /** As typed; "" for a bare address or port. */
  readonly key: string;
  readonly value: string;
  /** Place in the text, end exclusive. */
  readonly start: number;
  readonly end: number;
}

export interface FlowQueryProblem {
  readonly message: string;
  readonly start: number;
  readonly end: number;
}

export interface ParsedFlowQuery {
  readonly query: FlowQuery;
  readonly terms: readonly FlowTerm[];
  /** The terms without a problem are in `query` all the same. */
  readonly problems: readonly FlowQueryProblem[];
}

interface FlowKey {
  readonly about: string;
  readonly example: string;
  /** The part of the query, or what is wrong. */
  readonly read: (value: string) => FlowQuery | string;
  /** All values there are; absent when there are too many. */
  readonly values?: readonly string[];
}

const windowSecondsMax = 3_600;
const protocols: Readonly<Record<string, number>> = { tcp: 6, udp: 17, icmp: 1, icmpv6: 58 };
const verdicts = ['allowed', 'denied'] as const;
const states = ['live', 'ended', 'denied', 'cut'] as const;
const windows = ['1m', '5m', '15m', '1h'] as const;
const unitSeconds: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600 };

/** "rate-limit" for RATE_LIMIT. */
export const reasonWord = (reason: string): string => reason.toLowerCase().replaceAll('_', '-');
const reasons = reasonNames.filter((name) => name !== 'UNSPECIFIED').map(reasonWord);

const readAddress =
  (field: 'address' | 'source' | 'destination') =>
  (value: string): FlowQuery | string => {
    const network = readNetwork(value);
    return typeof network === 'string' ? network : { [field]: writeNetwork(network) };
  };

const oneOf =
  <Value extends string>(noun: string, values: readonly Value[], part: (value: Value) => FlowQuery) =>
  (text: string): FlowQuery | string => {
    const found = values.find((value) => value === text.toLowerCase());
    return found === undefined ? `“${text}” is no ${noun}: write ${listOf(values)}.` : part(found);
  };

const listOf = (values: readonly string[]): string => `${values.slice(0, -1).join(', ')} or ${values.at(-1) ?? ''}`;

const readPort = (value: string): FlowQuery | string =>
  /^\d{1,5}$/.test(value) && Number(value) >= 1 && Number(value) <= 65_535
    ? { port: Number(value) }
    : `“${value}” is no port: write 1 to 65535.`;

const readProtocol = (value: string): FlowQuery | string => {
  const number = protocols[value.toLowerCase()] ?? (/^\d{1,3}$/.test(value) ? Number(value) : Number.NaN);
  return number <= 255 ? { protocol: number } : `“${value}” is no protocol: write ${listOf(Object.keys(protocols))}, or a number to 255.`;
};

const readWindow = (value: string): FlowQuery | string => {
  const [, count = '', unit = ''] = /^(\d{1,4})([smh])$/.exec(value.toLowerCase()) ?? [];
  const seconds = Number(count) * (unitSeconds[unit] ?? Number.NaN);
  return seconds >= 1 && seconds <= windowSecondsMax ? { windowSeconds: seconds } : `“${value}” is no time: write 30s, 5m or at most 1h.`;
};

const readReason = (value: string): FlowQuery | string => {
  const word = reasonWord(value);
  if (reasons.includes(word)) return { reason: word.toUpperCase().replaceAll('-', '_') };
  const near = reasons.find((known) => known.includes(word));
  return `There is no reason “${value}”${near === undefined ? ': write for instance policy-deny' : `: did you mean ${near}?`}`;
};

const readName =
  (field: 'mapping' | 'interface', max: number) =>
  (value: string): FlowQuery | string =>
    value.length <= max ? { [field]: value } : `That is longer than ${String(max)} characters.`;

/** Every key, in the order they are offered. */
export const flowKeys: Readonly<Record<string, FlowKey>> = {
  src: { about: 'address or CIDR it comes from', example: 'src:198.18.0.0/16', read: readAddress('source') },
  dst: { about: 'address or CIDR it goes to', example: 'dst:198.18.9.12', read: readAddress('destination') },
  addr: { about: 'either side', example: 'addr:2001:db8::/32', read: readAddress('address') },
  port: { about: 'port of either side', example: 'port:443', read: readPort },
  proto: { about: 'protocol', example: 'proto:tcp', read: readProtocol, values: Object.keys(protocols) },
  mapping: { about: 'what decided', example: 'mapping:web', read: readName('mapping', 63) },
  verdict: {
    about: 'allowed or denied',
    example: 'verdict:denied',
    read: oneOf('verdict', verdicts, (verdict) => ({ verdict })),
    values: verdicts,
  },
  state: { about: 'what became of it', example: 'state:live', read: oneOf('state', states, (state) => ({ state })), values: states },
  reason: { about: 'why', example: 'reason:rate-limit', read: readReason, values: reasons },
  if: { about: 'interface it arrived on', example: 'if:wan0', read: readName('interface', 15) },
  last: { about: 'seen within', example: 'last:5m', read: readWindow, values: windows },
};

/** The terms of a text; blanks part them. */
const termsOf = (text: string): readonly FlowTerm[] =>
  [...text.matchAll(/\S+/g)].map((match) => {
    const [term] = match;
    const [, key = '', value = term] = /^([A-Za-z]+):(.*)$/.exec(term) ?? [];
    // "fe80::1" and "abc:1::2" are addresses, not keys: a known key always wins, an address comes next.
    const isAddress = !Object.hasOwn(flowKeys, key.toLowerCase()) && typeof readNetwork(term) !== 'string';
    const place = { start: match.index, end: match.index + term.length };
    return isAddress ? { key: '', value: term, ...place } : { key: key.toLowerCase(), value, ...place };
  });

const readTerm = ({ key, value }: FlowTerm): FlowQuery | string => {
  if (key === '') {
    if (/^\d+$/.test(value)) return readPort(value);
    const network = readNetwork(value);
    if (typeof network !== 'string') return { address: writeNetwork(network) };
    return /^[\d.]+(?:\/\d*)?$|:|\//.test(value) ? network : `“${value}” is no address and no port: write for instance mapping:${value}.`;
  }
  const known = Object.hasOwn(flowKeys, key) ? flowKeys[key] : undefined;
  if (known === undefined) return `There is no “${key}:”: write ${listOf(Object.keys(flowKeys).map((name) => `${name}:`))}.`;
  return value === '' ? `Write what ${key}: shall be, for instance ${known.example}.` : known.read(value);
};

/** Reads a filter. Never raises: problems name their place. */
export const parseFlowQuery = (text: string): ParsedFlowQuery => {
  const terms = termsOf(text);
  const problems: FlowQueryProblem[] = [];
  let query: FlowQuery = {};
  for (const term of terms) {
    const part = readTerm(term);
    const place = { start: term.start, end: term.end };
    if (typeof part === 'string') problems.push({ message: part, ...place });
    else if (Object.keys(part).some((field) => Object.hasOwn(query, field)))
      problems.push({ message: `“${text.slice(term.start, term.end)}” is said twice: keep one of the two.`, ...place });
    else query = { ...query, ...part };
  }
  return { query, terms, problems };
};

/** The text with a term set to a value, or taken away for null. */
export const withFlowTerm = (text: string, key: string, value: string | null): string => {
  const kept = termsOf(text)
    .filter((term) => term.key !== key)
    .map(({ start, end }) => text.slice(start, end));
  return [...kept, ...(value === null || value === '' ? [] : [`${key}:${value}`])].join(' ');
};

/** The value of a key in the text; "" when it is not there. */
export const flowTermOf = (text: string, key: string): string => termsOf(text).find((term) => term.key === key)?.value ?? '';

export interface FlowSuggestion {
  /** Replaces the term at the cursor. */
  readonly text: string;
  readonly about: string;
}

export interface FlowSuggestions {
  readonly start: number;
  readonly end: number;
  readonly options: readonly FlowSuggestion[];
}

/** Names that the host knows, for suggestions. */
export interface FlowNames {
  readonly mappings: readonly string[];
  readonly interfaces: readonly string[];
}

const suggestionsMax = 8;

/** What could stand at the cursor: keys first, then the values of a key. */
export const suggestFlowTerms = (text: string, cursor: number, names: FlowNames): FlowSuggestions => {
  const terms = termsOf(text);
  const here = terms.find(({ start, end }) => cursor > start && cursor <= end);
  const start = here?.start ?? cursor;
  const end = here?.end ?? cursor;
  const typed = text.slice(start, cursor);
  const colon = typed.indexOf(':');
  const key = typed.slice(0, Math.max(0, colon)).toLowerCase();
  const known = Object.hasOwn(flowKeys, key) ? flowKeys[key] : undefined;
  const pick = (options: readonly FlowSuggestion[]): FlowSuggestions => ({ start, end, options: options.slice(0, suggestionsMax) });
  if (colon < 0) {
    const used = new Set(terms.filter((term) => term !== here).map((term) => term.key));
    return pick(
      Object.entries(flowKeys)
        .filter(([name]) => !used.has(name) && name.startsWith(typed.toLowerCase()))
        .map(([name, { about, example }]) => ({ text: `${name}:`, about: `${about}, ${example}` })),
    );
  }
  const wanted = typed.slice(colon + 1).toLowerCase();
  const values = key === 'mapping' ? names.mappings : key === 'if' ? names.interfaces : (known?.values ?? []);
  const matching = values.filter((value) => value.toLowerCase().includes(wanted) && value.toLowerCase() !== wanted);
  const isBeginning = (value: string): boolean => value.toLowerCase().startsWith(wanted);
  return pick(
    [...matching.filter(isBeginning), ...matching.filter((value) => !isBeginning(value))].map((value) => ({
      text: `${key}:${value}`,
      about: '',
    })),
  );
};
