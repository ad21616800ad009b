/** A plan of many hosts as one answer: how many of each outcome, each difference and each problem once. */
import type { GroupPlan, GroupPlanHost } from '../../bridge/group-model.ts';
import type { FleetPlan, HostPlan } from '../../bridge/model.ts';

/** Differences told; of the others only their number. */
const differencesMax = 20;
const awayCodes: ReadonlySet<string> = new Set(['HOST_UNREACHABLE', 'TIMED_OUT']);

/** Pure. The members keep the order of the plan. */
export const groupPlanOf = (group: string, plan: FleetPlan): GroupPlan => {
  const hosts = plan.hosts.map(hostOf);
  const differences = differencesOf(plan.hosts);
  const { planId, expiresAt, replayed, unchanged, cut, cutLive, newlyAllowed } = plan;
  const count = (outcome: GroupPlanHost['outcome']): number => hosts.filter((host) => host.outcome === outcome).length;
  return {
    group,
    planId,
    expiresAt,
    outcomes: { changes: count('changes'), same: count('same'), refused: count('refused'), away: count('away') },
    hosts,
    differences: differences.slice(0, differencesMax),
    rest: Math.max(0, differences.length - differencesMax),
    problems: problemsOf(plan.hosts),
    cutOff: plan.hosts.flatMap(({ managementReachable, hostName }) => (managementReachable === false ? [hostName] : [])),
    measured: plan.hosts.filter(({ impact }) => impact !== null).length,
    replayed,
    unchanged,
    cut,
    cutLive,
    newlyAllowed,
  };
};

const isSame = ({ diff }: HostPlan): boolean => diff.every(({ kind }) => kind === 'same');

const hostOf = (host: HostPlan): GroupPlanHost => {
  const { hostId, hostName, problem, canApply, cannotApplyReason } = host;
  const code = problem?.code ?? null;
  if (canApply) return { hostId, hostName, outcome: isSame(host) ? 'same' : 'changes', code: null, reason: null };
  const first = host.problems.find(({ severity }) => severity === 'error');
  return {
    hostId,
    hostName,
    outcome: code !== null && awayCodes.has(code) ? 'away' : 'refused',
    code: code ?? first?.code ?? null,
    reason: problem?.message ?? first?.message ?? cannotApplyReason,
  };
};

const differencesOf = (hosts: readonly HostPlan[]): GroupPlan['differences'] => {
  const found = new Map<string, { readonly hostNames: string[]; readonly diff: HostPlan['diff'] }>();
  for (const host of hosts) {
    if (host.problem !== null || isSame(host)) continue;
    const key = JSON.stringify(host.diff);
    const same = found.get(key) ?? { hostNames: [], diff: host.diff };
    same.hostNames.push(host.hostName);
    found.set(key, same);
  }
  return [...found.values()].sort((a, b) => b.hostNames.length - a.hostNames.length);
};

const problemsOf = (hosts: readonly HostPlan[]): GroupPlan['problems'] => {
  const found = new Map<string, HostPlan['problems'][number] & { readonly hostNames: string[] }>();
  for (const { hostName, problems } of hosts) {
    for (const problem of problems) {
      const key = JSON.stringify(problem);
      const same = found.get(key) ?? { ...problem, hostNames: [] };
      same.hostNames.push(hostName);
      found.set(key, same);
    }
  }
  return [...found.values()].sort((a, b) => b.hostNames.length - a.hostNames.length);
};
