import { readFileSync, readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { rpcAccess } from '../../proto/gen/access.ts';
import { accessResources, accessVerbs } from '../../proto/model/access/scope.ts';

const scopes = accessResources.flatMap((resource) => accessVerbs.map((verb) => `${resource}:${verb}`));
const folder = new URL('../../proto/nest/v1/', import.meta.url);

/** Every rpc in the proto files, found without the generator. */
const rpcs = readdirSync(folder)
  .filter((name) => name.endsWith('.proto'))
  .flatMap((name) => {
    let service = '';
    return readFileSync(new URL(name, folder), 'utf8')
      .split('\n')
      .flatMap((line) => {
        service = /^service (\w+) /.exec(line)?.[1] ?? service;
        const rpc = /^ {2}rpc (\w+)\(/.exec(line)?.[1];
        return rpc === undefined ? [] : [{ path: `/nest.v1.${service}/${rpc}`, isStream: line.includes('stream ') }];
      });
  });

describe('access options', () => {
  it('exist for every rpc and for no other', () => {
    expect(rpcs.length).toBeGreaterThan(10);
    expect(Object.keys(rpcAccess).sort()).toEqual(rpcs.map(({ path }) => path).sort());
  });

  it('name a scope of the form resource:verb, and only enrolment and the proof of who one is are public', () => {
    for (const [path, access] of Object.entries(rpcAccess)) {
      const isPublic = path.startsWith('/nest.v1.EnrollmentService/') || path === '/nest.v1.SessionService/Authenticate';
      if (isPublic) expect(access.scope).toBe('public');
      else expect(scopes, path).toContain(access.scope);
    }
  });

  it('bound the deadline of every unary rpc', () => {
    const streams = new Set(rpcs.flatMap(({ path, isStream }) => (isStream ? [path] : [])));
    for (const [path, access] of Object.entries(rpcAccess)) {
      expect(access.maxDeadlineMs > 0, path).toBe(!streams.has(path));
    }
  });
});
