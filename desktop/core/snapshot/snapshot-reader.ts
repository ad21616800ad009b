/** An open snapshot: its index in memory, everything else read chunk by chunk when somebody asks. */
import { createHash } from 'node:crypto';
import { NestError } from '../../../proto/model/error.ts';
import { damaged } from '../../../proto/model/snapshot.ts';
import type { SnapshotHeader } from '../../../proto/model/snapshot.ts';
import { chunkKeyOf, openChunk } from './snapshot-chunk.ts';
import type { ChunkKey } from './snapshot-chunk.ts';
import { decodeHostsChunk, parseDocuments, parseIndexChunk } from './snapshot-content.ts';
import type { IndexBlob, IndexChunk, IndexHost, Place, SnapshotDocuments } from './snapshot-content.ts';
import type { SignedSnapshot } from './snapshot-file.ts';
import { unwrapFileKey } from './snapshot-key.ts';
import type { SnapshotSecret } from './snapshot-key.ts';

/** Decrypted chunks kept; a chunk is a megabyte as a rule. */
const chunksKept = 8;

export class SnapshotReader {
  readonly header: SnapshotHeader;
  /** By name, in the order of the file. */
  readonly hosts: readonly IndexHost[];
  readonly left: IndexChunk['left'];
  readonly #file: SignedSnapshot;
  readonly #key: ChunkKey;
  readonly #blobs: readonly IndexBlob[];
  readonly #byId: ReadonlyMap<string, IndexHost>;
  readonly #kept = new Map<number, Promise<Buffer>>();
  #table: { readonly number: number; readonly rows: Promise<readonly unknown[]> } | null = null;

  private constructor(file: SignedSnapshot, key: ChunkKey, index: readonly IndexChunk[]) {
    this.#file = file;
    this.#key = key;
    this.header = file.header;
    this.hosts = index.flatMap(({ hosts }) => hosts);
    this.#blobs = index.flatMap(({ blobs }) => blobs);
    this.left = index[0]?.left ?? { flows: 0, images: 0, documents: 0 };
    this.#byId = new Map(this.hosts.map((host) => [host.row.hostId, host]));
    if (this.hosts.length !== this.header.hosts || this.#byId.size !== this.hosts.length)
      throw damaged('its index has other hosts than its header says');
  }

  /**
   * Opens a file whose signature was checked. Raises PASSPHRASE_WRONG, PROOF_INVALID, SNAPSHOT_INVALID.
   */
  static async open(file: SignedSnapshot, secret: SnapshotSecret): Promise<SnapshotReader> {
    const key = chunkKeyOf(await unwrapFileKey(file.header, secret), file.header.snapshotId);
    const index: IndexChunk[] = [];
    for (const [number, chunk] of file.header.chunks.entries())
      if (chunk.kind === 'index') index.push(parseIndexChunk(await openChunk(key, number, { chunk, bytes: bytesOf(file, number) })));
    return new SnapshotReader(file, key, index);
  }

  /** Raises HOST_UNKNOWN. */
  host(hostId: string): IndexHost {
    const host = this.#byId.get(hostId);
    if (host !== undefined) return host;
    throw new NestError('HOST_UNKNOWN', 'This host is not in the snapshot. Look at the list of its hosts.', { details: { hostId } });
  }

  /** Null when there is none. */
  find(hostId: string): IndexHost | null {
    return this.#byId.get(hostId) ?? null;
  }

  /** What is kept of a host. Raises SNAPSHOT_INVALID. */
  async documents(host: IndexHost): Promise<SnapshotDocuments> {
    const { chunk: number, row } = host.documents;
    if (this.header.chunks[number]?.kind !== 'hosts') throw damaged('its index names something that is not there');
    // Hosts are looked at one after the other: of the chunk read last the table is kept.
    if (this.#table?.number !== number) this.#table = { number, rows: this.#chunk(number).then(decodeHostsChunk) };
    const { rows } = this.#table;
    return parseDocuments((await rows)[row]);
  }

  /** SHA-256 of a host's policy, hex; null when there is none. */
  policyHash({ policy }: IndexHost): string | null {
    return policy === null ? null : this.#blob(policy).sha256;
  }

  /** JSON; null when the snapshot has no policy of the host. Raises SNAPSHOT_INVALID. */
  async policy({ policy }: IndexHost): Promise<string | null> {
    return policy === null ? null : (await this.#readBlob(policy)).toString();
  }

  /** The tables that policy compiles to; null when they were left out. Raises SNAPSHOT_INVALID. */
  async image({ image }: IndexHost): Promise<Uint8Array | null> {
    return image === null ? null : new Uint8Array(await this.#readBlob(image));
  }

  #blob(number: number): IndexBlob {
    const blob = this.#blobs[number];
    if (blob === undefined) throw damaged('its index names something that is not there');
    return blob;
  }

  async #readBlob(number: number): Promise<Buffer> {
    const { sha256, place } = this.#blob(number);
    const bytes = await this.#read(place);
    if (createHash('sha256').update(bytes).digest('hex') !== sha256) throw damaged('a policy or table is not the one its index names');
    return bytes;
  }

  async #read({ chunk: number, offset, bytes }: Place): Promise<Buffer> {
    const chunk = this.header.chunks[number];
    if (chunk === undefined || chunk.kind !== 'blob' || offset + bytes > chunk.plainBytes)
      throw damaged('its index names something that is not there');
    const plain = await this.#chunk(number);
    return plain.subarray(offset, offset + bytes);
  }

  #chunk(number: number): Promise<Buffer> {
    const chunk = this.header.chunks[number];
    if (chunk === undefined) throw damaged('its index names something that is not there');
    const opened = this.#kept.get(number) ?? openChunk(this.#key, number, { chunk, bytes: bytesOf(this.#file, number) });
    // The one used last stands last; a failed one is tried again.
    this.#kept.delete(number);
    this.#kept.set(number, opened);
    opened.catch(() => this.#kept.delete(number));
    for (const oldest of this.#kept.keys()) {
      if (this.#kept.size <= chunksKept) break;
      this.#kept.delete(oldest);
    }
    return opened;
  }
}

const bytesOf = (file: SignedSnapshot, number: number): Buffer => file.chunks[number] ?? Buffer.alloc(0);
