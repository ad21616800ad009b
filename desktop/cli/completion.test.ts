import { spawnSync } from 'node:child_process';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runCommandLine } from './command-line.ts';

let folder: string;

const nest = async (args: readonly string[]): Promise<{ readonly code: number; readonly out: string; readonly notes: string }> => {
  const out: string[] = [];
  const notes: string[] = [];
  const code = await runCommandLine({
    args,
    environment: {},
    platform: 'linux',
    version: '0.0.0',
    signal: AbortSignal.timeout(15_000),
    terminal: {
      out: (text) => void out.push(text),
      note: (text) => void notes.push(text),
      isInteractive: false,
      ask: () => Promise.reject(new Error('nobody is there')),
      askSecret: () => Promise.reject(new Error('nobody is there')),
      keys: async function* () {},
      readInput: () => Promise.resolve(''),
    },
  });
  return { code, out: out.join('\n'), notes: notes.join('\n') };
};

const isThere = (program: string): boolean => spawnSync(program, ['--version']).status === 0;

/** A `nest` that knows three hosts, one of them named by somebody who means harm. */
const standIn = `#!/bin/sh
[ "$1" = --data ] && { echo "in-$2"; exit; }
case "$2" in
  hosts) printf '%s\\n' edge-ams-1 edge-lon-2 'evil $(touch '"'$PWD/harm'"')' ;;
  groups) printf '%s\\n' edges cores ;;
esac
`;

const run = (program: string, args: readonly string[]): string => {
  const { stdout, stderr, status } = spawnSync(program, args, {
    cwd: folder,
    encoding: 'utf8',
    env: { ...process.env, PATH: `${folder}:${process.env['PATH'] ?? ''}`, HOME: folder, TERM: 'dumb' },
  });
  expect({ stderr, status }).toEqual({ stderr: '', status: 0 });
  return stdout;
};

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nest-completion-'));
  for (const shell of ['bash', 'zsh', 'fish', 'powershell'])
    await writeFile(join(folder, `nest.${shell}`), (await nest(['completion', shell])).out);
  await writeFile(join(folder, 'nest'), standIn);
  await chmod(join(folder, 'nest'), 0o755);
  await writeFile(join(folder, 'policy.json'), '{}');
});
afterAll(() => rm(folder, { recursive: true }));

/** Lines as typed, the last word under the cursor; a blank at the end begins a new one. */
const lines: readonly (readonly [string, readonly string[]])[] = [
  ['nest ho', ['hosts']],
  ['nest hosts l', ['ls', 'label']],
  ['nest hosts ls --wh', ['--where']],
  ['nest --json hosts ls --gr', ['--group']],
  ['nest hosts show edge-l', ['edge-lon-2']],
  ['nest hosts ls --group ', ['cores', 'edges']],
  ['nest policy apply policy.json --host edge-ams-1 edge-l', ['edge-lon-2']],
  ['nest policy apply pol', ['policy.json']],
  ['nest policy apply policy.json --host edge-ams-1 --y', ['--yes']],
  ['nest groups plan e', ['edges']],
  ['nest groups plan edges pol', ['policy.json']],
  ['nest --data /tmp/x hosts show ', ['in-/tmp/x']],
  ['nest completion ', ['bash', 'fish', 'powershell', 'zsh']],
  ['nest hosts show edge-ams-1 ', []],
  ['nest hosts ls --where ', []],
];
const askedBash = (line: string): readonly string[] => {
  const words = line.split(/(?<==)|(?==)| /);
  const script = `source ./nest.bash; COMP_WORDS=(${words.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${String(words.length - 1)}; _nest; printf '%s\\n' "\${COMPREPLY[@]}"`;
  return sorted(run('bash', ['--norc', '--noprofile', '-c', script]));
};
const sorted = (text: string): readonly string[] =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .sort();

describe('nest completion', () => {
  it('completes commands, options, hosts, groups and files in bash', () => {
    for (const [line, offered] of lines) expect(askedBash(line), line).toEqual([...offered].sort());
    expect(askedBash('nest hosts ls --group=ed')).toEqual(['edges']);
  });

  it('never runs what a name says, and quotes it', () => {
    expect(askedBash('nest hosts show ev')).toEqual([expect.stringMatching(/^evil\\ \\\$\\\(touch/)]);
    expect(run('ls', ['.'])).not.toContain('harm');
  });

  it('knows every command of the command line, with what it is about, in each shell', async () => {
    const { out } = await nest(['--help']);
    const names = [...out.matchAll(/^ {2}(\w[\w-]*)/gm)].map(([, name]) => name ?? '').filter((name) => name !== '');
    expect(names.length).toBeGreaterThan(8);
    for (const shell of ['bash', 'zsh', 'fish', 'powershell']) {
      const script = (await nest(['completion', shell])).out;
      for (const name of names) expect(script, shell).toContain(name);
      expect(script, shell).not.toContain('complete <what>');
    }
  });

  it('gives PowerShell a table that is JSON', async () => {
    const script = (await nest(['completion', 'powershell'])).out;
    const [, json = ''] = /@'\n(.*)\n'@/.exec(script) ?? [];
    expect(JSON.parse(json)).toContainEqual(
      expect.objectContaining({ path: 'hosts show', values: ['hosts'], takes: expect.arrayContaining(['--data:one:files']) }),
    );
  });

  it('completes the same in zsh', ({ skip }) => {
    if (!isThere('zsh')) skip('zsh is not installed');
    // compadd and _describe belong to the line editor; here they print what they would offer.
    const standIns = `compadd() { if [[ $1 == -a ]]; then print -rl -- \${(P)2}; else shift; print -rl -- "$@"; fi }; _describe() { print -rl -- \${\${(P)2}%%:*}; }; _files() { print -r -- policy.json; }; compdef() { :; }`;
    for (const [line, offered] of lines) {
      const words = line.split(' ');
      const script = `${standIns}; source ./nest.zsh; words=(${words.map((word) => `'${word}'`).join(' ')}); CURRENT=${String(words.length)}; _nest`;
      const prefix = words.at(-1) ?? '';
      const got = sorted(run('zsh', ['-f', '-c', script])).filter((word) => word.startsWith(prefix) && !word.startsWith('evil'));
      expect(got, line).toEqual([...offered].sort());
    }
  });

  it('completes the same in fish', ({ skip }) => {
    if (!isThere('fish')) skip('fish is not installed');
    for (const [line, offered] of lines) {
      const got = sorted(run('fish', ['--no-config', '-c', `source ./nest.fish; complete -C '${line}'`])).map((entry) =>
        entry.replace(/\t.*/, ''),
      );
      expect(
        got.filter((word) => !word.startsWith('evil')),
        line,
      ).toEqual([...offered].sort());
    }
  });

  it('refuses a shell it does not know', async () => {
    expect(await nest(['completion', 'tcsh'])).toMatchObject({ code: 2, notes: expect.stringContaining('bash') });
  });
});
