import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { coversLevel, parseLevel } from './level.ts';
import { builtInRoles } from './role.ts';
import { accessResources, accessVerbs, covers, expandScopes, parseScope } from './scope.ts';
import type { ScopePattern } from './scope.ts';

const resource = fc.constantFrom('*', ...accessResources, 'future.thing');
const patterns: fc.Arbitrary<ScopePattern> = fc.record({ resource, verb: fc.constantFrom('*' as const, ...accessVerbs) });
const scope = (text: string): ScopePattern => parseScope(text) as ScopePattern;

describe('a scope', () => {
  it('is read, or refused when it is none', () => {
    expect(parseScope('dbgw.secrets:read')).toEqual({ resource: 'dbgw.secrets', verb: 'read' });
    for (const text of ['', 'hosts', 'hosts:', ':read', 'hosts:own', 'Hosts:read', 'hosts:read ', '*', '**:read', 'hosts.*:read', 'a:read'])
      expect(parseScope(text), text).toBeNull();
  });

  it.each([
    ['mappings:admin', 'mappings:read', true],
    ['mappings:write', 'mappings:admin', false],
    ['*:read', 'flows:read', true],
    ['*:read', 'flows:write', false],
    ['mappings:*', 'mappings:admin', true],
    ['mappings:*', 'hosts:read', false],
    ['dbgw:*', 'dbgw.secrets:read', true],
    ['dbgw:admin', 'dbgw.secrets:read', false],
    ['dbgw:admin', 'dbgw:*', false],
    ['dbgw:*', 'dbgwx:read', false],
    ['*:admin', '*:*', false],
    ['*:*', '*:*', true],
  ])('%s covers %s: %s', (held, asked, expected) => {
    expect(covers(scope(held), scope(asked))).toBe(expected);
  });

  it('covers itself, and what is covered by what it covers; concrete scopes agree', () => {
    fc.assert(
      fc.property(patterns, patterns, patterns, (a, b, c) => {
        expect(covers(a, a)).toBe(true);
        if (covers(a, b) && covers(b, c)) expect(covers(a, c)).toBe(true);
        if (!covers(a, b)) return;
        const [wide, narrow] = [a, b].map(({ resource: name, verb }) => expandScopes([`${name}:${verb}`]));
        for (const one of narrow ?? []) expect(wide?.has(one)).toBe(true);
      }),
    );
  });

  it('is never gained by an unknown word', () => {
    fc.assert(fc.property(fc.string(), (text) => (parseScope(text) === null ? expandScopes([text]).size === 0 : true)));
  });
});

describe('built-in roles', () => {
  it('look, change and govern, each more than the one before', () => {
    const [admin, maintainer, viewer] = builtInRoles.map(({ scopes }) => expandScopes(scopes));
    expect(admin?.size).toBe(accessResources.length * accessVerbs.length);
    for (const one of viewer ?? []) expect(maintainer?.has(one)).toBe(true);
    expect(viewer?.has('dbgw.secrets:read')).toBe(false);
    expect([...(viewer ?? [])].every((one) => one.endsWith(':read'))).toBe(true);
    expect(maintainer?.has('mappings:write')).toBe(true);
    for (const one of ['access:write', 'certs:write', 'audit:write', 'license:write', 'hosts:admin'])
      expect(maintainer?.has(one), one).toBe(false);
  });
});

describe('a level', () => {
  const agentId = '01JZ0000000000000000000001';
  const members = new Map([['ams', new Set([agentId])]]);
  it.each([
    ['*', 'mapping/web', true],
    ['*', '*', true],
    ['cluster/ams', `host/${agentId}`, true],
    ['cluster/fra', `host/${agentId}`, false],
    [`host/${agentId}`, 'cluster/ams', false],
    [`host/${agentId}`, '*', false],
    ['mapping/web', 'mapping/web', true],
    ['mapping/web', 'mapping/shop', false],
  ])('%s holds at %s: %s', (held, asked, expected) => {
    const [a, b] = [parseLevel(held), parseLevel(asked)];
    if (a === null || b === null) throw new Error('no level');
    expect(coversLevel(a, b, members)).toBe(expected);
  });

  it('is refused when it is none', () => {
    for (const text of ['', 'cluster/', 'host/ams', 'mapping/', 'mapping/a b', 'fleet', '**']) expect(parseLevel(text), text).toBeNull();
  });
});
