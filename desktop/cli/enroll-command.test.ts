import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createFakeAgent } from '../grpc/fake-agent.ts';
import type { FakeAgent } from '../grpc/fake-agent.ts';
import { openTestConsole } from './test-console.ts';
import type { TestConsole } from './test-console.ts';

let opened: TestConsole;
let agents: FakeAgent[];
let file: string;

beforeEach(async () => {
  opened = await openTestConsole('');
  agents = [opened.agent, await createFakeAgent(), await createFakeAgent()];
  file = join(opened.folder, 'inventory.csv');
  await opened.nest(['fleet', 'init', 'Test']);
});
afterEach(async () => {
  await Promise.all(agents.slice(1).map((agent) => agent.stop()));
  await opened.close();
});

/** Every host joins with its token as soon as it is told, as who takes it there would do. */
const enroll = async (...more: string[]) => {
  const tokens = join(opened.folder, 'tokens');
  const told = new Set<string>();
  const answer = await opened.nest(['hosts', 'enroll', '--from', file, '--tokens', tokens, '--json', ...more], undefined, (note) => {
    const [, name = '', token = ''] = /^on (\S+): .*(nest1\.[\w-]+)/.exec(note) ?? [];
    if (token === '' || told.has(token)) return;
    told.add(token);
    agents[Number(name.at(-1))]?.join(token);
  });
  for (const token of told) expect(await readFile(tokens, 'utf8')).toContain(token);
  return { ...answer, results: JSON.parse(answer.out) as { name: string; state: string; code: string | null }[], tokens };
};

describe('nest hosts enroll', () => {
  it('enrols an inventory, says the result of each line, and goes on where it ended', async () => {
    const rows = agents.map(({ port, fingerprint }, index) => `edge-${String(index)},127.0.0.1,${String(port)},site:lab,${fingerprint}`);
    const wrong = rows.map((row, index) => (index === 1 ? row.slice(0, -64) + 'ab'.repeat(32) : row));
    const header = 'name,address,port,labels,fingerprint\n';
    await writeFile(file, header + wrong.join('\n'));
    const first = await enroll();
    expect([first.code, first.results.map(({ name, state, code }) => [name, state, code])]).toEqual([
      1,
      [
        ['edge-0', 'enrolled', null],
        ['edge-1', 'failed', 'IDENTITY_MISMATCH'],
        ['edge-2', 'enrolled', null],
      ],
    ]);
    expect((await stat(first.tokens)).mode & 0o777).toBe(0o600);
    await writeFile(file, header + rows.join('\n'));
    const second = await enroll();
    expect([second.code, second.results.map(({ state }) => state)]).toEqual([0, ['there', 'enrolled', 'there']]);
  });

  it('binds a token to the name a host calls itself, and asks nobody who is not there', async () => {
    const [agent] = agents;
    await writeFile(file, `name,address,port,host_name\nedge-0,127.0.0.1,${String(agent?.port)},another\n`);
    expect(await opened.nest(['hosts', 'enroll', '--from', file])).toMatchObject({ code: 2 });
    const bound = await enroll('--yes');
    expect(bound.results).toMatchObject([{ state: 'failed', code: 'IDENTITY_MISMATCH' }]);
  });
});
