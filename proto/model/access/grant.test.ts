import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AccessBody } from '../../gen/nest/v1/access.ts';
import { errorCodeOf } from '../error.ts';
import { compileAccess } from './decide.ts';
import { checkEscalation } from './grant.ts';
import { accessResources, accessVerbs } from './scope.ts';

const hosts = ['01JZ0000000000000000000001', '01JZ0000000000000000000002'];
const scopes = accessResources.flatMap((resource) => accessVerbs.map((verb) => `${resource}:${verb}`));
const subjects = ['operator/ada', 'operator/bob', 'client/backup'];
const author = 'operator/ada';
const patterns = ['access:write', 'access:admin', 'mappings:write', 'mappings:*', 'dbgw:admin', 'dbgw:*', '*:read', '*:*', 'hosts:read'];

const bodies: fc.Arbitrary<AccessBody> = fc
  .record({
    roles: fc.uniqueArray(
      fc.record({
        name: fc.constantFrom('one', 'two'),
        scopes: fc.array(fc.constantFrom(...patterns), { maxLength: 3 }),
        title: fc.constant(''),
      }),
      {
        selector: ({ name }) => name,
      },
    ),
    bindings: fc.uniqueArray(
      fc.record({
        id: fc.constantFrom('a', 'b', 'c', 'd'),
        subject: fc.constantFrom(...subjects),
        role: fc.constantFrom('one', 'two', 'viewer', 'maintainer', 'admin'),
        level: fc.constantFrom('*', '*', 'cluster/ams', ...hosts.map((id) => `host/${id}`), 'mapping/web'),
      }),
      { selector: ({ id }) => id },
    ),
    locks: fc.array(
      fc.constantFrom(...subjects).map((target) => ({ id: 'l', target, reason: '', sinceMs: 1n })),
      { maxLength: 1 },
    ),
    clusters: fc.subarray(hosts).map((agentIds) => [{ id: 'ams', title: '', agentIds }]),
  })
  .map((part) => AccessBody.fromPartial(part));

/** Who may do what where, as hosts would decide. */
const allowed = (body: AccessBody, subject: string): ReadonlySet<string> =>
  new Set(
    hosts.flatMap((host) => {
      const access = compileAccess(body, host);
      return scopes.flatMap((scope) =>
        ['', 'web', 'shop']
          .filter((mapping) => access.decide({ subject, device: '' }, scope, mapping) === null)
          .map((mapping) => `${host} ${scope} ${mapping}`),
      );
    }),
  );

const verdict = (before: AccessBody, after: AccessBody): string => {
  try {
    checkEscalation(before, after, author);
    return 'allowed';
  } catch (error) {
    return errorCodeOf(error);
  }
};

describe('a change', () => {
  it('that passes gives nobody what neither he nor its author had', () => {
    let passed = 0;
    fc.assert(
      fc.property(bodies, bodies, fc.boolean(), (before, other, isSmall) => {
        // Small changes pass more often than arbitrary ones.
        const after = isSmall ? { ...before, bindings: other.bindings } : other;
        if (verdict(before, after) !== 'allowed') return;
        passed++;
        const mine = allowed({ ...before, locks: [] }, author);
        for (const subject of subjects) {
          const had = allowed(before, subject);
          for (const one of allowed(after, subject)) expect(had.has(one) || mine.has(one), `${subject} gains ${one}`).toBe(true);
        }
      }),
      { numRuns: 400 },
    );
    expect(passed).toBeGreaterThan(10);
  });

  it('by who holds everything always passes', () => {
    const almighty = { id: 'own', subject: author, role: 'admin', level: '*' };
    fc.assert(
      fc.property(bodies, bodies, (before, after) => {
        const governed = { ...before, locks: [], bindings: [...before.bindings, almighty] };
        expect(verdict(governed, after)).toBe('allowed');
      }),
    );
  });

  it.each<[string, Partial<AccessBody>]>([
    ['binds himself as admin', { bindings: [{ id: 'x', subject: author, role: 'admin', level: '*' }] }],
    ['binds a friend beyond his own cluster', { bindings: [{ id: 'x', subject: 'operator/bob', role: 'viewer', level: '*' }] }],
    ['defines a role with more than he has', { roles: [{ name: 'more', scopes: ['certs:admin'], title: '' }] }],
    ['pulls a host into his cluster', { clusters: [{ id: 'ams', title: '', agentIds: hosts }] }],
    ['takes a lock away', { locks: [] }],
    ['makes himself the only owner', { ownerThreshold: 1 }],
  ])('is refused when a cluster admin %s', (_what, change) => {
    const before = AccessBody.fromPartial({
      roles: [{ name: 'local', scopes: ['access:write', 'mappings:*', 'hosts:read'], title: '' }],
      clusters: [{ id: 'ams', title: '', agentIds: hosts.slice(0, 1) }],
      bindings: [{ id: 'own', subject: author, role: 'local', level: 'cluster/ams' }],
      locks: [{ id: 'l', target: 'operator/bob', reason: '', sinceMs: 1n }],
    });
    const { bindings = [], ...rest } = change;
    expect(verdict(before, { ...before, ...rest, bindings: [...before.bindings, ...bindings] })).toBe('ACCESS_INVALID');
    const inside = { id: 'y', subject: 'client/backup', role: 'local', level: 'cluster/ams' };
    expect(verdict(before, { ...before, bindings: [...before.bindings, inside] })).toBe('allowed');
  });
});
