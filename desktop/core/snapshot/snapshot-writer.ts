/** Fills chunks with hosts, policies and table images, and seals them while the next are filled. */
import { createHash } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import type { EnvelopeSigner } from '../../../proto/model/envelope.ts';
import { NestError } from '../../../proto/model/error.ts';
import { snapshotChunksMax, snapshotHostsMax, snapshotPlainBytesMax } from '../../../proto/model/snapshot.ts';
import type { SnapshotChunkKind, SnapshotHeader } from '../../../proto/model/snapshot.ts';
import type { RandomBytes } from '../../lib/api.ts';
import { chunkKeyOf, sealChunk } from './snapshot-chunk.ts';
import type { ChunkKey, SealedChunk } from './snapshot-chunk.ts';
import { encodeHostsChunk, encodeIndexChunk } from './snapshot-content.ts';
import type { IndexBlob, IndexHost, Place, SnapshotDocuments } from './snapshot-content.ts';
import { writeSnapshotFile } from './snapshot-file.ts';
import { keyCommitmentOf, wrapFileKey } from './snapshot-key.ts';
import type { SnapshotReaders } from './snapshot-key.ts';

/** A chunk of blobs is sealed when it has so many bytes. */
const chunkBytes = 1 << 20;
/** Hosts in one chunk: reading one host costs one chunk. */
const chunkHosts = 128;
/** Chunks being sealed at the same time; filling waits for the oldest. */
const sealingMax = 4;
/** Hosts in one chunk of the index. */
const indexHosts = 2_000;
/** Table images kept: one for each policy that differs, until one of these is reached. Traces compile the policy of the others. */
const imagesMax = 256;
const imageBytesMax = 32 << 20;

/** A host on its way into a file. */
export interface SnapshotEntry {
  readonly host: Omit<IndexHost, 'documents' | 'policy' | 'image'>;
  readonly documents: SnapshotDocuments;
  /** JSON of the policy in force; null when it is not known, or not part of the profile. */
  readonly policy: string | null;
}

export type SnapshotTitle = Pick<
  SnapshotHeader,
  | 'fleetId'
  | 'fleetName'
  | 'createdAtMs'
  | 'author'
  | 'consoleVersion'
  | 'profile'
  | 'accessEpoch'
  | 'accessRevision'
  | 'maskKeyId'
  | 'fleetRoot'
>;

export interface SnapshotWriterOptions {
  readonly random: RandomBytes;
  /** The table image of a policy; null when it does not compile any more. */
  readonly imageOf: (policy: string) => Uint8Array | null;
}

/** One file; `add` and `finish` are called one after the other. */
export class SnapshotWriter {
  readonly #options: SnapshotWriterOptions;
  readonly #snapshotId: Buffer;
  readonly #fileKey: Uint8Array;
  readonly #chunkKey: ChunkKey;
  readonly #sealed: Promise<SealedChunk>[] = [];
  readonly #hosts: IndexHost[] = [];
  readonly #blobs: IndexBlob[] = [];
  /** Numbers of blobs by policy text. */
  readonly #policies = new Map<string, { readonly policy: number; readonly image: number | null }>();
  #waiting: WaitingHost[] = [];
  #filling = emptyFilling();
  readonly #left = { flows: 0, images: 0, documents: 0 };
  #imageBytes = 0;
  #images = 0;

  constructor(options: SnapshotWriterOptions) {
    this.#options = options;
    this.#snapshotId = Buffer.from(options.random(16));
    this.#fileKey = options.random(32);
    this.#chunkKey = chunkKeyOf(this.#fileKey, this.#snapshotId);
  }

  /** What does not fit because of limits is counted. Raises LIMIT_REACHED for one host or chunk too many. */
  async add({ host, documents, policy }: SnapshotEntry, leftFlows = 0): Promise<void> {
    if (this.#hosts.length + this.#waiting.length >= snapshotHostsMax) throw tooLarge();
    this.#left.flows += leftFlows;
    const blobs = policy === null || policy === '' ? null : await this.#putPolicy(policy);
    this.#waiting.push({ host: { ...host, policy: blobs?.policy ?? null, image: blobs?.image ?? null }, documents });
    if (this.#waiting.length >= chunkHosts) await this.#flushHosts();
  }

  /** Seals what is left and signs. Raises PASSPHRASE_WEAK, INPUT_INVALID without a reader, LIMIT_REACHED. */
  async finish(title: SnapshotTitle, readers: SnapshotReaders, signer: EnvelopeSigner): Promise<Buffer> {
    const wrapping = wrapFileKey({ key: this.#fileKey, snapshotId: this.#snapshotId }, readers, this.#options.random);
    // Nobody waits for it yet: a refusal is raised below.
    wrapping.catch(() => undefined);
    await this.#flushHosts();
    await this.#flushBlobs();
    for (let first = 0; first < Math.max(1, this.#hosts.length); first += indexHosts) {
      const index = encodeIndexChunk({
        hosts: this.#hosts.slice(first, first + indexHosts),
        blobs: first === 0 ? this.#blobs : [],
        left: first === 0 ? this.#left : { flows: 0, images: 0, documents: 0 },
      });
      if (index.length > snapshotPlainBytesMax) throw tooLarge();
      await this.#sealAs(this.#number(), 'index', index);
    }
    const sealed = await Promise.all(this.#sealed);
    const header: SnapshotHeader = {
      ...title,
      snapshotId: this.#snapshotId,
      hosts: this.#hosts.length,
      recipients: await wrapping,
      keyCommitment: keyCommitmentOf(this.#fileKey),
      chunks: sealed.map(({ chunk }) => chunk),
    };
    return writeSnapshotFile(
      header,
      sealed.map(({ bytes }) => bytes),
      signer,
    );
  }

  /** One of a kind however many hosts have it. */
  async #putPolicy(text: string): Promise<{ readonly policy: number; readonly image: number | null }> {
    const known = this.#policies.get(text);
    if (known !== undefined) {
      if (known.image === null) this.#left.images += 1;
      return known;
    }
    const policy = await this.#putBlob(Buffer.from(text));
    const image = this.#images >= imagesMax ? null : this.#options.imageOf(text);
    const put = { policy, image: image === null ? null : await this.#putImage(image) };
    if (put.image === null) this.#left.images += 1;
    this.#policies.set(text, put);
    return put;
  }

  async #putImage(image: Uint8Array): Promise<number | null> {
    if (this.#imageBytes + image.length > imageBytesMax || image.length > snapshotPlainBytesMax) return null;
    this.#imageBytes += image.length;
    this.#images += 1;
    return this.#putBlob(Buffer.from(image));
  }

  async #putBlob(bytes: Buffer): Promise<number> {
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    this.#blobs.push({ sha256, place: await this.#put(bytes) });
    return this.#blobs.length - 1;
  }

  async #flushHosts(): Promise<void> {
    const waiting = this.#waiting;
    this.#waiting = [];
    await this.#sealHosts(waiting);
  }

  /** In halves when they are too large for one chunk; a single host that is too large keeps its row alone. */
  async #sealHosts(waiting: readonly WaitingHost[]): Promise<void> {
    if (waiting.length === 0) return;
    const plain = encodeHostsChunk(waiting.map(({ documents }) => documents));
    if (plain.length <= snapshotPlainBytesMax) {
      const chunk = this.#number();
      this.#hosts.push(...waiting.map(({ host }, row) => ({ ...host, documents: { chunk, row } })));
      await this.#sealAs(chunk, 'hosts', plain);
      return;
    }
    const half = Math.ceil(waiting.length / 2);
    if (waiting.length > 1) {
      await this.#sealHosts(waiting.slice(0, half));
      await this.#sealHosts(waiting.slice(half));
      return;
    }
    this.#left.documents += waiting.reduce((sum, { documents }) => sum + Object.keys(documents).length, 0);
    await this.#sealHosts(waiting.map(({ host }) => ({ host, documents: {} })));
  }

  async #put(bytes: Buffer): Promise<Place> {
    if (this.#filling.bytes > 0 && this.#filling.bytes + bytes.length > chunkBytes) await this.#flushBlobs();
    const into = this.#filling;
    // Numbers are given when a chunk is begun, so that a place is known before its chunk is full.
    const chunk = (into.number ??= this.#number());
    const place = { chunk, offset: into.bytes, bytes: bytes.length };
    into.parts.push(bytes);
    into.bytes += bytes.length;
    return place;
  }

  #number(): number {
    const number = this.#sealed.length;
    if (number >= snapshotChunksMax) throw tooLarge();
    // Its place in the file; the content follows.
    this.#sealed.push(pendingChunk);
    return number;
  }

  async #flushBlobs(): Promise<void> {
    const { number, parts, bytes } = this.#filling;
    this.#filling = emptyFilling();
    if (number === undefined || bytes === 0) return;
    await this.#sealAs(number, 'blob', Buffer.concat(parts));
  }

  async #sealAs(number: number, kind: SnapshotChunkKind, plain: Buffer): Promise<void> {
    const sealing = sealChunk(this.#chunkKey, number, { kind, plain });
    sealing.catch(() => undefined);
    this.#sealed[number] = sealing;
    // Whoever else waits for the event loop is let in once a chunk.
    await setImmediate();
    await this.#sealed[number - sealingMax];
  }
}

interface WaitingHost {
  readonly host: Omit<IndexHost, 'documents'>;
  readonly documents: SnapshotDocuments;
}

interface Filling {
  number: number | undefined;
  readonly parts: Buffer[];
  bytes: number;
}

const emptyFilling = (): Filling => ({ number: undefined, parts: [], bytes: 0 });

/** Never part of a file: every number that is given is sealed before the end. */
const pendingChunk: Promise<SealedChunk> = Promise.resolve({
  chunk: { kind: 'blob', plainBytes: 0, sealedBytes: 0, sha256: Buffer.alloc(32) },
  bytes: Buffer.alloc(0),
});

const tooLarge = (): NestError =>
  new NestError('LIMIT_REACHED', 'The snapshot would be larger than a console reads. Take fewer hosts, fewer flows or another profile.');
