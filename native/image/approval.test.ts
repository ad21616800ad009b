import { describe, expect, it } from 'vitest';
import { approvalProblems, isSameRequest, parsePolicy, policyInForce, validatePolicy, withApproval } from './api.ts';
import type { Policy } from './api.ts';

const nowMs = Date.UTC(2030, 0, 1);
const request = { justification: 'a migration', requestedBy: 'operator/anna' };
const approved = { ...request, approvedBy: 'operator/bert', approvedAt: '2029-12-31T12:00:00Z' };
const mapping = (name: string, approval?: object, fields: object = {}) => ({
  name,
  sources: ['any'],
  destinations: ['any'],
  protocols: ['tcp'],
  ports: ['443'],
  action: 'allow',
  priority: 1,
  ...(approval === undefined ? {} : { approval }),
  ...fields,
});
const documentOf = (...mappings: object[]) => ({ apiVersion: 'nest/v1', kind: 'Policy', defaultAction: 'deny', services: [], mappings });
const policyOf = (...mappings: object[]): Policy => parsePolicy(documentOf(...mappings));
const codesOf = (before: Policy | undefined, after: Policy, author: string | null) =>
  approvalProblems(before, after, author).map(({ path, code }) => `${path} ${code}`);

describe('a policy at a moment', () => {
  it('withholds mappings that wait for an approval or whose time is over, and tells the next end', () => {
    const policy = policyOf(
      mapping('plain'),
      mapping('waits', request),
      mapping('lives', { ...approved, expiresAt: '2030-01-01T01:00:00Z' }),
      mapping('over', { ...approved, expiresAt: '2030-01-01T00:00:00Z' }),
      mapping('later', { ...approved, expiresAt: '2030-01-02T00:00:00+02:00' }),
      mapping('for-ever', approved),
    );
    const { policy: inForce, withheld, nextEndMs } = policyInForce(policy, nowMs);
    expect(inForce.mappings.map(({ name }) => name)).toEqual(['plain', 'lives', 'later', 'for-ever']);
    expect(withheld).toEqual([
      { mapping: 'waits', why: 'waiting', expiresAtMs: null },
      { mapping: 'over', why: 'ended', expiresAtMs: nowMs },
    ]);
    expect(nextEndMs).toBe(nowMs + 3_600_000);
    const ended = policyInForce(policy, nowMs, (name) => name === 'lives');
    expect(ended.withheld.map(({ mapping: name }) => name)).toEqual(['waits', 'lives', 'over']);
    const plain = policyOf(mapping('plain'));
    expect(policyInForce(plain, nowMs).policy).toBe(plain);
  });

  it('warns of both', () => {
    const warned = validatePolicy(
      documentOf(mapping('waits', request), mapping('over', { ...approved, expiresAt: '2030-01-01T00:00:00Z' })),
      nowMs,
    );
    expect(warned.map(({ path, code }) => `${path} ${code}`)).toEqual(
      expect.arrayContaining(['mappings[0].approval APPROVAL_AWAITED', 'mappings[1].approval.expiresAt APPROVAL_ENDED']),
    );
  });
});

describe('the document', () => {
  it('refuses an approval that is not whole', () => {
    const codes = (approval: object) => validatePolicy(documentOf(mapping('web', approval))).map(({ path, code }) => `${path} ${code}`);
    expect(codes({ ...request, justification: ' ' })).toEqual(['mappings[0].approval.justification APPROVAL_TEXT']);
    expect(codes({ ...request, requestedBy: 'anna' })).toEqual(['mappings[0].approval.requestedBy APPROVAL_PERSON']);
    expect(codes({ ...request, expiresAt: 'tomorrow' })).toEqual(['mappings[0].approval.expiresAt EXPIRES_INVALID']);
    expect(codes({ ...request, aproved: true })[0]).toContain('KEY_UNKNOWN');
  });
});

describe('who may write what', () => {
  it('lets nobody write an approval, and nobody ask in the name of another', () => {
    expect(codesOf(undefined, policyOf(mapping('web', approved)), 'operator/anna')).toEqual([
      'mappings[0].approval.approvedBy APPROVAL_NOT_GIVEN',
    ]);
    expect(codesOf(undefined, policyOf(mapping('web', request)), 'operator/bert')).toEqual([
      'mappings[0].approval.requestedBy APPROVAL_REQUESTER',
    ]);
    expect(codesOf(undefined, policyOf(mapping('web', request)), 'operator/anna')).toEqual([]);
    expect(codesOf(undefined, policyOf(mapping('web', request)), null)).toEqual([]);
  });

  it('carries what the host has already, and asks anew for what has changed', () => {
    const before = policyOf(mapping('web', approved), mapping('waits', request));
    expect(codesOf(before, before, 'operator/carla')).toEqual([]);
    expect(codesOf(before, policyOf(mapping('web', approved, { ports: ['1-65535'] })), 'operator/bert')).toEqual([
      'mappings[0].approval.approvedBy APPROVAL_NOT_GIVEN',
    ]);
    expect(codesOf(before, policyOf(mapping('waits', { ...request, expiresAt: '2031-01-01T00:00:00Z' })), 'operator/bert')).toEqual([
      'mappings[0].approval.requestedBy APPROVAL_REQUESTER',
    ]);
    const [web] = before.mappings;
    const [bare] = policyOf(mapping('web', request)).mappings;
    expect(web !== undefined && bare !== undefined && isSameRequest(web, bare)).toBe(true);
  });

  it('has another operator approve than the one who asked or brought the request', () => {
    const approve = (approver: string, authors: readonly string[], approval: object = request) =>
      parsePolicy(JSON.parse(withApproval(policyOf(mapping('web', approval)), { mapping: 'web', approver, authors, nowMs })));
    expect(approve('operator/bert', ['operator/carla']).mappings[0]?.approval).toEqual({
      ...request,
      approvedBy: 'operator/bert',
      approvedAt: '2030-01-01T00:00:00Z',
    });
    const code = (work: () => unknown): unknown => {
      try {
        return work();
      } catch (error) {
        return (error as { code: string }).code;
      }
    };
    expect(code(() => approve('operator/anna', []))).toBe('APPROVAL_REFUSED');
    expect(code(() => approve('operator/carla', ['operator/carla']))).toBe('APPROVAL_REFUSED');
    expect(code(() => approve('operator/bert', [], approved))).toBe('APPROVAL_REFUSED');
    expect(code(() => approve('operator/bert', [], { ...request, expiresAt: '2029-01-01T00:00:00Z' }))).toBe('APPROVAL_REFUSED');
    expect(code(() => withApproval(policyOf(), { mapping: 'web', approver: 'operator/bert', authors: [], nowMs }))).toBe('NOT_FOUND');
  });
});
