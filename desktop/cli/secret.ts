/** Secrets a command needs: from a file or the terminal, never from an argument, which everybody on the machine can read. */
import { access, constants, readFile } from 'node:fs/promises';
import { NestError } from '../../proto/model/error.ts';
import type { Terminal } from './terminal.ts';
import { UsageError } from './usage-error.ts';

export interface SecretSource {
  readonly path: string | undefined;
  /** Said when there is no file and nobody can be asked. */
  readonly missing: string;
  readonly question: string;
  /** What the file holds, for messages; "passphrase" by default. */
  readonly noun?: string;
}

/** Raises CONFIG_INVALID when the file cannot be read. */
export const readSecret = async (
  { terminal, signal }: { readonly terminal: Terminal; readonly signal: AbortSignal },
  { path, missing, question, noun = 'passphrase' }: SecretSource,
): Promise<string> => {
  if (path !== undefined && path !== '') {
    try {
      return (await readFile(path, 'utf8')).replace(/\r?\n$/, '');
    } catch (error) {
      throw unreadable(noun, path, error);
    }
  }
  if (!terminal.isInteractive) throw new UsageError(missing);
  return terminal.askSecret(question, signal);
};

/** Before something is done that its secret can only follow; the file itself is read later, as it may be filled meanwhile. Raises CONFIG_INVALID. */
export const requireReadable = async (path: string, noun: string): Promise<void> => {
  try {
    await access(path, constants.R_OK);
  } catch (error) {
    throw unreadable(noun, path, error);
  }
};

const unreadable = (noun: string, path: string, cause: unknown): NestError =>
  new NestError('CONFIG_INVALID', `The ${noun} file ${path} cannot be read. Check the path and its rights.`, { cause });

/** A secret that is made now: asked for twice in a terminal. Raises CONFIG_INVALID, and PASSPHRASE_WRONG when the two differ. */
export const readNewSecret = async (context: Parameters<typeof readSecret>[0], source: SecretSource): Promise<string> => {
  const secret = await readSecret(context, source);
  if (source.path === undefined && (await readSecret(context, { ...source, question: 'Once more: ' })) !== secret)
    throw new NestError('PASSPHRASE_WRONG', 'The two passphrases differ. Nothing was written.');
  return secret;
};
