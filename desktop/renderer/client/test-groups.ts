/** Groups for tests of pages: kept like the core keeps them, and a dry run with every outcome. */
import type { InputOf, OutputOf } from '../../bridge/contract.ts';
import { changedHostLabels } from '../../bridge/host-label.ts';
import { compileHostQuery, hostScope, parseHostRule } from '../../bridge/host-query.ts';
import type { GroupPlan, HostGroup } from '../../bridge/group-model.ts';
import type { HostRow } from '../../bridge/model.ts';

/** What the answers change. */
export interface GroupStore {
  hosts: readonly HostRow[];
  groups: readonly HostGroup[];
  readonly now: () => number;
}

export const groupAnswers = (store: GroupStore) => ({
  'hosts.label': ({ hostIds, set, remove }: InputOf<'hosts.label'>): OutputOf<'hosts.label'> => {
    store.hosts = store.hosts.map((host) =>
      hostIds.includes(host.hostId) ? { ...host, labels: changedHostLabels(host.labels, { set, remove }) } : host,
    );
    return store.hosts.filter(({ hostId }) => hostIds.includes(hostId));
  },
  'groups.list': (): readonly HostGroup[] => store.groups,
  'groups.put': ({ name, about = '', members }: InputOf<'groups.put'>): HostGroup => {
    const rule = 'rule' in members ? members.rule : null;
    const hostIds = 'rule' in members ? fitting(store, members.rule) : members.hostIds;
    const group = { name, about, rule, hostIds, missing: 0, problem: null, changedAt: store.now() };
    store.groups = [...store.groups.filter((other) => other.name !== name), group];
    return group;
  },
  'groups.remove': ({ name }: InputOf<'groups.remove'>): null => {
    store.groups = store.groups.filter((group) => group.name !== name);
    return null;
  },
  'groups.plan': ({ name }: InputOf<'groups.plan'>): GroupPlan => testGroupPlan(name, store),
});

const fitting = ({ hosts, now }: GroupStore, rule: string): readonly string[] => {
  const test = compileHostQuery(parseHostRule(rule));
  return hosts.filter((host) => test(host, hostScope([], now()))).map(({ hostId }) => hostId);
};

const testGroupPlan = (group: string, { hosts, groups, now }: GroupStore): GroupPlan => {
  const found = groups.find(({ name }) => name === group);
  const members = hosts.filter(({ hostId }) => found?.hostIds.includes(hostId) === true);
  const rows = members.map(({ hostId, name, state }) =>
    state === 'offline'
      ? ({ hostId, hostName: name, outcome: 'away', code: 'HOST_UNREACHABLE', reason: 'Does not answer.' } as const)
      : ({ hostId, hostName: name, outcome: 'changes', code: null, reason: null } as const),
  );
  const changing = rows.filter(({ outcome }) => outcome === 'changes').map(({ hostName }) => hostName);
  return {
    group,
    planId: 'plan-1',
    expiresAt: now() + 600_000,
    outcomes: { changes: changing.length, same: 0, refused: 0, away: rows.length - changing.length },
    hosts: rows,
    differences: [{ hostNames: changing, diff: [{ kind: 'added', text: '"web"' }] }],
    rest: 0,
    problems: [],
    cutOff: [],
    measured: changing.length,
    replayed: 10,
    unchanged: 7,
    cut: 3,
    cutLive: 2,
    newlyAllowed: 0,
  };
};
