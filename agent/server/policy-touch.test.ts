import { describe, expect, it } from 'vitest';
import { refuseOtherMappings, touchOf } from './policy-touch.ts';

const service = (name: string, address = '192.0.2.1'): object => ({ name, addresses: [address] });
const mapping = (name: string, destination: string, priority = 10): object => ({
  name,
  sources: ['any'],
  destinations: [destination],
  protocols: ['tcp'],
  ports: ['443'],
  action: 'allow',
  priority,
});
const policy = (parts: {
  readonly services?: readonly object[];
  readonly mappings?: readonly object[];
  readonly [key: string]: unknown;
}): string => JSON.stringify({ apiVersion: 'nest/v1', kind: 'Policy', defaultAction: 'deny', services: [], mappings: [], ...parts });
const before = policy({ services: [service('web'), service('db')], mappings: [mapping('shop', 'web'), mapping('store', 'db')] });

describe('what a change of a policy reaches', () => {
  it('are the mappings that come, go or differ, however they are spelt', () => {
    const after = policy({
      services: [service('web'), service('db')],
      mappings: [mapping('new', 'web'), mapping('shop', 'web', 20)],
    });
    expect(touchOf(before, after)).toEqual({ mappings: ['new', 'shop', 'store'], others: [] });
    const reordered = JSON.stringify(Object.fromEntries(Object.entries(JSON.parse(before) as object).toReversed()), undefined, 2);
    expect(touchOf(before, reordered)).toEqual({ mappings: [], others: [] });
  });

  it('are the mappings of a service that changes, and no other', () => {
    const mappings = [mapping('shop', 'web'), mapping('store', 'db')];
    expect(touchOf(before, policy({ services: [service('web', '192.0.2.9'), service('db')], mappings }))).toEqual({
      mappings: ['shop'],
      others: [],
    });
    expect(touchOf(before, policy({ services: [service('web'), service('db'), service('spare')], mappings }))).toEqual({
      mappings: [],
      others: [],
    });
  });

  it('are the parts that belong to no mapping', () => {
    const parts = { services: [service('web'), service('db')], mappings: [mapping('shop', 'web'), mapping('store', 'db')] };
    expect(touchOf(before, policy({ ...parts, defaultAction: 'allow', denyLists: [{ name: 'feed' }] })).others).toEqual([
      'the default action',
      'deny lists',
    ]);
    expect(touchOf(before, 'no policy').mappings).toEqual(['shop', 'store']);
    expect(touchOf(before, 'no policy').others.length).toBeGreaterThan(0);
  });
});

describe('who holds single mappings', () => {
  const holding = (...names: readonly string[]) => ({ isHeldFor: (name: string) => names.includes(name) });
  const after = policy({ services: [service('web'), service('db')], mappings: [mapping('shop', 'web', 20), mapping('store', 'db', 30)] });

  it('changes those and is told which others it would reach', () => {
    expect(() => refuseOtherMappings(holding('shop', 'store'), { before, after })).not.toThrow();
    expect(() => refuseOtherMappings(holding(''), { before, after: policy({ defaultAction: 'allow' }) })).not.toThrow();
    expect(() => refuseOtherMappings(holding('shop'), { before, after })).toThrow(
      expect.objectContaining({ code: 'SCOPE_MISSING', message: expect.stringContaining('mapping store') as string }) as Error,
    );
    expect(() => refuseOtherMappings(holding('shop'), { before, after })).not.toThrow(/mapping shop/);
  });
});
