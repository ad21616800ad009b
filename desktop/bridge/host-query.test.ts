import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseHostQuery } from './host-grammar.ts';
import type { HostQuery } from './host-grammar.ts';
import { changedHostLabels, checkedHostLabels } from './host-label.ts';
import { compileHostQuery, hostScope, hostsMatching, parseHostRule, unknownLabelKeys } from './host-query.ts';
import type { HostFacts, HostScope } from './host-query.ts';
import { hostFacts, hostQueries } from './test-host-query.ts';

const blank: HostFacts = {
  hostId: 'A',
  name: 'edge-1',
  address: '198.18.0.7',
  labels: [],
  state: 'healthy',
  pendingUntil: null,
  cluster: null,
  kernel: null,
  agentVersion: null,
  engine: null,
  generation: null,
  packetsPerSecond: null,
  dropsPerSecond: null,
  cpuBusy: null,
  flows: null,
  revision: null,
  certificateEndsAt: null,
};
const scope = hostScope(
  [
    { name: 'a', hostIds: ['A'] },
    { name: 'edge-1', hostIds: ['A', 'B'] },
  ],
  0,
);
const fits = (text: string, host: Partial<HostFacts>): boolean => compileHostQuery(parseHostQuery(text))({ ...blank, ...host }, scope);

/** The same meaning written down once more, as plainly as possible: expressions instead of pieces, numbers instead of lists. */
const naive = (query: HostQuery, host: HostFacts, { now, groups }: HostScope): boolean => {
  const like = (text: string | null, pattern: string, isPart: boolean): boolean => {
    if (text === null) return false;
    const source = Array.from(pattern, (letter) => (letter === '*' ? '[^]*' : letter.replace(/[\\^$.*+?()[\]{}|/-]/, '\\$&'))).join('');
    return new RegExp(isPart && !pattern.includes('*') ? source.toLowerCase() : `^(?:${source.toLowerCase()})$`).test(text.toLowerCase());
  };
  const equalled = (text: string): string => text.trim().replace(/^([A-Za-z][A-Za-z0-9_.-]*):(?=[^])/, '$1=');
  const holds = (order: number, sign: string): boolean =>
    (order > 0 && sign.includes('>')) || (order < 0 && sign.includes('<')) || (order === 0 && sign.includes('='));
  switch (query.kind) {
    case 'all':
      return true;
    case 'and':
      return !query.nodes.some((node) => !naive(node, host, { now, groups }));
    case 'or':
      return query.nodes.filter((node) => naive(node, host, { now, groups })).length > 0;
    case 'not':
      return !naive(query.node, host, { now, groups });
    case 'text':
      return [host.name, host.address, ...host.labels].some((text) => like(text, query.value, true));
    case 'field': {
      const { key, value } = query;
      const pairs = host.labels.map((label) => {
        const at = label.search(/[=:]/);
        const isPair = at > 0 && at < label.length - 1 && /^[A-Za-z][A-Za-z0-9_.-]*$/.test(label.slice(0, at));
        const whole = equalled(label);
        return isPair ? { whole, key: label.slice(0, at), value: label.slice(at + 1) } : { whole, key: label, value: null };
      });
      const asked = equalled(value);
      if (key === 'name') return like(host.name, value, true);
      if (key === 'address') return like(host.address, value, true);
      if (key === 'engine') return like(host.engine, value, true);
      if (key === 'gen') return like(host.generation, value, true);
      if (key === 'kernel') return like(host.kernel, value, true);
      if (key === 'agent') return like(host.agentVersion, value, true);
      if (key === 'cluster') return like(host.cluster, value, false);
      if (key === 'state') return host.state === value || (value === 'pending' && host.pendingUntil !== null);
      if (key === 'group') return [...groups].some(([name, members]) => like(name, value, false) && members.has(host.hostId));
      if (key === 'label') return pairs.some((pair) => like(pair.whole, asked, false) || like(pair.key, asked, false));
      return pairs.some((pair) => pair.key.toLowerCase() === key && like(pair.value, value, false));
    }
    default: {
      const { key, sign, value } = query;
      if (key === 'kernel' || key === 'agent') {
        const found = /\d+(\.\d+)*/.exec((key === 'kernel' ? host.kernel : host.agentVersion) ?? '')?.[0];
        if (found === undefined) return false;
        const length = value.split('.').length;
        const figure = (text: string): number =>
          Array.from({ length }, (_, index) => Number(text.split('.')[index] ?? 0)).reduce((sum, part) => sum * 1000 + part, 0);
        return holds(figure(found) - figure(value), sign);
      }
      const days = host.certificateEndsAt === null ? null : (host.certificateEndsAt - now) / 86_400_000;
      const figures: Record<string, number | null> = {
        packets: host.packetsPerSecond,
        drops: host.dropsPerSecond,
        cpu: host.cpuBusy === null ? null : host.cpuBusy * 100,
        flows: host.flows,
        revision: host.revision,
        cert: days,
      };
      const figure = figures[key] ?? null;
      const limits: Record<string, number> = { '0': 0, '1': 1, '30': 30, '1.5k': 1_500, '50%': 50, '2m': 2e6 };
      return figure !== null && holds(figure - (limits[value] ?? Number.NaN), sign);
    }
  }
};

describe('a query as a test of hosts', () => {
  it('means the same as a plain reading of it, for any query and host', () => {
    fc.assert(
      fc.property(hostQueries, fc.array(hostFacts, { minLength: 1, maxLength: 5 }), (query, hosts) => {
        const test = compileHostQuery(query);
        return hosts.every((host) => test(host, scope) === naive(query, host, scope));
      }),
      { numRuns: 2_000 },
    );
  });

  it('compares versions by as many parts as are written', () => {
    const kernel = { kernel: '6.1.115-amd64' };
    expect(
      ['kernel=6.1', 'kernel:6.1', 'kernel>=6.1', 'kernel<=6.1', 'kernel>6', 'kernel>6.1', 'kernel<6.1', 'kernel<6.10'].map((text) =>
        fits(text, kernel),
      ),
    ).toEqual([true, true, true, true, false, false, false, true]);
    expect([fits('kernel>=0', { kernel: null }), fits('-kernel>=0', { kernel: null })]).toEqual([false, true]);
  });

  it('finds labels by key and value, whole or by *, however they were written', () => {
    const host = { labels: ['site=ams1', 'role:Edge', 'lab'] };
    expect(
      ['site:ams1', 'site=AMS1', 'role:edge', 'site:*', 'site:ams*', 'label:lab', 'label:site', 'label:site=ams1'].filter(
        (text) => !fits(text, host),
      ),
    ).toEqual([]);
    expect(['site:ams', 'lab:*', 'label:ams1', 'rack:*'].filter((text) => fits(text, host))).toEqual([]);
  });

  it('counts certificates in days and load in percent', () => {
    const host = { certificateEndsAt: 20 * 86_400_000, cpuBusy: 0.8 };
    expect([fits('cert<30', host), fits('cert<7', host), fits('cpu>=80', host), fits('cpu>80%', host)]).toEqual([true, false, true, false]);
  });

  it('tells groups that are not there, and label keys nobody has', () => {
    expect(hostsMatching([blank], parseHostQuery('group:a'), scope)).toEqual([blank]);
    expect(() => hostsMatching([blank], parseHostQuery('-group:none'), scope)).toThrow(expect.objectContaining({ code: 'NOT_FOUND' }));
    expect(unknownLabelKeys(parseHostQuery('site:x (rack:1 OR name:x)'), [{ labels: ['site=ams1'] }])).toEqual(['rack']);
  });

  it('takes no rule that is empty or names groups', () => {
    for (const rule of ['', 'site:ams1 -group:a'])
      expect(() => parseHostRule(rule)).toThrow(expect.objectContaining({ code: 'QUERY_INVALID' }));
    expect(parseHostRule('site:ams1')).toEqual({ kind: 'field', key: 'site', value: 'ams1' });
  });
});

describe('labels of hosts', () => {
  it('keep one value for a key, in one form', () => {
    expect(changedHostLabels(['site:ams1', 'edge', 'rack=7'], { set: ['site:fra2', 'new'], remove: ['rack'] })).toEqual([
      'edge',
      'site=fra2',
      'new',
    ]);
    expect(changedHostLabels(['site=ams1', 'Edge'], { set: [], remove: ['site:ams1', 'edge', 'gone'] })).toEqual([]);
    expect(checkedHostLabels([' edge ', 'edge', '2001:db8::1'])).toEqual(['edge', '2001:db8::1']);
  });

  it('are refused with what to write', () => {
    const messageOf = (labels: readonly string[]): string => {
      try {
        return String(checkedHostLabels(labels));
      } catch (error) {
        return error instanceof Error ? error.message : '';
      }
    };
    expect(
      [
        [''],
        ['x'.repeat(64)],
        ['a\u0007'],
        ['=x'],
        ['site='],
        ['state=x'],
        ['a=1', 'A=2'],
        Array.from({ length: 17 }, (_, index) => `l${String(index)}`),
      ].map(messageOf),
    ).toEqual([
      'A label is empty: write for instance site=ams1.',
      '“xxxxxxxxxxxxxxxxxxxx…” is too long: a label has at most 63 characters.',
      '“a?” has a control character: write it anew.',
      '“=x” is no label: write key=value, for instance site=ams1, the key of letters, digits, dots, dashes and underscores, and one =.',
      '“site=” is no label: write key=value, for instance site=ams1, the key of letters, digits, dots, dashes and underscores, and one =.',
      '“state” is a word of the search: choose another key, for instance state-name=x.',
      '“a” is said twice: keep one of the two.',
      'A host has at most 16 labels. Take some away.',
    ]);
  });
});
