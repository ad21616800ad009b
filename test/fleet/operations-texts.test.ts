/** Every `nest` and `nest-agent` command in the texts for operators is one that the command lines know, with its options. Nothing is run. */
import { globSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { CommanderError } from 'commander';
import type { Command } from 'commander';
import { expect, it } from 'vitest';
import { createCommands as createAgentCommands } from '../../agent/cli/command-line.ts';
import { createCommands } from '../../desktop/cli/command-line.ts';

const docs = fileURLToPath(new URL('../../docs', import.meta.url));

interface Found {
  readonly words: readonly string[];
  /** In running text a command may be named without its arguments. */
  readonly isWhole: boolean;
}

/** A sign that the parser has come to the action: everything before it was understood. */
class Understood extends Error {}

const unused = (): never => {
  throw new Error('A text is read here, nothing is run.');
};

const programOf = (name: string): Command => {
  const quiet = { writeOut: () => undefined, writeErr: () => undefined };
  const program =
    name === 'nest'
      ? createCommands({
          environment: {},
          platform: 'linux',
          version: '0.0.0',
          signal: new AbortController().signal,
          terminal: { isInteractive: false, out: unused, note: unused, ask: unused, askSecret: unused, keys: unused, readInput: unused },
        })
      : createAgentCommands({ argv: [], environment: {}, stdout: process.stdout, stderr: process.stderr }, unused);
  const prepare = (command: Command): void => {
    command.configureOutput(quiet).showSuggestionAfterError(false);
    for (const child of command.commands) prepare(child);
  };
  prepare(program);
  return program.hook('preAction', () => {
    throw new Understood();
  });
};

/** What is wrong with a command, or null. */
const problemOf = ({ words: [name = '', ...args], isWhole }: Found): string | null => {
  try {
    programOf(name).parse(args, { from: 'user' });
    return 'there is nothing to do in it';
  } catch (error) {
    if (error instanceof Understood) return null;
    if (!(error instanceof CommanderError)) throw error;
    // A group alone shows its help, and so does --help.
    const isNamed = ['commander.missingArgument', 'commander.missingMandatoryOptionValue', 'commander.help'].includes(error.code);
    if (['commander.helpDisplayed', 'commander.version'].includes(error.code) || (isNamed && !isWhole)) return null;
    return `${error.code}: ${error.message}`;
  }
};

/** The commands of a shell text, as far as words, quotes, comments, pipes and redirections go. */
const commandsIn = (text: string, isWhole: boolean): readonly Found[] => {
  const found: Found[] = [];
  // A blank between brackets belongs to the placeholder, which stands for one word.
  const shell = text.replaceAll(/<[a-z][^<>\n]*>/gi, 'placeholder').replaceAll('\\\n', ' ');
  for (const line of shell.split('\n')) {
    const parts = line.match(/"[^"]*"|'[^']*'|#.*|[|;&()]+|[<>]+|[^\s"'|;&()<>]+|\s+/g) ?? [];
    let [words, word, isTarget, isComment]: [string[], string | null, boolean, boolean] = [[], null, false, false];
    const endWord = (): void => {
      if (word !== null && !isTarget) words.push(word);
      if (word !== null) isTarget = false;
      word = null;
    };
    const endCommand = (): void => {
      endWord();
      if (words[0] === 'nest' || words[0] === 'nest-agent') found.push({ words, isWhole });
      [words, isTarget] = [[], false];
    };
    for (const part of parts) {
      if (isComment) continue;
      if (/^\s/.test(part)) endWord();
      else if (part.startsWith('#') && word === null) isComment = true;
      else if (/^[|;&()]/.test(part)) endCommand();
      else if (/^[<>]/.test(part)) {
        endWord();
        isTarget = true;
      } else word = `${word ?? ''}${/^["']/.test(part) ? part.slice(1, -1) : part}`;
    }
    endCommand();
  }
  return found;
};

/** Commands of the fenced blocks, and those that the running text names. */
const commandsOf = (markdown: string): readonly Found[] => {
  const fence = /^( *)```(\w*)\n([\s\S]*?)^ *```$/gm;
  const blocks = [...markdown.matchAll(fence)].flatMap(([, , language, text = '']) =>
    language === '' || language === 'sh' ? commandsIn(text, true) : [],
  );
  const spans = [...markdown.replaceAll(fence, '').matchAll(/`(nest(?:-agent)? [^`]+)`/g)];
  return [...blocks, ...spans.flatMap(([, text = '']) => commandsIn(text.replaceAll(/\s*\n\s*/g, ' '), false))];
};

const texts = globSync('operations/*.md', { cwd: docs }).toSorted();

it.each(texts)('%s names only commands and options that are there', (file) => {
  const found = commandsOf(readFileSync(`${docs}/${file}`, 'utf8'));
  const problems = found.flatMap((command) => {
    const problem = problemOf(command);
    return problem === null ? [] : [`${command.words.join(' ')}\n    ${problem}`];
  });
  expect(problems).toEqual([]);
});

it('finds the commands of most texts, in blocks and between words', () => {
  const all = texts.flatMap((file) => commandsOf(readFileSync(`${docs}/${file}`, 'utf8')));
  expect(all.filter(({ isWhole }) => isWhole).length).toBeGreaterThan(100);
  expect(all.filter(({ isWhole }) => !isWhole).length).toBeGreaterThan(30);
});

it.each([
  ['a misspelt command', 'nest hots ls', 'unknownCommand'],
  ['a misspelt command of a group', 'nest hosts lss', 'unknownCommand'],
  ['a misspelt option', 'nest hosts ls --were x', 'unknownOption'],
  ['an option of another command', 'nest rollout pause 01 --soak 3', 'unknownOption'],
  ['a missing argument', 'nest hosts rm   # which one?', 'missingArgument'],
  ['an argument too many', 'nest fleet show edge-1', 'excessArguments'],
  ['a word that is no choice', 'nest completion tcsh > file', 'invalidArgument'],
  ['a misspelt command of the agent', 'sudo true; nest-agent leaf', 'excessArguments'],
  ['a misspelt option of the agent, after a pipe', 'cat x | nest-agent join --fast <a token>', 'unknownOption'],
])('refuses %s', (_what, line, code) => {
  for (const text of [`\`\`\`\n${line}\n\`\`\`\n`, `1. Say:\n\n   \`\`\`sh\n   ${line}\n   \`\`\`\n`])
    expect(commandsOf(text).map(problemOf)).toEqual([expect.stringMatching(code)]);
});
