/** Appends entries in groups, each made durable by one flush; cuts the log into segments and retires the oldest. */
import { constants, statSync } from 'node:fs';
import { open, rm, stat } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { auditActions, auditEntryBytesMax, auditHashOf, emptyFact, writeAuditEntry } from '../../../proto/model/audit.ts';
import type { AuditFact, ChainEnd } from '../../../proto/model/audit.ts';
import { NestError } from '../../../proto/model/error.ts';
import { syncDirectory } from '../../lib/atomic-file.ts';
import type { Clock, Timer } from '../../lib/clock.ts';
import { frameHeadBytes, sealFrame, segmentMagic, segmentOf } from './segment.ts';
import type { Segment } from './segment.ts';

/** Entries that one flush makes durable. */
const groupMax = 500;
/** How long an entry waits for company, milliseconds. */
const groupWaitMs = 5;
/** Entries that wait for the disk; more are refused. */
const waitingMax = 65_536;
const groupBytes = 256 << 10;
/** One call instead of a write and a flush: as durable as fdatasync after each write. */
const openFlags = constants.O_RDWR | constants.O_DSYNC;

export interface AuditWriterOptions {
  readonly directory: string;
  readonly clock: Clock;
  /** A segment that has reached this is followed by a new one, bytes. */
  readonly segmentBytesMax: number;
  /** Segments kept; with more the oldest is retired, and the log says so. At least 2. */
  readonly segmentsMax: number;
  /** After every durable group. */
  readonly onWritten: (entries: number) => void;
  /** A group that could not be written, or null once writing works again. */
  readonly onProblem: (error: NestError | null) => void;
}

interface Waiting {
  readonly fact: AuditFact;
  readonly atMs: number;
  readonly resolve: (number: number) => void;
  readonly reject: (error: NestError) => void;
}

/** Entries as they go to the disk. */
interface Group {
  readonly members: readonly Waiting[];
  readonly buffer: Buffer;
  readonly bytes: number;
  readonly end: ChainEnd;
}

export class AuditWriter {
  readonly #options: AuditWriterOptions;
  /** One is filled while the other is written. */
  readonly #buffers = [makeBuffer(), makeBuffer()] as const;
  #segments: Segment[];
  #end: ChainEnd;
  #file: FileHandle | null = null;
  /** Sound length of the last segment; null: begin a new one. */
  #offset: number | null;
  /** What comes after `#offset` may be half a group: cut before the next. */
  #isDirty = false;
  #waiting: Waiting[] = [];
  #timer: Timer | null = null;
  #running: Promise<void> | null = null;
  #hasFailed = false;
  #isClosed = false;

  constructor(
    options: AuditWriterOptions,
    state: { readonly segments: readonly Segment[]; readonly end: ChainEnd; readonly offset: number | null },
  ) {
    this.#options = options;
    this.#segments = [...state.segments];
    this.#end = state.end;
    this.#offset = state.offset;
  }

  get end(): ChainEnd {
    return this.#end;
  }

  get segments(): readonly Segment[] {
    return this.#segments;
  }

  append(fact: AuditFact, isDurable: boolean): Promise<number> {
    if (this.#isClosed) return Promise.reject(failed('the agent stops'));
    if (this.#waiting.length >= waitingMax) return Promise.reject(failed('too many entries wait for the disk'));
    return new Promise((resolve, reject) => {
      this.#waiting.push({ fact, atMs: this.#options.clock.nowMs(), resolve, reject });
      if (this.#running !== null) return;
      if (isDurable || this.#waiting.length >= groupMax) this.#run();
      else this.#timer ??= this.#options.clock.after(groupWaitMs, () => this.#run());
    });
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    if (this.#waiting.length > 0) this.#run();
    await this.#running;
    await this.#file?.close();
    this.#file = null;
  }

  #run(): void {
    this.#timer?.cancel();
    this.#timer = null;
    if (this.#running === null && this.#waiting.length > 0) this.#running = this.#drain();
  }

  /** While one group is on its way to the disk the next is made ready, when there are enough for it. */
  async #drain(): Promise<void> {
    let ready: Group | null = null;
    while (ready !== null || this.#waiting.length > 0) {
      let group: Group | null = ready;
      try {
        const file = await this.#openFile();
        group ??= this.#take(this.#end, this.#buffers[0]);
        const putting = this.#put(file, group);
        ready =
          this.#waiting.length < groupMax
            ? null
            : this.#take(
                group.end,
                this.#buffers.find((buffer) => buffer !== group?.buffer),
              );
        await putting;
        this.#settle(group);
      } catch (error) {
        if (ready !== null && ready !== group) this.#waiting.unshift(...ready.members);
        ready = null;
        this.#refuse(group?.members ?? this.#waiting.splice(0, groupMax), failed(reasonOf(error), error));
      }
      if (ready === null || !this.#isFull()) continue;
      // A new segment may begin with a word about the oldest: what was made ready follows that.
      this.#waiting.unshift(...ready.members);
      ready = null;
    }
    // In the same turn as the last look at what waits, or an entry could wait for nobody.
    this.#running = null;
  }

  #settle({ members, end }: Group): void {
    const first = end.number - members.length + 1;
    for (const [index, { resolve }] of members.entries()) resolve(first + index);
    this.#tell(null);
    this.#options.onWritten(members.length);
  }

  #refuse(members: readonly Waiting[], problem: NestError): void {
    this.#tell(problem);
    for (const { reject } of members) reject(problem);
  }

  #isFull(): boolean {
    return this.#offset === null || this.#offset >= this.#options.segmentBytesMax;
  }

  #tell(problem: NestError | null): void {
    if (problem === null && !this.#hasFailed) return;
    this.#hasFailed = problem !== null;
    this.#options.onProblem(problem);
  }

  /** Takes what fits one group from those that wait. */
  #take(from: ChainEnd, buffer: Buffer = this.#buffers[0]): Group {
    const group = encodeGroup(this.#waiting, from, buffer);
    this.#waiting.splice(0, group.members.length);
    return group;
  }

  /** Appends the group and waits until it is on the disk; after a failure the file is as before, or will be made so. */
  async #put(file: FileHandle, { buffer, bytes, end }: Omit<Group, 'members'>): Promise<void> {
    const offset = this.#offset ?? 0;
    this.#isDirty = true;
    this.#refuseRemoved();
    await writeAll(file, buffer.subarray(0, bytes), offset);
    this.#isDirty = false;
    this.#offset = offset + bytes;
    this.#end = end;
  }

  /**
   * A log whose file was removed under the agent must not go on in a file that nobody can find. Asked at once: the kernel knows the
   * name of a file that is open, and a thread of its own would cost ten times as much as the answer.
   */
  #refuseRemoved(): void {
    const last = this.#segments.at(-1);
    if (last !== undefined) statSync(last.path);
  }

  /** The file to append to: without the leftovers of a failed group, and a new one when the last is full. */
  async #openFile(): Promise<FileHandle> {
    const last = this.#segments.at(-1);
    if (this.#isDirty && this.#offset !== null && last !== undefined) {
      // After a failed flush nobody knows which pages reached the disk: the file is opened and cut anew.
      await this.#file?.close().catch(() => undefined);
      this.#file = null;
      this.#file = await open(last.path, openFlags);
      await this.#file.truncate(this.#offset);
      await this.#file.datasync();
      this.#isDirty = false;
    }
    if (last === undefined || this.#isFull()) return this.#begin();
    this.#file ??= await open(last.path, openFlags);
    return this.#file;
  }

  async #begin(): Promise<FileHandle> {
    const { directory, segmentsMax } = this.#options;
    const segment = segmentOf(directory, this.#end.number + 1);
    // A beginning that failed half way left a file without an entry; one with entries is never overwritten.
    const leftover = await stat(segment.path).catch(() => null);
    if (leftover !== null && leftover.size <= segmentMagic.length) await rm(segment.path);
    const file = await open(segment.path, openFlags | constants.O_CREAT | constants.O_EXCL, 0o600);
    try {
      await file.write(segmentMagic, 0, segmentMagic.length, 0);
      await file.sync();
      await syncDirectory(directory);
    } catch (error) {
      await file.close();
      throw error;
    }
    await this.#file?.close();
    this.#file = file;
    this.#segments.push(segment);
    this.#offset = segmentMagic.length;
    while (this.#segments.length > segmentsMax) await this.#retire(file);
    return file;
  }

  /** First the log says durably which entries go and with which hash they end; then they go. */
  async #retire(file: FileHandle): Promise<void> {
    const [oldest, next] = this.#segments;
    if (oldest === undefined || next === undefined) throw new Error('a log of one segment cannot retire it');
    const last = next.first - 1;
    const fact: AuditFact = {
      ...emptyFact,
      actor: 'agent',
      action: auditActions.retired,
      target: `${String(oldest.first)}-${String(last)}`,
      detail: await this.#previousOf(next),
    };
    const waiting = { fact, atMs: this.#options.clock.nowMs(), resolve: () => undefined, reject: () => undefined };
    await this.#put(file, encodeGroup([waiting], this.#end, this.#buffers[0]));
    await rm(oldest.path);
    this.#segments.shift();
  }

  /** Hash (hex) that the first entry of a segment carries of the one before it. */
  async #previousOf({ path }: Segment): Promise<string> {
    const file = await open(path, 'r');
    try {
      const { buffer } = await file.read(Buffer.alloc(32), 0, 32, segmentMagic.length + frameHeadBytes + 17);
      return buffer.toString('hex');
    } finally {
      await file.close();
    }
  }
}

const makeBuffer = (): Buffer => Buffer.allocUnsafe(groupBytes + auditEntryBytesMax + frameHeadBytes);

/** As many as fit, at most `groupMax`. */
const encodeGroup = (waiting: readonly Waiting[], from: ChainEnd, buffer: Buffer): Group => {
  let { number, hash } = from;
  let count = 0;
  let offset = 0;
  for (const { fact, atMs } of waiting) {
    if (offset > groupBytes || count === groupMax) break;
    number += 1;
    const start = offset + frameHeadBytes;
    const stop = writeAuditEntry(fact, { number, atMs, previous: hash }, { buffer, offset: start });
    sealFrame(buffer, offset, stop);
    hash = auditHashOf(buffer.subarray(start, stop));
    offset = stop;
    count += 1;
  }
  return { members: waiting.slice(0, count), buffer, bytes: offset, end: { number, hash } };
};

/** Writes all of it; the file was opened so that a write returns when it is on the disk. */
const writeAll = async (file: FileHandle, content: Buffer, offset: number): Promise<void> => {
  let written = 0;
  while (written < content.length) {
    const { bytesWritten } = await file.write(content, written, content.length - written, offset + written);
    if (bytesWritten === 0) throw new Error('nothing could be written');
    written += bytesWritten;
  }
};

/** The refusal of whatever could not be audited. */
export const failed = (reason: string, cause?: unknown): NestError =>
  new NestError(
    'AUDIT_FAILED',
    `The audit entry could not be written (${reason}), so this was not done. Check disk space and permissions of the agent's state directory, then try again.`,
    { cause },
  );

/** The file system's word for a failure. */
export const reasonOf = (error: unknown): string => (error instanceof Error && 'code' in error ? String(error.code) : 'it failed');
