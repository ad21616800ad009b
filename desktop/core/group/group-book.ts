/** Groups of hosts as this console keeps them: lists of hosts, and rules whose members follow the hosts. */
import { NestError, toErrorShape } from '../../../proto/model/error.ts';
import { parseHostQuery } from '../../bridge/host-grammar.ts';
import { compileHostQuery, hostScope, parseHostRule } from '../../bridge/host-query.ts';
import type { HostGroup } from '../../bridge/group-model.ts';
import type { HostRow } from '../../bridge/model.ts';
import type { Clock } from '../../lib/api.ts';
import type { FleetCache } from '../cache/fleet-cache.ts';
import type { HostRoster } from '../hosts/host-roster.ts';

/** Groups kept; one more is refused. The cache keeps more records of a kind than this. */
export const groupsMax = 500;

interface GroupRecord {
  readonly name: string;
  readonly about: string;
  readonly rule: string | null;
  /** Empty for a rule. */
  readonly hostIds: readonly string[];
  readonly changedAt: number;
}

export interface GroupInput {
  readonly name: string;
  readonly about?: string | undefined;
  readonly members: { readonly rule: string } | { readonly hostIds: readonly string[] };
}

export interface GroupBookOptions {
  readonly cache: FleetCache;
  readonly roster: HostRoster;
  readonly clock: Clock;
}

export class GroupBook {
  readonly #options: GroupBookOptions;

  constructor(options: GroupBookOptions) {
    this.#options = options;
  }

  /** By name, with the members of this moment. */
  list(): readonly HostGroup[] {
    const rows = this.#rows();
    return this.#records().map((record) => this.#shown(record, rows));
  }

  /** Raises NOT_FOUND. */
  get(name: string): HostGroup {
    const record = this.#options.cache.record<GroupRecord>('group', name);
    if (record !== null) return this.#shown(record, this.#rows());
    throw new NestError('NOT_FOUND', `There is no group ${name}. "nest groups ls" lists them.`, { details: { group: name } });
  }

  /** Makes a group or changes the one of that name. Raises QUERY_INVALID, HOST_UNKNOWN, INPUT_INVALID, LIMIT_REACHED. */
  put(input: GroupInput): HostGroup {
    const { cache, roster, clock } = this.#options;
    const before = cache.record<GroupRecord>('group', input.name);
    if (before === null && this.#records().length >= groupsMax)
      throw new NestError('LIMIT_REACHED', `There are ${String(groupsMax)} groups. Remove one that is not used.`);
    const { members } = input;
    const rule = 'rule' in members ? members.rule.trim() : null;
    const hostIds = 'rule' in members ? [] : [...new Set(members.hostIds)];
    if (rule !== null) parseHostRule(rule);
    else if (hostIds.length === 0)
      throw new NestError('INPUT_INVALID', 'A group without hosts is none. Choose at least one host, or write a rule.');
    // Hosts of the old list may have left the fleet meanwhile; new ones must be there.
    for (const hostId of hostIds) if (before?.hostIds.includes(hostId) !== true) roster.get(hostId);
    const record: GroupRecord = { name: input.name, about: input.about ?? before?.about ?? '', rule, hostIds, changedAt: clock.now() };
    cache.putRecord('group', input.name, { at: record.changedAt, content: record });
    return this.#shown(record, this.#rows());
  }

  /** Forgets the group; its hosts stay. Raises NOT_FOUND. */
  remove(name: string): void {
    this.get(name);
    this.#options.cache.dropRecord('group', name);
  }

  #rows(): readonly HostRow[] {
    return this.#options.roster.all.map((host) => host.row());
  }

  #records(): readonly GroupRecord[] {
    const records = this.#options.cache.records<GroupRecord>('group', groupsMax);
    return [...records].sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  #shown({ name, about, rule, hostIds, changedAt }: GroupRecord, rows: readonly HostRow[]): HostGroup {
    const { members, problem } = rule === null ? { members: listed(rows, hostIds), problem: null } : this.#fitting(rows, rule);
    const missing = rule === null ? hostIds.length - members.length : 0;
    return { name, about, rule, hostIds: members.map(({ hostId }) => hostId), missing, problem, changedAt };
  }

  /** A rule of another console's time that is not understood any more has no members, and says so: the other groups stay. */
  #fitting(rows: readonly HostRow[], rule: string): { readonly members: readonly HostRow[]; readonly problem: string | null } {
    try {
      const test = compileHostQuery(parseHostQuery(rule));
      const scope = hostScope([], this.#options.clock.now());
      return { members: rows.filter((row) => test(row, scope)), problem: null };
    } catch (error) {
      return { members: [], problem: toErrorShape(error).message };
    }
  }
}

const listed = (rows: readonly HostRow[], hostIds: readonly string[]): readonly HostRow[] => {
  const wanted = new Set(hostIds);
  return rows.filter(({ hostId }) => wanted.has(hostId));
};
