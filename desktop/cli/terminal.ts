/** What a command may do to the person in front of it; tests bring their own. */
import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';
import { NestError } from '../../proto/model/error.ts';
import { cancelled } from '../lib/api.ts';

export interface Terminal {
  out(text: string): void;
  /** Notes, questions and errors: never part of what a pipe reads. */
  note(text: string): void;
  /** True when a person can be asked. */
  readonly isInteractive: boolean;
  ask(question: string, signal: AbortSignal): Promise<string>;
  /** Asks without showing what is typed. */
  askSecret(question: string, signal: AbortSignal): Promise<string>;
  /** Single key presses until the signal aborts. */
  keys(signal: AbortSignal): AsyncIterable<string>;
  /** Everything on standard input. */
  readInput(signal: AbortSignal): Promise<string>;
}

/** The terminal this process runs in. */
export const processTerminal = (): Terminal => {
  const { stdin, stdout, stderr } = process;
  const question = async (text: string, output: NodeJS.WritableStream, signal: AbortSignal): Promise<string> => {
    const lines = createInterface({ input: stdin, output, terminal: stdin.isTTY });
    // Ctrl-C belongs to the process as everywhere else, not to the question.
    lines.on('SIGINT', () => process.kill(process.pid, 'SIGINT'));
    try {
      return await lines.question(text, { signal });
    } catch (error) {
      throw signal.aborted ? cancelled(error) : new NestError('CANCELLED', 'Nothing was answered.', { cause: error });
    } finally {
      lines.close();
    }
  };
  return {
    out: (text) => void stdout.write(`${text}\n`),
    note: (text) => void stderr.write(`${text}\n`),
    isInteractive: stdin.isTTY && stderr.isTTY,
    ask: (text, signal) => question(text, stderr, signal),
    askSecret: async (text, signal) => {
      stderr.write(text);
      const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
      const answer = await question('', silent, signal);
      stderr.write('\n');
      return answer;
    },
    keys: async function* (signal) {
      stdin.setRawMode(true);
      try {
        for await (const chunk of stdin.iterator({ destroyOnReturn: false })) {
          const key = String(chunk);
          // In raw mode Ctrl-C is a key: give it its meaning back.
          if (key === '\u0003') process.kill(process.pid, 'SIGINT');
          if (signal.aborted) return;
          yield key;
        }
      } finally {
        stdin.setRawMode(false);
        stdin.pause();
      }
    },
    readInput: async (signal) => {
      let text = '';
      for await (const chunk of stdin) {
        if (signal.aborted) throw cancelled();
        text += String(chunk);
      }
      return text;
    },
  };
};
