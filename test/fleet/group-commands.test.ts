/** Labels, queries and groups by the command line, against an agent behind real TLS. */
import { spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { GroupPlan } from '../../desktop/bridge/group-model.ts';
import type { HostRow } from '../../desktop/bridge/model.ts';
import { openTestConsole } from '../../desktop/cli/test-console.ts';
import type { TestConsole } from '../../desktop/cli/test-console.ts';

const policy = JSON.stringify({ apiVersion: 'nest/v1', kind: 'Policy', defaultAction: 'allow', services: [], mappings: [] });
let opened: TestConsole;
let file: string;
const nest = (...args: readonly string[]) => opened.nest(args);
const namesOf = (out: string): readonly string[] => (JSON.parse(out) as readonly HostRow[]).map(({ name }) => name);

beforeAll(async () => {
  opened = await openTestConsole(policy);
  file = join(opened.folder, 'policy.json');
  await writeFile(file, policy);
  await nest('fleet', 'init', 'Test');
  await opened.addHost(['--yes', '--label', 'site:ams1', 'edge']);
});
afterAll(() => opened.close());

describe('queries and groups on the command line', { timeout: 60_000 }, () => {
  it('labels hosts and finds them again by every kind of term', async () => {
    expect((await nest('hosts', 'label', 'role=core', '--where', 'site:ams1', '--remove', 'edge')).out).toMatch(
      /edge-1 {2}site=ams1 role=core/,
    );
    for (const query of [
      'site:ams1 role:core',
      'kernel>=6.1',
      'agent=1.2',
      'state:healthy OR state:degraded',
      '-label:edge',
      'cert>1',
      '127.0.0.1',
    ])
      expect(namesOf((await nest('hosts', 'ls', '--where', query, '--json')).out), query).toEqual(['edge-1']);
    expect((await nest('hosts', 'ls', '--where', '-site:ams1')).out).toBe('No host fits.');
    expect((await nest('hosts', 'ls', '--where', 'sit:ams1')).notes).toBe('warning: no host has a label sit=...');
    expect((await nest('hosts', 'show', 'edge-1')).out).toContain('Labels       site=ams1 role=core');
  });

  it('refuses a query with its place and the next step, and a label that is none', async () => {
    const answer = await nest('hosts', 'ls', '--json', '--where', 'site:ams1 kernl>=6');
    expect([answer.code, JSON.parse(answer.out)]).toEqual([
      1,
      { error: { code: 'QUERY_INVALID', message: expect.stringContaining('Did you mean kernel>=6?'), details: { start: 10, end: 18 } } },
    ]);
    expect((await nest('hosts', 'ls', '--where', 'site:ams1 kernl>=6')).notes).toMatch(/^error QUERY_INVALID: .* \(character 11 to 18\)$/);
    expect(await nest('hosts', 'label', 'state=x', '--all')).toMatchObject({ code: 1, notes: expect.stringContaining('INPUT_INVALID') });
    expect((await nest('hosts', 'label', '--all')).code).toBe(2);
    expect((await nest('policy', 'plan', file, '--where', 'site:ams1', '--all')).code).toBe(2);
    expect((await nest('hosts', 'ls', '--group', 'none')).notes).toContain('error NOT_FOUND: There is no group none.');
  });

  it('plans a policy on a group, by a rule or as a list, for one policy, a rollout or an intent', async () => {
    expect((await nest('groups', 'set', 'ams', '--rule', 'site:ams1 kernel>=6.1', '--about', 'in Amsterdam')).out).toMatch(
      /ams +1 {2}site:ams1 kernel>=6\.1 {2}in Amsterdam/,
    );
    expect((await nest('groups', 'set', 'list', '--host', 'edge-1')).out).toContain('a list');
    expect((await nest('groups', 'set', 'ams')).code).toBe(2);
    expect(namesOf((await nest('hosts', 'ls', '--group', 'ams', '--where', '-group:none*', '--json')).out)).toEqual(['edge-1']);
    const plan = JSON.parse((await nest('groups', 'plan', 'ams', file, '--json')).out) as GroupPlan;
    expect(plan).toMatchObject({ group: 'ams', outcomes: { refused: 0, away: 0 }, cut: 2 });
    expect(await nest('groups', 'plan', 'list', file)).toMatchObject({
      code: 0,
      out: expect.stringMatching(/^Group list: 1 host\n +1 have it already\n/),
    });
    expect((await nest('policy', 'plan', file, '--group', 'ams', '--json')).out).toContain('"hostName":"edge-1"');
    expect((await nest('rollout', 'plan', file, '--where', 'site:ams1')).out).toMatch(/1 {2}edge-1 {2}yes/);
    expect((await nest('intents', 'leave', file, '--where', 'site:fra2')).notes).toContain('error HOST_UNKNOWN: No host fits.');
  });

  it('gives the shell names without a passphrase', async () => {
    const script = join(opened.folder, 'nest.bash');
    await writeFile(script, (await nest('completion', 'bash')).out);
    const ask = `nest() { :; }; source '${script}'; COMP_WORDS=(nest --data '${opened.folder}' groups plan l); COMP_CWORD=5
      command() { shift; NEST_PASSPHRASE_FILE= '${process.execPath}' desktop/cli/main.ts "$@"; }; _nest; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const answer = spawnSync('bash', ['--norc', '-c', ask], { encoding: 'utf8' });
    expect([answer.stdout, answer.stderr]).toEqual(['list\n', '']);
  });

  it('ends with 1 when a member cannot take the policy, and says which', async () => {
    await opened.agent.stop();
    const answer = await nest('groups', 'plan', 'list', file);
    expect(answer).toMatchObject({ code: 1, out: expect.stringMatching(/1 do not answer[^]*edge-1: .*\(HOST_UNREACHABLE\)/) });
    expect((await nest('groups', 'set', 'live', '--rule', '-state:offline')).out).toMatch(/live +0/);
    expect((await nest('groups', 'plan', 'live', file)).notes).toContain('error HOST_UNKNOWN: The group live has no hosts now.');
  });
});
