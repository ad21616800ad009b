import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { FleetPlan, HostPlan } from '../../bridge/model.ts';
import { createManualClock } from '../../lib/manual-clock.ts';
import { systemRandom } from '../../lib/api.ts';
import { openFleetCache } from '../cache/sqlite-fleet-cache.ts';
import type { FleetCache } from '../cache/fleet-cache.ts';
import { HostRoster } from '../hosts/host-roster.ts';
import { GroupBook, groupsMax } from './group-book.ts';
import { groupPlanOf } from './group-plan.ts';

let folder: string;
let cache: FleetCache;
let roster: HostRoster;
let book: GroupBook;
const idOf = (index: number): string => `01J${String(index).padStart(23, '0')}`;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'nest-group-'));
  cache = openFleetCache(join(folder, 'fleet.sqlite'), 0).cache;
  const clock = createManualClock();
  for (let index = 0; index < 4; index += 1)
    cache.putHost({
      hostId: idOf(index),
      name: `edge-${String(index)}`,
      address: '192.0.2.1',
      port: index + 1,
      labels: [index % 2 === 0 ? 'site=ams1' : 'site=fra2'],
      spkiSha256: '',
      certificateEndsAt: 0,
      enrolledAt: 0,
    });
  roster = new HostRoster({ cache, clock, random: systemRandom, consoleVersion: '0.0.0', report: () => undefined });
  book = new GroupBook({ cache, roster, clock });
});
afterEach(() => {
  cache.close();
  rmSync(folder, { recursive: true });
});

describe('the groups of a console', () => {
  it('follow their rule as hosts are labelled, come and go, and stay when the console is opened again', async () => {
    book.put({ name: 'ams', about: 'Amsterdam', members: { rule: 'site:ams1' } });
    book.put({ name: 'pair', members: { hostIds: [idOf(1), idOf(2), idOf(1)] } });
    expect(book.list()).toMatchObject([
      { name: 'ams', about: 'Amsterdam', rule: 'site:ams1', hostIds: [idOf(0), idOf(2)], missing: 0 },
      { name: 'pair', rule: null, hostIds: [idOf(1), idOf(2)], missing: 0 },
    ]);
    roster.relabel(idOf(1), ['site=ams1']);
    await roster.remove(idOf(2));
    expect(book.list()).toMatchObject([{ hostIds: [idOf(0), idOf(1)] }, { hostIds: [idOf(1)], missing: 1 }]);
    book.put({ name: 'ams', members: { rule: 'site:fra2' } });
    const again = openFleetCache(join(folder, 'fleet.sqlite'), 0).cache;
    expect([again.record('group', 'ams'), again.record('group', 'pair')]).toMatchObject([
      { about: 'Amsterdam', rule: 'site:fra2' },
      { name: 'pair' },
    ]);
    again.close();
    book.remove('pair');
    expect(book.list().map(({ name }) => name)).toEqual(['ams']);
  });

  it('are refused with a code: a bad rule, unknown hosts, nothing, no such group, too many', () => {
    const refused = (work: () => unknown, code: string): void => expect(work).toThrow(expect.objectContaining({ code }));
    refused(() => book.put({ name: 'a', members: { rule: 'site:' } }), 'QUERY_INVALID');
    refused(() => book.put({ name: 'a', members: { rule: ' ' } }), 'QUERY_INVALID');
    refused(() => book.put({ name: 'a', members: { rule: 'group:b' } }), 'QUERY_INVALID');
    refused(() => book.put({ name: 'a', members: { hostIds: [idOf(9)] } }), 'HOST_UNKNOWN');
    refused(() => book.put({ name: 'a', members: { hostIds: [] } }), 'INPUT_INVALID');
    refused(() => book.get('a'), 'NOT_FOUND');
    refused(() => book.remove('a'), 'NOT_FOUND');
    const content = { name: 'g1', about: '', rule: null, hostIds: [], changedAt: 0 };
    cache.putRecord('group', 'g1', { at: 0, content });
    const records = <Content>(): readonly Content[] => Array.from({ length: groupsMax }, () => content as Content);
    const full = new GroupBook({ cache: { ...cache, records }, roster, clock: createManualClock() });
    refused(() => full.put({ name: 'a', members: { rule: 'site:x' } }), 'LIMIT_REACHED');
    expect(full.put({ name: 'g1', members: { rule: 'site:fra2' } }).hostIds).toEqual([idOf(1), idOf(3)]);
  });

  it('show a rule that is not understood any more, beside the others', () => {
    cache.putRecord('group', 'old', { at: 0, content: { name: 'old', about: '', rule: 'state:sideways', hostIds: [], changedAt: 0 } });
    book.put({ name: 'ams', members: { rule: 'site:ams1' } });
    expect(book.list()).toMatchObject([
      { name: 'ams', problem: null },
      { name: 'old', hostIds: [], problem: expect.stringContaining('is no state') },
    ]);
  });
});

describe('the plan of a group', () => {
  const host = (index: number, part: Partial<HostPlan>): HostPlan => ({
    hostId: idOf(index),
    hostName: `edge-${String(index)}`,
    problem: null,
    planHash: 'x',
    baseRevision: 1,
    diff: [{ kind: 'added', text: 'a' }],
    problems: [],
    impact: null,
    managementReachable: true,
    canApply: true,
    cannotApplyReason: null,
    tables: null,
    ...part,
  });
  const plan = (hosts: readonly HostPlan[]): FleetPlan => ({
    planId: 'p',
    createdAt: 0,
    expiresAt: 1,
    hosts,
    replayed: 5,
    unchanged: 1,
    cut: 4,
    cutLive: 2,
    newlyAllowed: 3,
  });

  it('says each outcome, difference and problem once', () => {
    const warning = { code: 'PORT_SHADOWED', severity: 'warning', path: 'mappings[0]', message: 'Never reached.' } as const;
    const summed = groupPlanOf(
      'ams',
      plan([
        host(0, { problems: [warning] }),
        host(1, { diff: [{ kind: 'same', text: 'a' }] }),
        host(2, { problems: [warning], managementReachable: false }),
        host(3, { problem: { code: 'HOST_UNREACHABLE', message: 'No answer.' }, canApply: false, diff: [] }),
        host(4, { problem: { code: 'SCOPE_MISSING', message: 'Not allowed.' }, canApply: false, diff: [] }),
        host(5, {
          canApply: false,
          problems: [{ ...warning, severity: 'error', message: 'Too many.' }],
          diff: [{ kind: 'removed', text: 'b' }],
        }),
      ]),
    );
    expect(summed).toMatchObject({
      outcomes: { changes: 2, same: 1, refused: 2, away: 1 },
      differences: [{ hostNames: ['edge-0', 'edge-2'] }, { hostNames: ['edge-5'] }],
      rest: 0,
      problems: [
        { message: 'Never reached.', hostNames: ['edge-0', 'edge-2'] },
        { message: 'Too many.', hostNames: ['edge-5'] },
      ],
      cutOff: ['edge-2'],
      measured: 0,
      cut: 4,
    });
    expect(summed.hosts.map(({ outcome, code }) => [outcome, code])).toEqual([
      ['changes', null],
      ['same', null],
      ['changes', null],
      ['away', 'HOST_UNREACHABLE'],
      ['refused', 'SCOPE_MISSING'],
      ['refused', 'PORT_SHADOWED'],
    ]);
  });

  it('keeps the largest differences when every host has its own', () => {
    const hosts = Array.from({ length: 25 }, (_, index) => host(index, { diff: [{ kind: 'added', text: String(Math.max(index, 4)) }] }));
    const { differences, rest } = groupPlanOf('many', plan(hosts));
    expect([differences.length, rest, differences[0]?.hostNames.length]).toEqual([20, 1, 5]);
  });
});
