import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { formatAge, formatTable } from '../../desktop/cli/output.ts';
import { openTestConsole } from '../../desktop/cli/test-console.ts';
import type { TestConsole } from '../../desktop/cli/test-console.ts';

const policy = JSON.stringify({ apiVersion: 'nest/v1', kind: 'Policy', defaultAction: 'allow', services: [], mappings: [] });

let opened: TestConsole;
let folder: string;
const nest: TestConsole['nest'] = (args, watch) => opened.nest(args, watch);
const addHost: TestConsole['addHost'] = (extra) => opened.addHost(extra);

beforeEach(async () => {
  opened = await openTestConsole(policy);
  ({ folder } = opened);
  await writeFile(join(folder, 'policy.json'), policy);
});
afterEach(() => opened.close());

describe('the nest command', () => {
  it('creates a fleet, adds a host, plans, applies, keeps and lists, all in JSON of the bridge', async () => {
    expect(JSON.parse((await nest(['fleet', 'init', 'Test', '--json'])).out)).toMatchObject({ phase: 'open', fleetName: 'Test' });
    const added = await addHost(['--fingerprint', opened.agent.fingerprint.toUpperCase(), '--json']);
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
    expect(opened.agent.agentId).toBe('');
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
    // A policy of Nest is imported as it is; a broken file says what it should have been.
    expect(JSON.parse((await nest(['policy', 'import', join(folder, 'bad.json'), '--json'])).out)).toMatchObject({
      format: 'Nest policy',
      notes: [],
    });
    await writeFile(join(folder, 'cut.json'), '{"apiVersion":');
    expect(await nest(['policy', 'import', join(folder, 'cut.json')])).toMatchObject({
      code: 1,
      notes: expect.stringContaining('IMPORT_INVALID'),
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
