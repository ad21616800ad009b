import fc from 'fast-check';
import { performance } from 'node:perf_hooks';
import { describe, expect, it } from 'vitest';
import { AccessBody } from '../../gen/nest/v1/access.ts';
import { compileAccess } from './decide.ts';
import { holds, rightsOf } from './grant.ts';
import { parseLevel } from './level.ts';
import { accessResources, accessVerbs, parseScope } from './scope.ts';

const agentId = '01JZ0000000000000000000001';
const otherId = '01JZ0000000000000000000002';
const scopes = accessResources.flatMap((resource) => accessVerbs.map((verb) => `${resource}:${verb}`));
const subjects = ['operator/ada', 'operator/bob', 'client/backup', 'operator/nobody'];
const levels = ['*', 'cluster/ams', 'cluster/fra', `host/${agentId}`, `host/${otherId}`, 'mapping/web'];

const bodies = fc
  .record({
    roles: fc.uniqueArray(
      fc.record({
        name: fc.constantFrom('one', 'two', 'three'),
        scopes: fc.array(fc.constantFrom(...scopes, '*:read', 'dbgw:*', '*:*'), { maxLength: 4 }),
        title: fc.constant(''),
      }),
      { selector: ({ name }) => name },
    ),
    bindings: fc.array(
      fc.record({
        id: fc.uuid(),
        subject: fc.constantFrom(...subjects),
        role: fc.constantFrom('one', 'two', 'three', 'viewer', 'maintainer', 'admin'),
        level: fc.constantFrom(...levels),
      }),
      { maxLength: 8 },
    ),
    locks: fc.array(
      fc.record({
        id: fc.uuid(),
        target: fc.constantFrom(...subjects, `device/${'ab'.repeat(32)}`),
        reason: fc.constant(''),
        sinceMs: fc.constant(1n),
      }),
      { maxLength: 2 },
    ),
  })
  .map((part) =>
    AccessBody.fromPartial({
      ...part,
      clusters: [
        { id: 'ams', title: '', agentIds: [agentId] },
        { id: 'fra', title: '', agentIds: [otherId] },
      ],
    }),
  );

describe('a decision', () => {
  it('is what the bindings say, for every caller, scope and mapping', () => {
    fc.assert(
      fc.property(
        bodies,
        fc.constantFrom(...subjects),
        fc.tuple(fc.constantFrom(...scopes), fc.constantFrom('', 'web', 'shop')),
        (body, subject, [scope, mapping]) => {
          const asked = parseScope(scope);
          const places = [`host/${agentId}`, ...(mapping === '' ? [] : [`mapping/${mapping}`])].flatMap((text) => parseLevel(text) ?? []);
          const isHeld = places.some((level) => asked !== null && holds(rightsOf(body), subject, { scope: asked, level }));
          const isLocked = body.locks.some(({ target }) => target === subject);
          expect(compileAccess(body, agentId).decide({ subject, device: '' }, scope, mapping)).toBe(
            isLocked ? 'REVOKED' : isHeld ? null : 'SCOPE_MISSING',
          );
        },
      ),
    );
  });

  it('never allows a locked device, an unknown subject or an unknown scope', () => {
    fc.assert(
      fc.property(bodies, fc.constantFrom(...subjects), fc.string(), (body, subject, text) => {
        const access = compileAccess(body, agentId);
        const locked = compileAccess({ ...body, locks: [{ id: 'l', target: 'device/11', reason: '', sinceMs: 1n }] }, agentId);
        expect(locked.decide({ subject, device: '11' }, 'hosts:read')).toBe('REVOKED');
        expect(access.decide({ subject: text, device: '' }, 'hosts:read')).not.toBeNull();
        if (!scopes.includes(text)) expect(access.decide({ subject, device: '' }, text)).not.toBeNull();
      }),
    );
  });

  it('is quick: the rate is printed', () => {
    const people = Array.from({ length: 200 }, (_, index) => `operator/p${String(index)}`);
    const body = AccessBody.fromPartial({
      operators: people.map((subject) => ({ subject, title: '' })),
      roles: Array.from({ length: 40 }, (_, index) => ({
        name: `r${String(index)}`,
        scopes: ['hosts:read', 'mappings:write', 'flows:*'],
        title: '',
      })),
      clusters: [{ id: 'ams', title: '', agentIds: [agentId] }],
      bindings: Array.from({ length: 1200 }, (_, index) => ({
        id: `b${String(index)}`,
        subject: people[index % 200] ?? '',
        role: `r${String(index % 40)}`,
        level: levels[index % levels.length] ?? '*',
      })),
      locks: [{ id: 'l', target: 'operator/p7', reason: '', sinceMs: 1n }],
    });
    const compileStart = performance.now();
    const access = compileAccess(body, agentId);
    const compileMs = performance.now() - compileStart;
    const callers = people.map((subject) => ({ subject, device: 'cd'.repeat(32) }));
    const nobody = { subject: '', device: '' };
    const count = 400_000;
    let allowed = 0;
    const start = performance.now();
    for (let index = 0; index < count; index++)
      if (access.decide(callers[index % 200] ?? nobody, scopes[index % scopes.length] ?? '', index % 3 === 0 ? 'web' : '') === null)
        allowed++;
    const seconds = (performance.now() - start) / 1000;
    console.log(
      `access decisions: ${(count / seconds / 1e6).toFixed(2)} M/s with 200 operators, 40 roles, 1,200 bindings; compiled in ${compileMs.toFixed(1)} ms`,
    );
    expect(allowed).toBeGreaterThan(0);
    expect(allowed).toBeLessThan(count);
  });
});
