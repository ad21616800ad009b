/** A plan and a rollout as text. */
import type { DiffLine, FleetPlan, HostPlan, Rollout } from '../bridge/model.ts';
import { clean, formatTable } from './output.ts';

/** Changes shown per host; the JSON has all. */
const changesShown = 20;
const diffMarks = { same: ' ', added: '+', removed: '-' } as const;

/** Hosts with the same difference are shown together, then what each host says. */
export const showPlan = (plan: FleetPlan): string => {
  const groups = new Map<string, HostPlan[]>();
  for (const host of plan.hosts) {
    if (!isPlanned(host)) continue;
    const key = JSON.stringify(host.diff);
    groups.set(key, [...(groups.get(key) ?? []), host]);
  }
  const diffs = [...groups.values()].map((hosts) =>
    [`${hosts.map(({ hostName }) => hostName).join(', ')}:`, ...changedLines(hosts[0]?.diff ?? [])].join('\n'),
  );
  return [...diffs, ...plan.hosts.map(showHost), `All hosts: ${flowsText(plan)}`].join('\n\n');
};

/** A host that does not answer, or refuses the document, has no plan. */
const isPlanned = ({ problem, planHash }: HostPlan): boolean => problem === null && planHash !== null;

/** Figures only of hosts that have replayed flows. */
const flowsText = (plan: FleetPlan): string =>
  plan.hosts.some(isPlanned) ? impactText(plan, plan.hosts.filter(({ impact }) => impact !== null).length) : 'nothing was planned.';

/** The sums of a plan as a sentence. `measured`: hosts that have replayed flows; the sums of none would say what nobody knows. */
export const impactText = (
  plan: Pick<FleetPlan, 'replayed' | 'unchanged' | 'cut' | 'cutLive' | 'newlyAllowed'>,
  measured: number,
): string =>
  measured === 0
    ? 'no flows were replayed, so which are cut or newly allowed is not known.'
    : `${String(plan.replayed)} flows replayed, ${String(plan.unchanged)} unchanged, ${String(plan.cut)} cut (${String(plan.cutLive)} live now), ${String(plan.newlyAllowed)} newly allowed.`;

/** Changed lines with one line around each. */
export const changedLines = (diff: readonly DiffLine[]): readonly string[] => {
  const isNear = (index: number): boolean => [index - 1, index, index + 1].some((at) => diff[at] !== undefined && diff[at].kind !== 'same');
  const lines = diff.flatMap(({ kind, text }, index) => (isNear(index) ? [`  ${diffMarks[kind]} ${clean(text)}`] : []));
  return lines.length === 0 ? ['  no change in the document'] : lines;
};

const showHost = (host: HostPlan): string => {
  if (host.problem !== null) return `${host.hostName}: cannot be planned. ${clean(host.problem.message)} (${host.problem.code})`;
  const { impact } = host;
  const lines = [`${host.hostName}: from revision ${String(host.baseRevision ?? 0)}`];
  for (const { severity, path, message } of host.problems)
    lines.push(`  ${severity}: ${clean(path === '' ? message : `${path}: ${message}`)}`);
  if (impact !== null) {
    lines.push(
      `  ${String(impact.replayed)} flows of the last ${String(Math.round(impact.windowSeconds / 60))} min: ${String(impact.unchanged)} unchanged, ${String(impact.cut)} cut (${String(impact.cutLive)} live now), ${String(impact.newlyAllowed)} newly allowed`,
    );
    if (impact.recordsLost > 0) lines.push(`  ${String(impact.recordsLost)} flow records were lost: the list is not complete`);
    for (const { flow, allowed, mapping } of impact.changes.slice(0, changesShown)) {
      lines.push(
        `  ${allowed ? 'allowed' : 'CUT    '} ${flow.source}:${String(flow.sourcePort)} > ${flow.destination}:${String(flow.destinationPort)} ${flow.protocol} by ${clean(mapping ?? 'the default action')}`,
      );
    }
    if (impact.changes.length > changesShown || impact.changesTruncated) lines.push('  ...');
  }
  if (host.managementReachable === false)
    lines.push('  WARNING: this policy cuts the connection of this console to the host; the host will take it back by itself');
  if (!host.canApply) lines.push(`  cannot be applied: ${clean(host.cannotApplyReason ?? 'see the problems above')}`);
  return lines.join('\n');
};

/** One line a host. */
export const showRollout = (rollout: Rollout): string =>
  [
    `Rollout ${rollout.rolloutId}: ${rollout.state}`,
    formatTable(rollout.hosts, [
      { title: 'HOST', value: ({ hostName }) => hostName },
      { title: 'STATE', value: ({ state }) => state },
      { title: 'REV', value: ({ revision }) => revision },
      { title: 'LOAD MS', value: ({ loadMs }) => (loadMs === null ? null : Math.round(loadMs * 100) / 100) },
      { title: 'WHY', value: ({ problem }) => (problem === null ? '' : `${problem.message} (${problem.code})`) },
    ]),
  ].join('\n');
