/** `nest audit` against a real agent with a real log. */
import { readFile, writeFile } from 'node:fs/promises';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { emptyFact } from '../../proto/model/audit.ts';
import { runCommandLine } from '../../desktop/cli/command-line.ts';
import { createMemorySettings, createMemoryVault } from '../../desktop/core/api.ts';
import { openFleetCache } from '../../desktop/core/cache/sqlite-fleet-cache.ts';
import { createVerdictProgram } from '../../desktop/core/trace/verdict-program.ts';
import { systemClock, systemRandom } from '../../desktop/lib/api.ts';
import { startAuditedAgent } from '../support/audited-agent.ts';
import { freePort } from '../support/free-port.ts';
import type { AuditedAgent } from '../support/audited-agent.ts';

interface Answer {
  readonly code: number;
  readonly out: string;
  readonly notes: string;
}

let folder: string;
let agent: AuditedAgent;
let nest: (args: readonly string[]) => Promise<Answer>;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nest-cli-audit-'));
  await writeFile(join(folder, 'passphrase'), 'correct horse battery\n');
  const vault = createMemoryVault();
  agent = await startAuditedAgent({ port: await freePort() });
  nest = async (args) => {
    const out: string[] = [];
    const notes: string[] = [];
    const code = await runCommandLine({
      args: ['--data', folder, '--passphrase-file', join(folder, 'passphrase'), ...args],
      environment: {},
      platform: 'linux',
      version: '0.0.0',
      signal: AbortSignal.timeout(19_000),
      terminal: {
        out: (text) => {
          out.push(text);
          const token = /nest1\.[\w-]+/.exec(text)?.[0];
          if (token !== undefined) void agent.join(token);
        },
        note: (text) => void notes.push(text),
        isInteractive: false,
        ask: () => Promise.reject(new Error('nobody is there')),
        askSecret: () => Promise.reject(new Error('nobody is there')),
        keys: async function* () {},
        readInput: () => Promise.resolve(''),
      },
      openPorts: (data) => ({
        clock: systemClock(),
        random: systemRandom,
        verdictProgram: createVerdictProgram(),
        cache: openFleetCache(join(data, 'fleet.sqlite'), Date.now()).cache,
        vaults: [vault],
        settings: createMemorySettings(),
        version: '0.0.0',
        report: () => undefined,
      }),
    });
    return { code, out: out.join('\n'), notes: notes.join('\n') };
  };
  await nest(['fleet', 'init', 'Test']);
  await nest(['hosts', 'add', 'edge-1', '127.0.0.1', '--port', String(agent.port), '--yes']);
});
afterEach(async () => {
  await agent.close();
  await rm(folder, { recursive: true, force: true });
});

describe('nest audit', () => {
  it('lists what was done, filtered, for people and for programs', async () => {
    const { code, out } = await nest(['audit', 'ls', '--outcome', 'done']);
    expect(code).toBe(0);
    expect(out).toMatch(/^TIME +HOST +NO +ACTOR +FROM +ACTION +TARGET +REV +RESULT\n/);
    expect(out).toMatch(/edge-1 +2 +\(stranger\) +127\.0\.0\.1 +EnrollmentService\/Complete .* OK$/m);
    const json = JSON.parse((await nest(['audit', 'ls', '--action', 'complete', '--json'])).out) as { rows: unknown[] };
    expect(json).toMatchObject({ rows: [{ result: 'OK', opening: 1 }, { result: 'started' }], hosts: [{ live: true, problem: null }] });
    expect(await nest(['audit', 'ls', '--since', 'yesterday'])).toMatchObject({ code: 2, notes: expect.stringContaining('--since') });
    expect(await nest(['audit', 'ls', '--outcome', 'maybe'])).toMatchObject({ code: 2 });
  });

  it('verifies hosts and exports, and ends with 1 for a log that somebody changed', async () => {
    await Promise.all(Array.from({ length: 30 }, () => agent.audit.append({ ...emptyFact, actor: 'agent', action: 'test' })));
    expect(await nest(['audit', 'verify', '--all'])).toMatchObject({
      code: 0,
      out: expect.stringMatching(/^edge-1: entries 1 to \d+ are whole and signed for\.$/),
    });
    const heads = await nest(['audit', 'heads']);
    expect(heads).toMatchObject({ code: 0, out: expect.stringMatching(/edge-1 +sound +1-\d+/) });
    // A check of a moment ago, by the command before, does not count.
    const number = await agent.audit.append({ ...emptyFact, actor: 'agent', action: 'test' });
    const began = Date.now();
    const again = await nest(['audit', 'heads', '--json']);
    const [head] = JSON.parse(again.out) as readonly [{ readonly number: number; readonly checkedAt: number }];
    expect([again.notes, head.checkedAt >= began, head.number >= number]).toEqual(['', true, true]);
    const file = join(folder, 'export.jsonl');
    expect(await nest(['audit', 'export', file, '--all'])).toMatchObject({
      code: 0,
      out: expect.stringMatching(/^\d+ entries of 1 hosts/),
    });
    expect(await nest(['audit', 'export', file, '--all'])).toMatchObject({ code: 1, notes: expect.stringContaining('INPUT_INVALID') });
    const verified = await nest(['audit', 'verify', file]);
    expect(verified).toMatchObject({ code: 0, out: expect.stringContaining('are whole and signed for') });
    const root = /Root SHA-256 ([0-9a-f]{64})/.exec(verified.out)?.[1] ?? '';
    const rootKey = /of its key ([0-9a-f]{64})/.exec(verified.out)?.[1] ?? '';
    expect(rootKey).not.toBe(root);
    for (const name of [root, rootKey]) expect((await nest(['audit', 'verify', file, '--root-sha256', name])).code).toBe(0);
    expect(await nest(['audit', 'verify', file, '--root-sha256', 'ab'.repeat(32)])).toMatchObject({
      code: 1,
      notes: expect.stringContaining('FLEET_MISMATCH'),
    });
    await writeFile(file, (await readFile(file, 'utf8')).replace('"result":"OK"', '"result":"ok"'));
    expect(await nest(['audit', 'verify', file])).toMatchObject({ code: 1, out: expect.stringContaining('BROKEN edge-1 at entry 2') });
    expect(await nest(['audit', 'verify', join(folder, 'none')])).toMatchObject({
      code: 1,
      notes: expect.stringContaining('INPUT_INVALID'),
    });

    await agent.stop();
    const path = join(agent.auditDirectory, 'segment-0000000000000001.log');
    const content = await readFile(path);
    content[60] = (content[60] ?? 0) ^ 1;
    await writeFile(path, content);
    await agent.start();
    const broken = await nest(['audit', 'verify', '--host', 'edge-1', '--json']);
    expect([broken.code, JSON.parse(broken.out)]).toMatchObject([1, [{ problem: { number: 1 } }]]);
    const alarmed = await nest(['audit', 'heads']);
    expect(alarmed).toMatchObject({ code: 1, out: expect.stringContaining('ALARM edge-1') });
    expect(await nest(['audit', 'accept', 'edge-1'])).toMatchObject({ code: 2, notes: expect.stringContaining('--yes') });
    expect(await nest(['audit', 'accept', 'edge-1', '--yes'])).toMatchObject({
      code: 0,
      out: expect.stringContaining('is believed from now on'),
    });
    expect((await nest(['audit', 'heads'])).code).toBe(0);
  }, 60_000);
});
