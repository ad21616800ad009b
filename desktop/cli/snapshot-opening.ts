/** Snapshot files on the command line: from disk into the core, opened with what the options name, and back to disk. */
import { open } from 'node:fs/promises';
import { NestError } from '../../proto/model/error.ts';
import { snapshotBytesMax } from '../../proto/model/snapshot.ts';
import type { HostRow } from '../bridge/model.ts';
import { snapshotPieceBytes } from '../bridge/snapshot-model.ts';
import type { SnapshotFile } from '../bridge/snapshot-model.ts';
import { readText } from './command-context.ts';
import type { CommandContext, GlobalOptions } from './command-context.ts';
import { readNewSecret, readSecret } from './secret.ts';
import type { SecretSource } from './secret.ts';
import { UsageError } from './usage-error.ts';

export interface OpenOptions extends GlobalOptions {
  readonly rootSha256?: string;
  readonly snapshotPassphraseFile?: string;
  readonly identity?: string;
  readonly identityPassphraseFile?: string;
  readonly acceptAuthor?: true;
}

/** Takes a file in and checks it. Raises INPUT_INVALID when it cannot be read, SNAPSHOT_INVALID, SNAPSHOT_FOREIGN. */
export const holdSnapshot = async (context: CommandContext, path: string, options: OpenOptions): Promise<SnapshotFile> => {
  const { handlers, signal } = context;
  const bytes = await readFileBytes(path);
  const { snapshotId } = await handlers['snapshot.begin'](
    { fileName: path.split(/[/\\]/).at(-1) ?? path, bytes: Math.max(1, bytes.length) },
    signal,
  );
  for (let offset = 0; offset < bytes.length; offset += snapshotPieceBytes) {
    const data = bytes.subarray(offset, offset + snapshotPieceBytes).toString('base64');
    await handlers['snapshot.append']({ snapshotId, offset, data }, signal);
  }
  return handlers['snapshot.inspect']({ snapshotId, ...rootOf(options) }, signal);
};

/** Takes a file in and opens it. Raises what the check raises, PASSPHRASE_WRONG, PROOF_INVALID, REVOKED, SCOPE_MISSING. */
export const openSnapshot = async (context: CommandContext, path: string, options: OpenOptions): Promise<SnapshotFile> => {
  const { handlers, signal } = context;
  const { snapshotId } = await holdSnapshot(context, path, options);
  const acceptAuthor = options.acceptAuthor === true ? { acceptAuthor: true } : {};
  return handlers['snapshot.open']({ snapshotId, ...rootOf(options), ...(await secretOf(context, options)), ...acceptAuthor }, signal);
};

/** Writes a file that the core holds. Raises STATE_FAILED, also when there is such a file already. */
export const saveSnapshot = async ({ handlers, signal }: CommandContext, snapshotId: string, path: string): Promise<void> => {
  try {
    await using file = await open(path, 'wx', 0o600);
    for (let offset: number | null = 0; offset !== null;) {
      const piece: { readonly data: string; readonly next: number | null } = await handlers['snapshot.read'](
        { snapshotId, offset },
        signal,
      );
      await file.write(Buffer.from(piece.data, 'base64'));
      offset = piece.next;
    }
    await file.sync();
  } catch (error) {
    if (error instanceof NestError) throw error;
    throw new NestError('STATE_FAILED', `${path} cannot be written. Choose a name that does not exist in a folder you may write to.`, {
      cause: error,
    });
  }
};

/** The host of a name or id in an open snapshot. Raises HOST_UNKNOWN. */
export const findSnapshotHost = async ({ handlers, signal }: CommandContext, snapshotId: string, nameOrId: string): Promise<HostRow> => {
  for (let offset = 0, total = 1; offset < total; offset += 10_000) {
    const page = await handlers['snapshot.hosts']({ snapshotId, offset, limit: 10_000 }, signal);
    const found = page.rows.find(({ name, hostId }) => name === nameOrId || hostId === nameOrId.toUpperCase());
    if (found !== undefined) return found;
    total = page.matched;
  }
  throw new NestError('HOST_UNKNOWN', `There is no host ${nameOrId} in the snapshot. "nest snapshot hosts" lists them.`, {
    details: { host: nameOrId },
  });
};

/** The passphrase of a snapshot that is being made. Raises CONFIG_INVALID, PASSPHRASE_WRONG when the two differ. */
export const newSnapshotPassphrase = (context: CommandContext, options: OpenOptions): Promise<string> =>
  readNewSecret(context, snapshotSecret(options, 'New passphrase of the snapshot (10 characters or more): '));

/** The passphrase of a key file that is being made. Raises CONFIG_INVALID, PASSPHRASE_WRONG when the two differ. */
export const newIdentityPassphrase = (context: CommandContext, options: OpenOptions): Promise<string> =>
  readNewSecret(context, identitySecret(options, 'New passphrase for the key file (10 characters or more): '));

const snapshotSecret = (options: OpenOptions, question: string): SecretSource => ({
  path: options.snapshotPassphraseFile,
  missing: 'A snapshot opens with a passphrase or a key: give --snapshot-passphrase-file, or --identity, or run this in a terminal.',
  question,
});

const identitySecret = (options: OpenOptions, question: string): SecretSource => ({
  path: options.identityPassphraseFile,
  missing: 'The key file has a passphrase: give --identity-passphrase-file, or run this in a terminal.',
  question,
});

const rootOf = ({ rootSha256 }: OpenOptions): { readonly rootSha256?: string } => {
  if (rootSha256 === undefined) return {};
  const hex = rootSha256.replaceAll(/[\s:]/g, '').toLowerCase();
  if (!/^[0-9a-f]{64}$/.test(hex)) throw new UsageError('--root-sha256 has 64 hexadecimal digits.');
  return { rootSha256: hex };
};

const secretOf = async (
  context: CommandContext,
  options: OpenOptions,
): Promise<{ readonly passphrase: string } | { readonly identity: { readonly file: string; readonly passphrase: string } }> => {
  if (options.identity === undefined)
    return { passphrase: await readSecret(context, snapshotSecret(options, 'Passphrase of the snapshot: ')) };
  const file = await readText(context, options.identity);
  const passphrase = await readSecret(context, identitySecret(options, 'Passphrase of the key file: '));
  return { identity: { file, passphrase } };
};

/** Never more in memory than a snapshot may have. */
const readFileBytes = async (path: string): Promise<Buffer> => {
  try {
    await using file = await open(path, 'r');
    const { size } = await file.stat();
    if (size <= snapshotBytesMax) return await file.readFile();
  } catch (error) {
    throw new NestError('INPUT_INVALID', `The file ${path} cannot be read. Check the path and its rights.`, { cause: error });
  }
  throw new NestError('SNAPSHOT_INVALID', `${path} is larger than a snapshot can be. Choose the right file.`);
};
