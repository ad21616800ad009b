import { describe, expect, it } from 'vitest';
import type { FleetPlan, FlowImpact, HostPlan } from '../bridge/model.ts';
import { showPlan } from './plan-view.ts';

const planned: HostPlan = {
  hostId: 'a',
  hostName: 'edge-1',
  problem: null,
  conflict: null,
  planHash: 'x',
  baseRevision: 1,
  diff: [{ kind: 'added', text: 'a' }],
  problems: [],
  impact: null,
  managementReachable: true,
  canApply: true,
  cannotApplyReason: null,
  tables: null,
};
const impact: FlowImpact = {
  replayed: 5,
  unchanged: 4,
  cut: 1,
  cutLive: 1,
  newlyAllowed: 0,
  windowSeconds: 900,
  changes: [],
  changesTruncated: false,
  recordsLost: 0,
};
const none = { diff: [], planHash: null, baseRevision: null, canApply: false };
const away: HostPlan = { ...planned, ...none, hostName: 'edge-2', problem: { code: 'HOST_UNREACHABLE', message: 'No answer.' } };
const refusing: HostPlan = { ...planned, ...none, hostName: 'edge-3', cannotApplyReason: 'The policy has errors: correct them first.' };
const shown = (...hosts: readonly HostPlan[]): string => {
  const sum = (figure: 'replayed' | 'unchanged' | 'cut' | 'cutLive' | 'newlyAllowed'): number =>
    hosts.reduce((total, host) => total + (host.impact?.[figure] ?? 0), 0);
  const plan: FleetPlan = {
    planId: 'p',
    createdAt: 0,
    expiresAt: 1,
    hosts,
    replayed: sum('replayed'),
    unchanged: sum('unchanged'),
    cut: sum('cut'),
    cutLive: sum('cutLive'),
    newlyAllowed: sum('newlyAllowed'),
  };
  return showPlan(plan);
};

describe('the text of a plan', () => {
  it('ends with figures only where flows were replayed', () => {
    expect(shown({ ...planned, impact }, away)).toMatch(
      /^All hosts: 5 flows replayed, 4 unchanged, 1 cut \(1 live now\), 0 newly allowed\.$/m,
    );
    expect(shown(planned, away)).toMatch(/^All hosts: no flows were replayed, so which are cut or newly allowed is not known\.$/m);
    const nothing = shown(away, refusing);
    expect(nothing).toMatch(/^All hosts: nothing was planned\.$/m);
    expect(nothing).not.toMatch(/ 0 |no change in the document/);
  });
});
