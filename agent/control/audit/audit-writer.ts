/** Appends entries in groups, each made durable by one flush; cuts the log into segments and retires the oldest. */
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

export class AuditWriter {
  readonly #options: AuditWriterOptions;
  /** Grows for a group of long entries; what is written is copied by the system before the next group begins. */
  readonly #buffer = Buffer.allocUnsafe(groupBytes + auditEntryBytesMax + frameHeadBytes);
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

  async #drain(): Promise<void> {
    while (this.#waiting.length > 0) {
      const group = this.#waiting.splice(0, groupMax);
      let rest: readonly Waiting[] = group;
      try {
        while (rest.length > 0) rest = await this.#write(rest);
        this.#tell(null);
      } catch (error) {
        const problem = failed(reasonOf(error), error);
        this.#tell(problem);
        for (const { reject } of rest) reject(problem);
      }
    }
    // In the same turn as the last look at what waits, or an entry could wait for nobody.
    this.#running = null;
  }

  #tell(problem: NestError | null): void {
    if (problem === null && !this.#hasFailed) return;
    this.#hasFailed = problem !== null;
    this.#options.onProblem(problem);
  }

  /** Writes as many of the group as fit the buffer and returns the others. */
  async #write(group: readonly Waiting[]): Promise<readonly Waiting[]> {
    const file = await this.#openFile();
    const { entries, end, bytes } = this.#encode(group);
    await this.#put(file, bytes, end);
    for (const [index, { resolve }] of group.slice(0, entries).entries()) resolve(end.number - entries + 1 + index);
    this.#options.onWritten(entries);
    return group.slice(entries);
  }

  #encode(group: readonly Waiting[]): { readonly entries: number; readonly end: ChainEnd; readonly bytes: number } {
    const buffer = this.#buffer;
    let { number, hash } = this.#end;
    let entries = 0;
    let offset = 0;
    for (const { fact, atMs } of group) {
      if (offset > groupBytes) break;
      number += 1;
      const start = offset + frameHeadBytes;
      const stop = writeAuditEntry({ ...fact, number, atMs }, hash, { buffer, offset: start });
      sealFrame(buffer, offset, stop);
      hash = auditHashOf(buffer.subarray(start, stop));
      offset = stop;
      entries += 1;
    }
    return { entries, end: { number, hash }, bytes: offset };
  }

  /** Appends what the buffer holds; after a failure the file is as before, or will be made so. */
  async #put(file: FileHandle, bytes: number, end: ChainEnd): Promise<void> {
    const offset = this.#offset ?? 0;
    this.#isDirty = true;
    let written = 0;
    while (written < bytes) {
      const { bytesWritten } = await file.write(this.#buffer, written, bytes - written, offset + written);
      if (bytesWritten === 0) throw new Error('nothing could be written');
      written += bytesWritten;
    }
    await file.datasync();
    this.#isDirty = false;
    this.#offset = offset + bytes;
    this.#end = end;
  }

  /** The file to append to: without the leftovers of a failed group, and a new one when the last is full. */
  async #openFile(): Promise<FileHandle> {
    const last = this.#segments.at(-1);
    if (this.#isDirty && this.#offset !== null && last !== undefined) {
      // After a failed flush nobody knows which pages reached the disk: the file is opened and cut anew.
      await this.#file?.close().catch(() => undefined);
      this.#file = null;
      this.#file = await open(last.path, 'r+');
      await this.#file.truncate(this.#offset);
      await this.#file.datasync();
      this.#isDirty = false;
    }
    if (this.#offset === null || last === undefined || this.#offset >= this.#options.segmentBytesMax) return this.#begin();
    // A log whose file was removed under the agent must not go on in a file that nobody can find.
    await stat(last.path);
    this.#file ??= await open(last.path, 'r+');
    return this.#file;
  }

  async #begin(): Promise<FileHandle> {
    const { directory, segmentsMax } = this.#options;
    const segment = segmentOf(directory, this.#end.number + 1);
    // A beginning that failed half way left a file without an entry; one with entries is never overwritten.
    const leftover = await stat(segment.path).catch(() => null);
    if (leftover !== null && leftover.size <= segmentMagic.length) await rm(segment.path);
    const file = await open(segment.path, 'wx+', 0o600);
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
    const { end, bytes } = this.#encode([{ fact, atMs: this.#options.clock.nowMs(), resolve: () => undefined, reject: () => undefined }]);
    await this.#put(file, bytes, end);
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

/** The refusal of whatever could not be audited. */
export const failed = (reason: string, cause?: unknown): NestError =>
  new NestError(
    'AUDIT_FAILED',
    `The audit entry could not be written (${reason}), so this was not done. Check disk space and permissions of the agent's state directory, then try again.`,
    { cause },
  );

/** The file system's word for a failure. */
export const reasonOf = (error: unknown): string => (error instanceof Error && 'code' in error ? String(error.code) : 'it failed');
