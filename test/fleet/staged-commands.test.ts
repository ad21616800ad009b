import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createTestAgent } from '../support/agent-server.ts';
import type { TestAgent } from '../support/agent-server.ts';
import type { IntentRow, StagedRollout } from '../../desktop/bridge/rollout-model.ts';
import { openTestConsole } from '../../desktop/cli/test-console.ts';
import type { TestConsole } from '../../desktop/cli/test-console.ts';

const policy = JSON.stringify({ apiVersion: 'nest/v1', kind: 'Policy', defaultAction: 'allow', services: [], mappings: [] });
let opened: TestConsole;
let agent: TestAgent;
let file: string;
const nest: TestConsole['nest'] = (args) => opened.nest(args);
const quick = ['--soak', '0', '--baseline', '0', '--host', 'edge-2'];

beforeEach(async () => {
  opened = await openTestConsole('');
  agent = await createTestAgent();
  file = join(opened.folder, 'web.json');
  await writeFile(file, policy);
  await nest(['fleet', 'init', 'Test']);
  await opened.nest(['hosts', 'add', 'edge-2', '127.0.0.1', '--port', String(agent.port), '--yes'], (line) => {
    const token = /nest1\.[\w-]+/.exec(line)?.[0];
    if (token !== undefined) void agent.join(token);
  });
});
afterEach(async () => {
  await agent.close();
  await opened.close();
});

describe('nest rollout', { timeout: 60_000 }, () => {
  it('plans without changing anything, brings the policy to the host and lists the end', async () => {
    const plan = await nest(['rollout', 'plan', file, ...quick]);
    expect([plan.code, plan.notes]).toEqual([0, '']);
    expect(plan.out).toMatch(/1 {2}edge-2 {2}yes {6}yes/);
    expect(agent.revisions.current().revision).toBe(0);
    const started = await nest(['rollout', 'start', file, '--yes', ...quick]);
    expect({ code: started.code, out: started.out.split('\n').at(-1) }).toEqual({ code: 0, out: 'web.json is finished, wave 1 of 1.' });
    expect(started.notes).toContain('wave 1  edge-2  kept');
    expect(agent.revisions.current()).toMatchObject({ revision: 1, state: 'confirmed', comment: 'Rollout web.json' });
    const listed = JSON.parse((await nest(['rollout', 'ls', '--json'])).out) as readonly StagedRollout[];
    expect(listed).toMatchObject([{ name: 'web.json', phase: 'finished', conducted: 'idle' }]);
    const [{ rolloutId } = { rolloutId: '' }] = listed;
    expect((await nest(['rollout', 'ls'])).out).toMatch(/web\.json {2}finished {2}- {2}/);
    expect((await nest(['rollout', 'watch', rolloutId])).code).toBe(0);
    const late = await nest(['rollout', 'abort', rolloutId]);
    expect([late.code, late.notes]).toEqual([1, 'error NOTHING_TO_CONFIRM: This rollout has ended.']);
  });

  it('refuses waves and limits that make no sense, before anything is asked', async () => {
    expect((await nest(['rollout', 'plan', file, '--host', 'edge-2', '--waves', '50,20,100'])).notes).toContain('rising percentages');
    expect((await nest(['rollout', 'plan', file, '--host', 'edge-2', '--soak', '4000'])).code).toBe(2);
    expect((await nest(['rollout', 'start', file, ...quick])).notes).toContain('say --yes');
    expect((await nest(['rollout', 'takeover', '01JZ0000000000000000000001', '--yes'])).notes).toContain('error NOT_FOUND');
  });
});

describe('nest intents', { timeout: 60_000 }, () => {
  it('leaves a signed change for a host that is away, shows it and cancels it', async () => {
    await nest(['hosts', 'ls']);
    await agent.stop();
    const left = await nest(['intents', 'leave', file, '--host', 'edge-2', '--json']);
    const [{ intentId } = { intentId: '' }] = JSON.parse(left.out) as readonly IntentRow[];
    expect((await nest(['intents', 'ls'])).out).toMatch(new RegExp(`${intentId} {2}edge-2 {2}waiting`));
    expect((await nest(['intents', 'cancel', intentId])).out).toContain('cancelled');
    expect((await nest(['intents', 'cancel', intentId])).notes).toContain('error NOT_FOUND');
  });
});
