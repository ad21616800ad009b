/** What is allowed but probably not meant. Sound, not complete: a warning is always true, but not every oddity is found. */
import { policyInForce } from './approval.ts';
import { warnDenyLists, warnTreatments } from './action-warnings.ts';
import { encodeMatch } from './match-word.ts';
import { portMax } from './limits.ts';
import { formatPrefix, parsePrefix } from './address.ts';
import { anyName } from './schema-checks.ts';
import type { Policy, PolicyMapping } from './policy-schema.ts';
import { problemsMax } from './policy-problem.ts';
import type { PolicyProblem, Report } from './policy-problem.ts';
import { sideOf, trafficOf } from './traffic-match.ts';
import type { TrafficMatch } from './traffic-match.ts';

/** Comparisons spent on finding shadowed mappings; beyond it the rest is not looked at. */
const comparisonsMax = 4_000_000;
/** Larger source x destination lists are not entered into the shadow index. */
const indexProductMax = 256;

/** Warnings of a checked policy, at most 100. `nowMs`: milliseconds since 1970, for what is over. */
export const warningsOf = (policy: Policy, nowMs?: number): PolicyProblem[] => {
  const problems: PolicyProblem[] = [];
  const warn = (path: string, code: string, message: string): void => {
    if (problems.length < problemsMax) problems.push({ severity: 'warning', path, code, message });
  };
  if (policy.defaultAction === 'deny' && policy.mappings.every((mapping) => mapping.action === 'deny')) {
    warn(
      '',
      'NOTHING_ALLOWED',
      'The default action denies and no mapping allows anything: every packet will be dropped. Add an allow mapping.',
    );
  }
  warnServices(policy, warn);
  for (const [position, mapping] of policy.mappings.entries()) warnMapping(mapping, `mappings[${String(position)}]`, warn);
  warnTreatments(policy, warn);
  warnDenyLists(policy.denyLists, warn, nowMs);
  warnWithheld(policy, warn, nowMs);
  if (problems.length < problemsMax) warnShadowed(policy, warn);
  return problems;
};

const warnWithheld = (policy: Policy, warn: Report, nowMs = 0): void => {
  const positions = new Map(policy.mappings.map(({ name }, position) => [name, position]));
  for (const { mapping, why } of policyInForce(policy, nowMs).withheld) {
    const path = `mappings[${String(positions.get(mapping) ?? 0)}].approval`;
    if (why === 'ended')
      warn(`${path}.expiresAt`, 'APPROVAL_ENDED', `The time of ${mapping} is over, it has no effect: remove it, or ask for it anew.`);
    else warn(path, 'APPROVAL_AWAITED', `${mapping} has no effect until another operator approves it.`);
  }
};

const warnServices = (policy: Policy, warn: Report): void => {
  const used = new Set(policy.mappings.flatMap((mapping) => [...mapping.sources, ...mapping.destinations]));
  for (const [position, service] of policy.services.entries()) {
    const path = `services[${String(position)}]`;
    if (!used.has(service.name)) warn(path, 'SERVICE_UNUSED', `No mapping uses the service ${service.name}: it has no effect.`);
    const seen = new Set<string>();
    for (const [entry, text] of service.addresses.entries()) {
      const prefix = parsePrefix(text);
      if (prefix === undefined) continue;
      const canonical = formatPrefix(prefix);
      if (seen.has(canonical))
        warn(`${path}.addresses[${String(entry)}]`, 'ENTRY_REPEATED', `${text} is already in the list: leave it out.`);
      if (canonical.startsWith('::ffff:'))
        warn(
          `${path}.addresses[${String(entry)}]`,
          'ADDRESS_MAPPED',
          `${text} is an IPv4-mapped address and does not match IPv4 packets: write the IPv4 address.`,
        );
      seen.add(canonical);
    }
  }
};

const warnMapping = (mapping: PolicyMapping, path: string, warn: Report): void => {
  for (const field of ['sources', 'destinations', 'protocols', 'ports'] as const) {
    const entries: readonly string[] = mapping[field] ?? [];
    if (new Set(entries).size < entries.length) warn(`${path}.${field}`, 'ENTRY_REPEATED', 'An entry is in the list twice: leave one out.');
    if (field !== 'ports' && entries.includes(anyName) && entries.length > 1)
      warn(`${path}.${field}`, 'ANY_REDUNDANT', '"any" already covers the other entries: leave them out.');
  }
  const { ports } = trafficOf(mapping);
  const [range] = ports;
  const isEveryPort = range !== undefined && range.first === 1 && range.last === portMax;
  if (isEveryPort) warn(`${path}.ports`, 'PORTS_EVERY', 'This is every port: leave ports out to say so.');
  const isAnyToAny = mapping.sources.includes(anyName) && mapping.destinations.includes(anyName) && mapping.protocols.includes('any');
  if (mapping.action !== 'deny' && isAnyToAny && (ports.length === 0 || isEveryPort)) {
    warn(path, 'ALLOWS_EVERYTHING', `${mapping.name} allows everything from everywhere: name the sources or destinations that are meant.`);
  }
};

interface Candidate {
  readonly mapping: PolicyMapping;
  readonly position: number;
  readonly word: number;
  readonly traffic: TrafficMatch;
  readonly sources: readonly string[];
  readonly destinations: readonly string[];
}

/** Reports mappings that one mapping with a larger match word covers in full. */
const warnShadowed = (policy: Policy, warn: Report): void => {
  const candidates = rankedCandidates(policy);
  const index = new Map<string, Candidate[]>();
  const shadows: { readonly loser: Candidate; readonly winner: Candidate }[] = [];
  let budget = comparisonsMax;
  for (const candidate of candidates) {
    const winner = findCover(candidate, index, () => budget-- > 0);
    if (winner !== undefined) shadows.push({ loser: candidate, winner });
    else addToIndex(candidate, index);
    if (budget <= 0) break;
  }
  shadows.sort((a, b) => a.loser.position - b.loser.position);
  for (const { loser, winner } of shadows) {
    const how =
      winner.mapping.priority > loser.mapping.priority
        ? `priority ${String(winner.mapping.priority)} beats ${String(loser.mapping.priority)}`
        : 'it comes first at the same priority';
    const message = `${loser.mapping.name} can never match: ${winner.mapping.name} covers all of it and ${how}. Change the priority, or remove it.`;
    warn(`mappings[${String(loser.position)}]`, 'MAPPING_SHADOWED', message);
  }
};

/** Largest match word first. */
const rankedCandidates = (policy: Policy): Candidate[] => {
  const byName = policy.mappings
    .map((mapping, position) => ({ mapping, position }))
    .sort((a, b) => (a.mapping.name < b.mapping.name ? -1 : 1));
  const candidates = byName.map(({ mapping, position }, index) => ({
    mapping,
    position,
    word: encodeMatch({ index: Math.min(index, 0xffff), isDeny: mapping.action === 'deny', priority: mapping.priority }),
    traffic: trafficOf(mapping),
    sources: sideOf(mapping.sources),
    destinations: sideOf(mapping.destinations),
  }));
  return candidates.sort((a, b) => b.word - a.word);
};

const addToIndex = (candidate: Candidate, index: Map<string, Candidate[]>): void => {
  if (candidate.sources.length * candidate.destinations.length > indexProductMax) return;
  for (const source of candidate.sources) {
    for (const destination of candidate.destinations) {
      const bucket = index.get(`${source}>${destination}`);
      if (bucket === undefined) index.set(`${source}>${destination}`, [candidate]);
      else bucket.push(candidate);
    }
  }
};

/** Whoever covers the candidate has "any" or its first service on each side, so four buckets are enough. */
const findCover = (candidate: Candidate, index: ReadonlyMap<string, readonly Candidate[]>, spend: () => boolean): Candidate | undefined => {
  for (const source of new Set([anyName, candidate.sources[0] ?? anyName])) {
    for (const destination of new Set([anyName, candidate.destinations[0] ?? anyName])) {
      for (const other of index.get(`${source}>${destination}`) ?? []) {
        if (!spend()) return undefined;
        if (covers(other, candidate)) return other;
      }
    }
  }
  return undefined;
};

const covers = (outer: Candidate, inner: Candidate): boolean =>
  (inner.traffic.l4Mask & ~outer.traffic.l4Mask) === 0 &&
  coversPorts(outer.traffic, inner.traffic) &&
  coversSide(outer.sources, inner.sources) &&
  coversSide(outer.destinations, inner.destinations);

const coversSide = (outer: readonly string[], inner: readonly string[]): boolean =>
  outer[0] === anyName || inner.every((name) => outer.includes(name));

/** Both lists are sorted and joined: each inner range must lie in one outer range. */
const coversPorts = (outer: TrafficMatch, inner: TrafficMatch): boolean => {
  if (outer.ports.length === 0) return true;
  if (inner.ports.length === 0) return false;
  return inner.ports.every((range) => outer.ports.some((wide) => wide.first <= range.first && range.last <= wide.last));
};
