import { expect, it } from 'vitest';
import { createCommands } from './command-line.ts';
import { commandTable } from './command-table.ts';

const unused = (): never => {
  throw new Error('The help is read here, nothing is run.');
};

it('every command says in the help what it does', () => {
  const terminal = { isInteractive: false, out: unused, note: unused, ask: unused, askSecret: unused, keys: unused, readInput: unused };
  const { signal } = new AbortController();
  const table = commandTable(createCommands({ environment: {}, platform: 'linux', version: '0.0.0', signal, terminal }));
  const commands = table.flatMap(({ path, commands: below }) => below.map(({ name, about }) => [`${path} ${name}`.trim(), about] as const));
  expect(commands.length).toBeGreaterThan(100);
  expect(commands.filter(([, about]) => about === '').map(([name]) => name)).toEqual([]);
});
