/** The snapshot files a console holds: coming in, made here, looked at, open. They are in memory and gone with it. */
import { NestError } from '../../../proto/model/error.ts';
import { snapshotBytesMax } from '../../../proto/model/snapshot.ts';
import { snapshotPieceBytes } from '../../bridge/snapshot-model.ts';
import type { SnapshotFile, SnapshotInfo, SnapshotPiece } from '../../bridge/snapshot-model.ts';
import { ulidOf } from '../../lib/api.ts';
import type { Clock, RandomBytes } from '../../lib/api.ts';
import { readSnapshotFile } from './snapshot-file.ts';
import type { SignedSnapshot } from './snapshot-file.ts';
import type { SnapshotSecret } from './snapshot-key.ts';
import { SnapshotReader } from './snapshot-reader.ts';

/** Files held at a time. */
const filesMax = 6;
/** Their bytes together. */
const bytesMax = 256 << 20;

interface HeldFile {
  readonly snapshotId: string;
  readonly fileName: string;
  readonly bytes: Buffer;
  received: number;
  signed: SignedSnapshot | null;
  info: SnapshotInfo | null;
  reader: SnapshotReader | null;
}

export class SnapshotDesk {
  readonly #clock: Clock;
  readonly #random: RandomBytes;
  readonly #files = new Map<string, HeldFile>();

  constructor({ clock, random }: { readonly clock: Clock; readonly random: RandomBytes }) {
    this.#clock = clock;
    this.#random = random;
  }

  list(): readonly SnapshotFile[] {
    return [...this.#files.values()].map(shown);
  }

  /** Makes room for a file of so many bytes. Raises SNAPSHOT_INVALID, LIMIT_REACHED. */
  begin(fileName: string, bytes: number): SnapshotFile {
    if (bytes > snapshotBytesMax)
      throw new NestError('SNAPSHOT_INVALID', `A snapshot has at most ${String(snapshotBytesMax >> 20)} MiB. Choose the right file.`);
    this.#checkRoom(bytes);
    return shown(this.#hold(fileName, Buffer.alloc(bytes), 0));
  }

  /** Raises LIMIT_REACHED when too many files are held already: asked before one is made. */
  checkRoom(): void {
    this.#checkRoom(0);
  }

  /** A file that was made here. Raises LIMIT_REACHED. */
  put(fileName: string, bytes: Buffer): string {
    this.#checkRoom(bytes.length);
    return this.#hold(fileName, bytes, bytes.length).snapshotId;
  }

  /** The next bytes of a file that comes in. Raises NOT_FOUND, INPUT_INVALID for bytes out of order or too many. */
  append(snapshotId: string, offset: number, data: string): SnapshotFile {
    const file = this.#file(snapshotId);
    const piece = Buffer.from(data, 'base64');
    if (offset !== file.received || offset + piece.length > file.bytes.length)
      throw new NestError('INPUT_INVALID', 'The pieces of the file do not fit together. Choose the file again.');
    piece.copy(file.bytes, offset);
    file.received += piece.length;
    return shown(file);
  }

  /** Raises NOT_FOUND, INPUT_INVALID. */
  read(snapshotId: string, offset: number): SnapshotPiece {
    const { bytes } = this.#whole(snapshotId);
    if (offset > bytes.length) throw new NestError('INPUT_INVALID', 'The file ends before that. Read it again from its beginning.');
    const end = Math.min(bytes.length, offset + snapshotPieceBytes);
    return { data: bytes.subarray(offset, end).toString('base64'), next: end === bytes.length ? null : end };
  }

  /** Checks every byte, each time with what is known now. Raises NOT_FOUND, INPUT_INVALID, SNAPSHOT_INVALID, SNAPSHOT_FOREIGN. */
  inspect(snapshotId: string, infoOf: (signed: SignedSnapshot) => SnapshotInfo): SnapshotFile {
    const file = this.#whole(snapshotId);
    const signed = (file.signed ??= readSnapshotFile(file.bytes, this.#clock.now()));
    file.info = infoOf(signed);
    return shown(file);
  }

  /** Opens a file that was looked at. Raises what the reader raises. */
  async open(snapshotId: string, secret: SnapshotSecret): Promise<SnapshotFile> {
    const file = this.#whole(snapshotId);
    if (file.signed === null) throw new NestError('INPUT_INVALID', 'The file was not checked yet. Inspect it first.');
    file.reader ??= await SnapshotReader.open(file.signed, secret);
    return shown(file);
  }

  /** Raises NOT_FOUND; INPUT_INVALID for one that is not open. */
  reader(snapshotId: string): { readonly reader: SnapshotReader; readonly file: SnapshotFile } {
    const file = this.#file(snapshotId);
    if (file.reader === null) throw new NestError('INPUT_INVALID', 'This snapshot is not open. Open it with its passphrase or key.');
    return { reader: file.reader, file: shown(file) };
  }

  /** Forgets a file and its key. */
  close(snapshotId: string): void {
    this.#files.delete(snapshotId);
  }

  #file(snapshotId: string): HeldFile {
    const file = this.#files.get(snapshotId);
    if (file !== undefined) return file;
    throw new NestError('NOT_FOUND', 'This console does not hold that snapshot any more. Choose the file again.');
  }

  #whole(snapshotId: string): HeldFile {
    const file = this.#file(snapshotId);
    if (file.received === file.bytes.length) return file;
    throw new NestError('INPUT_INVALID', 'The file has not come in yet. Wait until it has.');
  }

  #hold(fileName: string, bytes: Buffer, received: number): HeldFile {
    const snapshotId = ulidOf(this.#clock.now(), this.#random);
    const file = { snapshotId, fileName, bytes, received, signed: null, info: null, reader: null };
    this.#files.set(snapshotId, file);
    return file;
  }

  #checkRoom(bytes: number): void {
    const held = [...this.#files.values()].reduce((sum, file) => sum + file.bytes.length, 0);
    if (this.#files.size >= filesMax || held + bytes > bytesMax)
      throw new NestError('LIMIT_REACHED', 'This console holds as many snapshots as it can. Close one, then try again.', {
        details: { files: this.#files.size, bytes: held },
      });
  }
}

const shown = ({ snapshotId, fileName, bytes, received, info, reader }: HeldFile): SnapshotFile => ({
  snapshotId,
  fileName,
  bytes: bytes.length,
  received,
  info,
  isOpen: reader !== null,
  left: reader?.left ?? null,
});
