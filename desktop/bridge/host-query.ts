/** A query of host-grammar.ts as a test of hosts: compiled once, asked for every host of every frame. */
import { NestError } from '../../proto/model/error.ts';
import { hostKeys, hostQueryTerms, isHostKey, parseHostQuery } from './host-grammar.ts';
import type { HostKeyName, HostQuery, HostSign } from './host-grammar.ts';
import { hostLabelParts, normalHostLabel } from './host-label.ts';
import type { HostGroup } from './group-model.ts';
import type { HostRow } from './model.ts';

/** What a query may ask about. */
export type HostFacts = Pick<
  HostRow,
  | 'hostId'
  | 'name'
  | 'address'
  | 'labels'
  | 'state'
  | 'pendingUntil'
  | 'cluster'
  | 'kernel'
  | 'agentVersion'
  | 'engine'
  | 'generation'
  | 'packetsPerSecond'
  | 'dropsPerSecond'
  | 'cpuBusy'
  | 'flows'
  | 'revision'
  | 'certificateEndsAt'
>;

/** What a query asks about besides the host. */
export interface HostScope {
  /** Milliseconds since the Unix epoch. */
  readonly now: number;
  /** Ids of the hosts of each group, by its name. */
  readonly groups: ReadonlyMap<string, ReadonlySet<string>>;
}

export const hostScope = (groups: readonly Pick<HostGroup, 'name' | 'hostIds'>[], now: number): HostScope => ({
  now,
  groups: new Map(groups.map(({ name, hostIds }) => [name, new Set(hostIds)] as const)),
});

export type HostTest = (host: HostFacts, scope: HostScope) => boolean;

const dayMs = 86_400_000;

/** Values of words and texts; null = not known, which fits nothing. */
const words: Readonly<Record<Exclude<HostKeyName, 'group' | 'label' | NumberName>, (host: HostFacts) => readonly (string | null)[]>> = {
  name: (host) => [host.name],
  address: (host) => [host.address],
  state: (host) => [host.state, host.pendingUntil === null ? null : 'pending'],
  cluster: (host) => [host.cluster],
  kernel: (host) => [host.kernel],
  agent: (host) => [host.agentVersion],
  engine: (host) => [host.engine],
  gen: (host) => [host.generation],
};

type NumberName = 'packets' | 'drops' | 'cpu' | 'flows' | 'revision' | 'cert';

/** What was not measured is null and fits no comparison. */
const numbers: Readonly<Record<NumberName, (host: HostFacts, now: number) => number | null>> = {
  packets: (host) => host.packetsPerSecond,
  drops: (host) => host.dropsPerSecond,
  cpu: (host) => (host.cpuBusy === null ? null : host.cpuBusy * 100),
  flows: (host) => host.flows,
  revision: (host) => host.revision,
  cert: (host, now) => (host.certificateEndsAt === null ? null : (host.certificateEndsAt - now) / dayMs),
};

const factors: Readonly<Record<string, number>> = { '%': 1, k: 1e3, m: 1e6, g: 1e9 };

/** Compiles a query that was read. Never raises. */
export const compileHostQuery = (query: HostQuery): HostTest => {
  switch (query.kind) {
    case 'all':
      return () => true;
    case 'and': {
      const tests = query.nodes.map(compileHostQuery);
      return (host, scope) => tests.every((test) => test(host, scope));
    }
    case 'or': {
      const tests = query.nodes.map(compileHostQuery);
      return (host, scope) => tests.some((test) => test(host, scope));
    }
    case 'not': {
      const test = compileHostQuery(query.node);
      return (host, scope) => !test(host, scope);
    }
    case 'text': {
      const fits = matcherOf(query.value, 'part');
      return (host) => fits(host.name) || fits(host.address) || host.labels.some(fits);
    }
    case 'field':
      return fieldTest(query.key, query.value);
    default:
      return isNumber(query.key) ? numberTest(query.key, query.sign, query.value) : versionTest(query.key, query.sign, query.value);
  }
};

/** The hosts a query fits, in their order. Raises QUERY_INVALID, and NOT_FOUND for a group that is not there. */
export const hostsMatching = <Host extends HostFacts>(hosts: readonly Host[], query: HostQuery, scope: HostScope): readonly Host[] => {
  checkGroups(query, scope);
  const test = compileHostQuery(query);
  return hosts.filter((host) => test(host, scope));
};

/** Keys of labels that a query asks for and no host has: perhaps typed wrongly. */
export const unknownLabelKeys = (query: HostQuery, hosts: readonly Pick<HostRow, 'labels'>[]): readonly string[] => {
  const asked = new Set(hostQueryTerms(query).flatMap((term) => (term.kind === 'field' && !isHostKey(term.key) ? [term.key] : [])));
  if (asked.size === 0) return [];
  for (const { labels } of hosts) for (const label of labels) asked.delete(hostLabelParts(label).key);
  return [...asked];
};

/** The rule of a group. Raises QUERY_INVALID, also when it names a group or fits every host by being empty. */
export const parseHostRule = (text: string): HostQuery => {
  const query = parseHostQuery(text);
  const whole = { details: { start: 0, end: text.length } };
  if (query.kind === 'all') throw new NestError('QUERY_INVALID', 'A rule says which hosts: write one, for instance site:ams1.', whole);
  for (const term of hostQueryTerms(query))
    if (term.kind === 'field' && term.key === 'group')
      throw new NestError('QUERY_INVALID', 'A rule cannot name groups: write what their hosts have in common.', whole);
  return query;
};

const checkGroups = (query: HostQuery, { groups }: HostScope): void => {
  for (const term of hostQueryTerms(query)) {
    if (term.kind !== 'field' || term.key !== 'group' || term.value.includes('*') || groups.has(term.value.toLowerCase())) continue;
    throw new NestError('NOT_FOUND', `There is no group ${term.value}. "nest groups ls" lists them.`, { details: { group: term.value } });
  }
};

const fieldTest = (key: string, value: string): HostTest => {
  if (!isHostKey(key)) {
    const fits = matcherOf(value, 'whole');
    return (host) =>
      host.labels.some((label) => {
        const parts = hostLabelParts(label);
        return parts.key === key && parts.value !== null && fits(parts.value);
      });
  }
  if (key === 'label') {
    const fits = matcherOf(normalHostLabel(value), 'whole');
    return (host) => host.labels.some((label) => fits(normalHostLabel(label)) || fits(hostLabelParts(label).key));
  }
  if (key === 'group') return groupTest(value);
  if (isNumber(key)) return () => false;
  const read = words[key];
  const fits = matcherOf(value, hostKeys[key].kind === 'word' ? 'whole' : 'part');
  return (host) => read(host).some((word) => word !== null && fits(word));
};

const groupTest = (value: string): HostTest => {
  const fits = matcherOf(value, 'whole');
  const name = value.toLowerCase();
  if (!value.includes('*')) return ({ hostId }, { groups }) => groups.get(name)?.has(hostId) === true;
  return ({ hostId }, { groups }) => [...groups].some(([group, members]) => fits(group) && members.has(hostId));
};

const isNumber = (key: string): key is NumberName => Object.hasOwn(numbers, key);

const holds = (sign: HostSign, order: number): boolean => {
  switch (sign) {
    case '>=':
      return order >= 0;
    case '<=':
      return order <= 0;
    case '>':
      return order > 0;
    case '<':
      return order < 0;
    default:
      return order === 0;
  }
};

const numberTest = (key: NumberName, sign: HostSign, value: string): HostTest => {
  const read = numbers[key];
  const limit = Number.parseFloat(value) * (factors[value.slice(-1)] ?? 1);
  return (host, { now }) => {
    const figure = read(host, now);
    return figure !== null && holds(sign, figure - limit);
  };
};

/** Only as many parts are compared as the query has. */
const versionTest = (key: string, sign: HostSign, value: string): HostTest => {
  const limit = value.split('.').map(Number);
  return (host) => {
    const text = key === 'kernel' ? host.kernel : host.agentVersion;
    const parts = /\d+(?:\.\d+)*/
      .exec(text ?? '')?.[0]
      .split('.')
      .map(Number);
    if (parts === undefined) return false;
    const differing = limit.findIndex((part, index) => part !== (parts[index] ?? 0));
    return holds(sign, differing < 0 ? 0 : (parts[differing] ?? 0) - (limit[differing] ?? 0));
  };
};

/** Whole or in a part; a pattern with `*`, which stands for anything, must fit the whole text. Linear: no expression of the operator is run. */
const matcherOf = (pattern: string, extent: 'whole' | 'part'): ((text: string) => boolean) => {
  const wanted = pattern.toLowerCase();
  const pieces = wanted.split('*');
  if (pieces.length === 1)
    return extent === 'whole' ? (text) => text.toLowerCase() === wanted : (text) => text.toLowerCase().includes(wanted);
  const [first = '', ...rest] = pieces;
  const last = rest.pop() ?? '';
  return (given) => {
    const text = given.toLowerCase();
    if (!text.startsWith(first)) return false;
    let at = first.length;
    for (const piece of rest) {
      const found = text.indexOf(piece, at);
      if (found < 0) return false;
      at = found + piece.length;
    }
    return text.length - last.length >= at && text.endsWith(last);
  };
};
