import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { buildWasm } from '../../../build/wasm.ts';
import type { VerdictProgram } from '../../../native/wasm/index.ts';
import type { PolicyRevision } from '../../bridge/model.ts';
import { traceOffline } from './offline-tracer.ts';
import { buildPacket } from './packet-builder.ts';
import { createVerdictProgram } from './verdict-program.ts';

const server = '198.19.1.10';
const virtual = '198.19.1.100';
const client = '198.18.1.10';
const blocked = '198.18.9.9';
const document = (allowWeb: boolean): string =>
  JSON.stringify({
    apiVersion: 'nest/v1',
    kind: 'Policy',
    defaultAction: 'deny',
    services: [
      { name: 'clients', addresses: ['198.18.0.0/16'] },
      { name: 'server', addresses: [server] },
      { name: 'virtual', addresses: [virtual] },
    ],
    mappings: [
      {
        name: 'web',
        sources: ['clients'],
        destinations: ['server'],
        protocols: ['tcp'],
        ports: ['443'],
        action: allowWeb ? 'allow' : 'deny',
        priority: 10,
        rateLimit: { packetsPerSecond: 100, burst: 100, per: 'source' },
      },
      {
        name: 'shop',
        sources: ['any'],
        destinations: ['virtual'],
        protocols: ['tcp'],
        ports: ['80'],
        action: 'balance',
        priority: 20,
        backends: [{ name: 'web-1', address: server, port: 8080 }],
      },
    ],
    denyLists: [{ name: 'bad-neighbours', prefixes: [`${blocked}/32`] }],
  });
const kept = (allowWeb = true): PolicyRevision => ({
  hostId: '01ARZ3NDEKTSV4RRFFQ69G5FAV',
  revision: 7,
  etag: '',
  policy: document(allowWeb),
  generation: 'g7',
  state: 'confirmed',
  author: '',
  comment: '',
  createdAt: 1,
  settledAt: 1,
  settledReason: '',
  mappingCount: 2,
  serviceCount: 3,
  live: true,
  at: 1234,
});

let program: VerdictProgram;
beforeAll(async () => {
  buildWasm();
  program = await createVerdictProgram()();
}, 180_000);

const trace = (ends: { readonly source: string; readonly destination: string; readonly destinationPort: number }, draft?: string) =>
  traceOffline({ interface: 'eth0', packet: buildPacket({ protocol: 'tcp', ...ends }), draft }, kept(), program);

describe('a trace for a host that is away', () => {
  it('is judged by the policy it was last seen with, and says so', async () => {
    const answer = await trace({ source: client, destination: server, destinationPort: 443 });
    expect(answer).toMatchObject({
      allowed: true,
      reason: 'POLICY_ALLOW',
      mapping: 'web',
      priority: 10,
      revision: 7,
      generation: 'g7',
      outcome: 'pass',
      live: false,
      at: 1234,
      durationNs: null,
    });
    expect(answer.steps.map(({ stage, subject }) => [stage, subject])).toEqual([
      ['parse', null],
      ['flow', null],
      ['identity', 'clients'],
      ['policy', 'web'],
      ['limit', 'web'],
      ['verdict', 'web'],
    ]);
  });

  it('names the default action and the deny list that drop', async () => {
    expect(await trace({ source: client, destination: server, destinationPort: 22 })).toMatchObject({
      allowed: false,
      reason: 'DEFAULT_DENY',
      mapping: null,
      outputHex: null,
    });
    const denied = await trace({ source: blocked, destination: server, destinationPort: 443 });
    expect(denied).toMatchObject({ allowed: false, reason: 'DENY_LIST' });
    expect(denied.steps.find(({ stage }) => stage === 'deny')?.subject).toBe('bad-neighbours');
  });

  it('rewrites to the backend, and leaves the way out to the host', async () => {
    const answer = await trace({ source: client, destination: virtual, destinationPort: 80 });
    expect(answer).toMatchObject({ allowed: true, mapping: 'shop', outcome: 'pass' });
    expect(answer.steps.find(({ stage }) => stage === 'balance')?.subject).toBe('web-1');
    expect(answer.steps.find(({ stage }) => stage === 'rewrite')?.detail).toContain(`${virtual}:80 > ${server}:8080`);
    expect(answer.steps.some(({ stage }) => stage === 'route')).toBe(false);
    expect(answer.outputHex).not.toBe(answer.hex);
  });

  it('judges the draft beside it', async () => {
    const ends = { source: client, destination: server, destinationPort: 443 };
    expect((await trace(ends, document(false))).draft).toEqual({ allowed: false, reason: 'POLICY_DENY', mapping: 'web' });
  });
});

describe('the verdict program', () => {
  it('is said to be missing where the build has none', async () => {
    const empty = mkdtempSync(join(tmpdir(), 'nest-no-wasm-'));
    try {
      await expect(createVerdictProgram(join(empty, 'a/b/c/d/e/f'))()).rejects.toMatchObject({ code: 'ENGINE_UNAVAILABLE' });
    } finally {
      rmSync(empty, { recursive: true });
    }
  });
});
