import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { IntentRow } from '../../desktop/bridge/rollout-model.ts';
import { systemClock } from '../../desktop/lib/api.ts';
import { createTestAgent } from '../support/agent-server.ts';
import type { TestAgent } from '../support/agent-server.ts';

/*
 * Signed changes are delivered by commands that end a moment later: each is a process of its own here, and one of them is killed.
 */
const mainFile = join(import.meta.dirname, '../../desktop/cli/main.ts');
const never = new AbortController().signal;
const triesMax = 40;
let folder: string;
let agents: readonly TestAgent[];
const running = new Set<ChildProcess>();

const begin = (...args: readonly string[]): ChildProcess => {
  const child = spawn(process.execPath, [mainFile, '--data', folder, '--passphrase-file', join(folder, 'passphrase'), ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  running.add(child);
  child.once('exit', () => running.delete(child));
  return child;
};

/** Runs a command to its end; `watch` sees each line. */
const nest = async (args: readonly string[], watch: (line: string) => void = () => undefined): Promise<{ code: unknown; out: string }> => {
  const child = begin(...args);
  const lines: string[] = [];
  const ended = once(child, 'close');
  createInterface({ input: child.stdout ?? process.stdin }).on('line', (line) => {
    lines.push(line);
    watch(line);
  });
  const [code] = await ended;
  return { code, out: lines.join('\n') };
};

const states = async (): Promise<Readonly<Record<string, IntentRow>>> => {
  const rows = JSON.parse((await nest(['intents', 'ls', '--json'])).out) as readonly IntentRow[];
  // The newest of each host.
  return Object.fromEntries([...rows].reverse().map((row) => [row.hostName, row]));
};

/** A policy that nothing else has, in a file. */
const policyFile = async (port: number): Promise<string> => {
  const ends = { sources: ['any'], destinations: ['any'] };
  const mapping = { name: `p${String(port)}`, ...ends, protocols: ['tcp'], ports: [String(port)], action: 'allow', priority: 1 };
  const file = join(folder, `${mapping.name}.json`);
  await writeFile(
    file,
    JSON.stringify({ apiVersion: 'nest/v1', kind: 'Policy', defaultAction: 'allow', services: [], mappings: [mapping] }),
  );
  return file;
};

const deliveries = ({ facts }: TestAgent): readonly string[] =>
  facts.flatMap(({ action, result }) => (action.endsWith('/DeliverIntent') ? [result] : []));

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nest-intents-'));
  await writeFile(join(folder, 'passphrase'), 'correct horse battery\n');
  agents = await Promise.all([createTestAgent({ isGuarded: true }), createTestAgent({ isGuarded: true })]);
  expect((await nest(['fleet', 'init', 'Test'])).code).toBe(0);
  for (const [index, agent] of agents.entries()) {
    const added = await nest(['hosts', 'add', `edge-${String(index + 1)}`, '127.0.0.1', '--port', String(agent.port), '--yes'], (line) => {
      const token = /nest1\.[\w-]+/.exec(line)?.[0];
      if (token !== undefined) void agent.join(token);
    });
    expect(added.code).toBe(0);
  }
});
afterAll(async () => {
  for (const child of running) child.kill('SIGKILL');
  await Promise.all(agents.map((agent) => agent.close()));
  await rm(folder, { recursive: true, force: true });
});

describe('intents and commands that end soon', { timeout: 90_000 }, () => {
  it('a host that answers has the change, confirmed, when the command that left it ends', async () => {
    const left = await nest(['intents', 'leave', await policyFile(8001), '--all', '--json']);
    const rows = JSON.parse(left.out) as readonly IntentRow[];
    expect([left.code, rows.map(({ state }) => state)]).toEqual([0, ['kept', 'kept']]);
    for (const agent of agents) {
      expect(agent.revisions.current()).toMatchObject({ revision: 1, state: 'confirmed' });
      expect(deliveries(agent)).toEqual(['started', 'OK']);
    }
  });

  it('what a killed command began is ended by the next: kept where the host still waits, else said to be taken back', async () => {
    const [first, second] = agents as readonly [TestAgent, TestAgent];
    await Promise.all(agents.map((agent) => agent.stop()));
    const left = JSON.parse((await nest(['intents', 'leave', await policyFile(8002), '--all', '--json'])).out) as readonly IntentRow[];
    expect(left.map(({ state }) => state)).toEqual(['waiting', 'waiting']);
    await Promise.all(agents.map((agent) => agent.start()));
    const killed = begin('hosts', 'ls');
    for (let tries = 0; tries < 400 && agents.some(({ revisions }) => revisions.pending() === null); tries++)
      await systemClock().sleep(20, never);
    killed.kill('SIGKILL');
    await once(killed, 'close');
    expect(agents.map(({ revisions }) => revisions.pending()?.transactionId)).toEqual(left.map(({ intentId }) => intentId));
    expect(await states()).toMatchObject({ 'edge-1': { state: 'delivering' }, 'edge-2': { state: 'delivering' } });
    await second.revisions.rollback({ author: 'its timer', comment: '' }, never);
    const asked = deliveries(second).length;
    const isOpen = (): boolean => first.revisions.pending() !== null || deliveries(second).length === asked;
    // Each command connects, and takes up what no process is at work on any more.
    for (let tries = 0; tries < triesMax && isOpen(); tries++) expect((await nest(['hosts', 'ls'])).code).toBe(0);
    expect(first.revisions.current()).toMatchObject({ revision: 2, state: 'confirmed' });
    expect(second.revisions.current()).toMatchObject({ revision: 1, state: 'confirmed' });
    const problem = { code: 'NOTHING_TO_CONFIRM', message: expect.stringMatching(/^Taken back by the host\. Taken back by its timer/) };
    expect(await states()).toMatchObject({ 'edge-1': { state: 'kept', problem: null }, 'edge-2': { state: 'taken-back', problem } });
  });

  it('no command brings a bundle that the host has, and none is cut off while it does', () => {
    for (const { facts } of agents) {
      const pushes = facts.flatMap(({ action, result }) => (action.endsWith('/PushAccessUpdates') ? [result] : []));
      expect(pushes).toEqual(['started', 'OK']);
    }
  });
});
