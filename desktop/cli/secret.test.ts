import { describe, expect, it } from 'vitest';
import { NestError } from '../../proto/model/error.ts';
import { newIdentityPassphrase, newSnapshotPassphrase } from './snapshot-opening.ts';
import type { CommandContext } from './command-context.ts';

/** A terminal that answers in turn and keeps what it was asked. */
const terminalOf = (...answers: readonly string[]): { readonly context: CommandContext; readonly asked: string[] } => {
  const asked: string[] = [];
  const left = [...answers];
  const askSecret = (question: string): Promise<string> => {
    asked.push(question);
    return Promise.resolve(left.shift() ?? '');
  };
  const context = { terminal: { isInteractive: true, askSecret }, signal: new AbortController().signal };
  return { context: context as unknown as CommandContext, asked };
};

describe.each([
  ['a key file', newIdentityPassphrase],
  ['a snapshot', newSnapshotPassphrase],
])('the new passphrase of %s', (_what, read) => {
  it('is asked for twice in a terminal', async () => {
    const { context, asked } = terminalOf('correct horse', 'correct horse');
    expect(await read(context, { data: '' })).toBe('correct horse');
    expect(asked).toEqual([expect.stringContaining('New passphrase'), 'Once more: ']);
  });

  it('is refused when the two differ', async () => {
    const { context } = terminalOf('correct horse', 'correct hose');
    await expect(read(context, { data: '' })).rejects.toSatisfy((error) => error instanceof NestError && error.code === 'PASSPHRASE_WRONG');
  });
});
