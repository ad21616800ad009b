/** Secrets a command needs: from a file or the terminal, never from an argument, which everybody on the machine can read. */
import { readFile } from 'node:fs/promises';
import { NestError } from '../../proto/model/error.ts';
import type { Terminal } from './terminal.ts';
import { UsageError } from './usage-error.ts';

export interface SecretSource {
  readonly path: string | undefined;
  /** Said when there is no file and nobody can be asked. */
  readonly missing: string;
  readonly question: string;
}

/** Raises CONFIG_INVALID when the file cannot be read. */
export const readSecret = async (
  { terminal, signal }: { readonly terminal: Terminal; readonly signal: AbortSignal },
  { path, missing, question }: SecretSource,
): Promise<string> => {
  if (path !== undefined && path !== '') {
    try {
      return (await readFile(path, 'utf8')).replace(/\r?\n$/, '');
    } catch (error) {
      throw new NestError('CONFIG_INVALID', `The passphrase file ${path} cannot be read. Check the path and its rights.`, { cause: error });
    }
  }
  if (!terminal.isInteractive) throw new UsageError(missing);
  return terminal.askSecret(question, signal);
};

/** A secret that is made now: asked for twice in a terminal. Raises CONFIG_INVALID, and PASSPHRASE_WRONG when the two differ. */
export const readNewSecret = async (context: Parameters<typeof readSecret>[0], source: SecretSource): Promise<string> => {
  const secret = await readSecret(context, source);
  if (source.path === undefined && (await readSecret(context, { ...source, question: 'Once more: ' })) !== secret)
    throw new NestError('PASSPHRASE_WRONG', 'The two passphrases differ. Nothing was written.');
  return secret;
};
