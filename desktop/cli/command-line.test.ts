import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createMemorySettings, createMemoryVault } from '../core/api.ts';
import type { CredentialVault } from '../core/api.ts';
import { openFleetCache } from '../core/cache/sqlite-fleet-cache.ts';
import { createFakeAgent } from '../grpc/fake-agent.ts';
import type { FakeAgent } from '../grpc/fake-agent.ts';
import { systemClock, systemRandom } from '../lib/api.ts';
import { runCommandLine } from './command-line.ts';
import { formatAge, formatTable } from './output.ts';

const policy = JSON.stringify({ apiVersion: 'nest/v1', kind: 'Policy', defaultAction: 'allow', services: [], mappings: [] });

interface Answer {
  readonly code: number;
  readonly out: string;
  readonly notes: string;
}

let folder: string;
let vault: CredentialVault;
let agent: FakeAgent;

const nest = async (args: readonly string[], watch: (line: string) => void = () => undefined): Promise<Answer> => {
  const out: string[] = [];
  const notes: string[] = [];
  const code = await runCommandLine({
    args: ['--data', folder, '--passphrase-file', join(folder, 'passphrase'), ...args],
    environment: {},
    platform: 'linux',
    version: '0.0.0',
    signal: AbortSignal.timeout(15_000),
    terminal: {
      out: (text) => {
        out.push(text);
        watch(text);
      },
      note: (text) => void notes.push(text),
      isInteractive: false,
      ask: () => Promise.reject(new Error('nobody is there')),
      askSecret: () => Promise.reject(new Error('nobody is there')),
      keys: async function* () {},
      readInput: () => Promise.resolve(policy),
    },
    openPorts: (data) => ({
      clock: systemClock(),
      random: systemRandom,
      cache: openFleetCache(join(data, 'fleet.sqlite'), Date.now()).cache,
      vaults: [vault],
      settings: createMemorySettings(),
      version: '0.0.0',
      report: () => undefined,
    }),
  });
  return { code, out: out.join('\n'), notes: notes.join('\n') };
};

const addHost = (extra: readonly string[]): Promise<Answer> =>
  nest(['hosts', 'add', 'edge-1', '127.0.0.1', '--port', String(agent.port), ...extra], (line) => {
    const token = /nest1\.[\w-]+/.exec(line)?.[0];
    if (token !== undefined) agent.join(token);
  });

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nest-cli-'));
  await writeFile(join(folder, 'passphrase'), 'correct horse battery\n');
  await writeFile(join(folder, 'policy.json'), policy);
  vault = createMemoryVault();
  agent = await createFakeAgent();
});
afterEach(async () => {
  await agent.stop();
  await rm(folder, { recursive: true, force: true });
});

describe('the nest command', () => {
  it('creates a fleet, adds a host, plans, applies, keeps and lists, all in JSON of the bridge', async () => {
    expect(JSON.parse((await nest(['fleet', 'init', 'Test', '--json'])).out)).toMatchObject({ phase: 'open', fleetName: 'Test' });
    const added = await addHost(['--fingerprint', agent.fingerprint.toUpperCase(), '--json']);
    expect(added.out.split('\n').map((line) => (JSON.parse(line) as { state: string }).state)).toEqual([
      'waiting',
      'fingerprint',
      'enrolled',
    ]);
    expect(JSON.parse((await nest(['hosts', 'ls', '--json'])).out)).toMatchObject([{ name: 'edge-1', agentVersion: '1.2.3' }]);
    expect(JSON.parse((await nest(['policy', 'plan', '-', '--all', '--json'])).out)).toMatchObject({ cut: 2, hosts: [{ canApply: true }] });
    const applied = await nest(['policy', 'apply', join(folder, 'policy.json'), '--host', 'edge-1', '--yes', '--json']);
    expect([applied.code, JSON.parse(applied.out)]).toMatchObject([0, { state: 'pending', hosts: [{ revision: 1 }] }]);
    expect(JSON.parse((await nest(['policy', 'confirm', '--json'])).out)).toMatchObject({ state: 'confirmed' });
    expect(JSON.parse((await nest(['revisions', 'edge-1', '--json'])).out)).toMatchObject([
      { revision: 1, state: 'confirmed' },
      { revision: 0 },
    ]);
    const nothing = await nest(['policy', 'rollback', '--json']);
    expect([nothing.code, JSON.parse(nothing.out)]).toMatchObject([1, { error: { code: 'NOTHING_TO_CONFIRM' } }]);
  });

  it('keeps at once with --confirm, and says how the hosts decide without it', async () => {
    await nest(['fleet', 'init', 'Test']);
    await addHost(['--yes']);
    const left = await nest(['policy', 'apply', '-', '--all', '--yes']);
    expect([left.code, left.out]).toEqual([
      0,
      expect.stringContaining('Without "nest policy confirm" the hosts take it back by themselves at '),
    ]);
    expect(await nest(['policy', 'rollback'])).toMatchObject({ code: 0, out: expect.stringContaining('rolled-back') });
    expect(await nest(['policy', 'apply', '-', '--all', '--yes', '--confirm'])).toMatchObject({
      code: 0,
      out: expect.stringContaining('confirmed'),
    });
  });

  it('signs nothing when the fingerprint is another one', async () => {
    await nest(['fleet', 'init', 'Test']);
    expect(await addHost(['--fingerprint', 'ab'.repeat(32)])).toMatchObject({
      code: 1,
      notes: expect.stringContaining('IDENTITY_MISMATCH'),
    });
    expect(agent.agentId).toBe('');
  });

  it('ends with 2 for a wrong use, naming what is missing, and with 1 and a code for a refusal', async () => {
    expect(await nest(['frobnicate'])).toMatchObject({ code: 2, notes: expect.stringContaining('unknown command') });
    expect(await nest(['hosts', 'ls'])).toMatchObject({ code: 1, notes: expect.stringContaining('error FLEET_MISSING') });
    await nest(['fleet', 'init', 'Test']);
    expect(await nest(['policy', 'apply', '-'])).toMatchObject({ code: 2, notes: expect.stringContaining('--host') });
    expect(await nest(['hosts', 'add', 'edge-1', '127.0.0.1'])).toMatchObject({ code: 2, notes: expect.stringContaining('--fingerprint') });
    expect(await nest(['flows', 'edge-9'])).toMatchObject({ code: 1, notes: expect.stringContaining('HOST_UNKNOWN') });
    expect(await nest(['trace', 'edge-9'])).toMatchObject({ code: 2, notes: expect.stringContaining('--interface') });
    await writeFile(join(folder, 'passphrase'), 'another passphrase');
    expect(await nest(['fleet', 'unlock-check', '--json'])).toMatchObject({
      code: 1,
      out: expect.stringContaining('"code":"PASSPHRASE_WRONG"'),
    });
    await writeFile(join(folder, 'bad.json'), '{"apiVersion":"nest/v1"}');
    expect(await nest(['policy', 'validate', join(folder, 'bad.json')])).toMatchObject({
      code: 1,
      out: expect.stringContaining('FIELD_MISSING'),
    });
    expect(await nest(['--version'])).toMatchObject({ code: 0, out: '0.0.0' });
  });
});

describe('output for people', () => {
  it('aligns numbers to the right and never passes control characters on', () => {
    const rows = [
      { name: 'a\u001b[31m', count: 5 },
      { name: 'bb', count: 1200 },
    ];
    expect(
      formatTable(rows, [
        { title: 'NAME', value: (row) => row.name },
        { title: 'COUNT', value: (row) => row.count },
      ]),
    ).toBe('NAME    COUNT\na [31m      5\nbb       1200');
  });

  it('says ages in the unit that fits', () => {
    expect([formatAge(null, 0), formatAge(0, 3_000), formatAge(0, 600_000), formatAge(0, 10_800_000), formatAge(0, 432_000_000)]).toEqual([
      'never',
      '3 s ago',
      '10 min ago',
      '3 h ago',
      '5 days ago',
    ]);
  });
});
