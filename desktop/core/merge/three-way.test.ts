import { describe, expect, it } from 'vitest';
import type { MergeSide } from '../../bridge/merge-model.ts';
import { mergePolicies } from './three-way.ts';

interface Document {
  readonly defaultAction: string;
  readonly services: readonly Record<string, unknown>[];
  readonly mappings: readonly Record<string, unknown>[];
  readonly denyLists?: readonly Record<string, unknown>[];
}

const service = (name: string, ...addresses: string[]) => ({ name, addresses });
const mapping = (name: string, fields: Record<string, unknown> = {}) => ({
  name,
  sources: ['any'],
  destinations: ['web'],
  protocols: ['tcp'],
  ports: ['443'],
  action: 'allow',
  priority: 100,
  ...fields,
});
const policy = (parts: Partial<Document>): string =>
  JSON.stringify({
    apiVersion: 'nest/v1',
    kind: 'Policy',
    defaultAction: 'deny',
    services: [service('web', '198.18.1.0/24')],
    mappings: [mapping('web')],
    ...parts,
  });

const merge = (...[base, ours, theirs, choices = {}]: [string, string, string, Record<string, MergeSide>?]) => {
  const { policy: text, ...rest } = mergePolicies({ base, ours, theirs, choices });
  return { ...rest, document: JSON.parse(text) as Document };
};

describe('a three-way merge', () => {
  it('takes what one side alone has changed, added or removed, and tells what came from theirs', () => {
    const base = policy({ mappings: [mapping('web'), mapping('old'), mapping('gone')] });
    const ours = policy({ mappings: [mapping('web', { ports: ['443', '8443'] }), mapping('gone'), mapping('mine')] });
    const theirs = policy({
      services: [service('web', '198.18.1.0/24'), service('db', '198.18.2.7')],
      mappings: [mapping('web', { priority: 200 }), mapping('old'), mapping('theirs', { destinations: ['db'] })],
    });
    const { document, conflicts, taken } = merge(base, ours, theirs);
    expect(conflicts).toEqual([]);
    expect(document.services.map(({ name }) => name)).toEqual(['web', 'db']);
    expect(document.mappings).toEqual([
      mapping('web', { ports: ['443', '8443'], priority: 200 }),
      mapping('theirs', { destinations: ['db'] }),
      mapping('mine'),
    ]);
    expect(taken).toEqual([
      { list: 'services', name: 'db', change: 'added', fields: [] },
      { list: 'mappings', name: 'web', change: 'changed', fields: ['priority'] },
      { list: 'mappings', name: 'theirs', change: 'added', fields: [] },
      { list: 'mappings', name: 'gone', change: 'removed', fields: [] },
    ]);
  });

  it('asks where both have changed one field, and does as chosen', () => {
    const base = policy({});
    const ours = policy({ defaultAction: 'allow', mappings: [mapping('web', { priority: 1, ports: ['80'] })] });
    const theirs = policy({ mappings: [mapping('web', { priority: 2, ports: ['80'] })] });
    const open = merge(base, ours, theirs);
    expect(open.document).toMatchObject({ defaultAction: 'allow', mappings: [{ priority: 1, ports: ['80'] }] });
    expect(open.conflicts).toEqual([
      { key: 'mappings/web/priority', list: 'mappings', name: 'web', field: 'priority', base: '100', ours: '1', theirs: '2', choice: null },
    ]);
    const chosen = merge(base, ours, theirs, { 'mappings/web/priority': 'theirs' });
    expect(chosen.document.mappings[0]).toMatchObject({ priority: 2 });
    expect(chosen.conflicts[0]?.choice).toBe('theirs');
  });

  it('asks whole when one side has removed what the other has changed', () => {
    const base = policy({});
    const ours = policy({ mappings: [] });
    const theirs = policy({ mappings: [mapping('web', { priority: 2 })] });
    const key = 'mappings/web/';
    expect(merge(base, ours, theirs)).toMatchObject({ document: { mappings: [] }, conflicts: [{ key, field: null, ours: null }] });
    expect(merge(base, ours, theirs, { [key]: 'theirs' }).document.mappings).toEqual([mapping('web', { priority: 2 })]);
    expect(merge(base, theirs, ours, { [key]: 'ours' }).document.mappings).toEqual([mapping('web', { priority: 2 })]);
    expect(merge(base, theirs, ours, { [key]: 'theirs' }).document.mappings).toEqual([]);
  });

  it('does not take what may be left out for a change, and keeps it as it was written', () => {
    const { ports: _ports, ...plain } = mapping('web');
    const base = policy({ mappings: [plain] });
    const ours = policy({ mappings: [{ ...plain, ports: [] }] });
    const theirs = policy({ mappings: [{ ...plain, priority: 7 }] });
    expect(merge(base, ours, theirs)).toMatchObject({ conflicts: [], document: { mappings: [{ priority: 7, ports: [] }] } });
    expect(merge(base, base, theirs).document.mappings).toEqual([{ ...plain, priority: 7 }]);
  });

  it('takes what both have changed alike, and both have added, without a question', () => {
    const base = policy({});
    const same = policy({
      mappings: [mapping('web', { priority: 5 }), mapping('new')],
      denyLists: [{ name: 'bad', prefixes: ['192.0.2.1'] }],
    });
    expect(merge(base, same, same)).toMatchObject({ conflicts: [], taken: [], document: JSON.parse(same) as object });
    const other = policy({ mappings: [mapping('web', { priority: 5 }), mapping('new', { priority: 9 })] });
    expect(merge(base, same, other).conflicts).toMatchObject([{ key: 'mappings/new/priority', base: null, ours: '100', theirs: '9' }]);
  });

  it('refuses what is not a policy', () => {
    expect(() => merge(policy({}), '{', policy({}))).toThrow(expect.objectContaining({ code: 'POLICY_INVALID' }));
  });
});
