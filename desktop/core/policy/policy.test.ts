import { describe, expect, it } from 'vitest';
import type { RolloutHost } from '../../bridge/model.ts';
import { checkPolicy, imageOf } from './policy-check.ts';
import { afterRestart, isActive, isOpen, rolloutOf, withHosts } from './rollout.ts';
import type { RolloutRecord } from './rollout.ts';

const policy = (changes: object): string =>
  JSON.stringify({ apiVersion: 'nest/v1', kind: 'Policy', defaultAction: 'allow', services: [], mappings: [], ...changes });

const still = { now: () => 0, monotonicMs: () => 0 };

describe('a check of a policy text', () => {
  it('measures the tables of a good one', () => {
    const mapping = {
      name: 'web',
      sources: ['any'],
      destinations: ['any'],
      protocols: ['tcp'],
      ports: ['443'],
      action: 'deny',
      priority: 1,
    };
    const check = checkPolicy(policy({ mappings: [mapping] }), still);
    expect(check).toMatchObject({ valid: true, tables: { mappings: 1, compileMs: 0 } });
    expect(check.tables?.imageBytes).toBe(imageOf(policy({ mappings: [mapping] }), 0).image.length);
  });

  it('tells a text that is not JSON, one that is too long and one with errors', () => {
    expect(checkPolicy('{"a":', still)).toMatchObject({
      valid: false,
      problems: [{ code: 'JSON_INVALID', severity: 'error', path: '' }],
      tables: null,
    });
    expect(checkPolicy(' '.repeat((3 << 20) + 1), still)).toMatchObject({ valid: false, problems: [{ code: 'POLICY_TOO_LARGE' }] });
    expect(checkPolicy(policy({ mappings: [{ name: 'web' }] }), still).problems.every(({ path }) => path.startsWith('mappings[0]'))).toBe(
      true,
    );
    expect(checkPolicy(' \n', still).problems[0]?.message).toContain('is empty');
    expect(checkPolicy(`\uFEFF${policy({})}`, still).valid).toBe(true);
    expect(() => imageOf('{', 0)).toThrow(expect.objectContaining({ code: 'POLICY_INVALID' }));
  });
});

describe('the state of a rollout', () => {
  const host = (state: RolloutHost['state'], rollbackAt: number | null = null): RolloutHost => ({
    hostId: state,
    hostName: state,
    state,
    revision: 1,
    previousRevision: 0,
    rollbackAt,
    loadMs: null,
    problem: null,
  });
  const record = (...hosts: RolloutHost[]): RolloutRecord => ({
    rolloutId: 'r',
    planId: 'p',
    transactionId: 'r',
    startedAt: 1,
    confirmWithinSeconds: 60,
    hosts,
    generations: {},
  });
  const stateOf = (...states: RolloutHost['state'][]): string => rolloutOf(record(...states.map((state) => host(state))), null).state;

  it('waits as long as one host waits, and is mixed when hosts ended differently', () => {
    expect([
      stateOf('applying', 'pending'),
      stateOf('pending', 'failed'),
      stateOf('confirmed', 'confirmed'),
      stateOf('rolled-back', 'rolled-back'),
      stateOf('failed', 'unreachable'),
      stateOf('confirmed', 'failed'),
      stateOf('confirmed', 'rolled-back'),
    ]).toEqual(['applying', 'pending', 'confirmed', 'rolled-back', 'failed', 'mixed', 'mixed']);
    expect(rolloutOf(record(host('pending')), 'undoing').state).toBe('undoing');
  });

  it('counts down to the first host that would roll back', () => {
    expect(rolloutOf(record(host('pending', 90), host('pending', 70), host('confirmed', 10)), null).rollbackAt).toBe(70);
    expect(rolloutOf(record(host('confirmed')), null).rollbackAt).toBeNull();
  });

  it('is open while a host that does not answer may still tell, and active only while somebody must decide', () => {
    expect([isOpen(record(host('unreachable'))), isActive(record(host('unreachable'))), isOpen(record(host('confirmed')))]).toEqual([
      true,
      false,
      false,
    ]);
    expect(afterRestart(record(host('applying'), host('pending'))).hosts.map(({ state }) => state)).toEqual(['unreachable', 'pending']);
    expect(withHosts(record(host('pending')), new Map([['pending', { state: 'confirmed' }]])).hosts[0]?.state).toBe('confirmed');
  });
});
