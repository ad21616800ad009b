import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { auditActions, auditNumberOf, brokenAt, emptyFact } from '../../../proto/model/audit.ts';
import type { AuditFact } from '../../../proto/model/audit.ts';
import { NestError } from '../../../proto/model/error.ts';
import { makePrivateDirectory } from '../../lib/atomic-file.ts';
import type { Clock, Timer } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import type { RaiseWarning } from '../revisions/api.ts';
import type { AuditAppend, AuditControl, AuditVerdict, SignedHead } from './api.ts';
import { AuditWriter, failed, reasonOf } from './audit-writer.ts';
import { openHeadFile } from './head-file.ts';
import type { HeadFile } from './head-file.ts';
import type { HeadSigner } from './head-signer.ts';
import { LateAudit } from './late-audit.ts';
import { recoverLog } from './recovery.ts';
import type { Recovered } from './recovery.ts';
import { createRefusalCounter } from './refusal-counter.ts';
import type { RefusalCounter } from './refusal-counter.ts';
import { framesOf, framesStart } from './segment.ts';
import { verifyLog } from './verify-log.ts';

/** A head is signed after so many entries, or so long after the first that has none. */
const headEntries = 1000;
const headMs = 10_000;
/** What the agent did by itself and could not write yet; beyond it is counted. */
const notesMax = 256;
const noteRetryMs = 10_000;
/** Entries in one piece of a list. */
const pieceMax = 500;
const segmentBytesDefault = 8 << 20;
const segmentsDefault = 32;

export interface AuditOptions {
  readonly stateDir: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly sign: HeadSigner;
  readonly raise: RaiseWarning;
  readonly segmentBytesMax?: number;
  readonly segmentsMax?: number;
}

/**
 * Opens the log below the state directory, healing what a power cut tore. When the disk does not let it, the agent starts all the same:
 * every append raises AUDIT_FAILED until the log could be opened after all.
 */
export const createAuditControl = async (options: AuditOptions): Promise<AuditControl> => {
  try {
    return await openLog(options);
  } catch (error) {
    raiseFailure(options, error);
    return new LateAudit(() => openLog(options), options.clock);
  }
};

const openLog = async (options: AuditOptions): Promise<AuditControl> => {
  const directory = join(options.stateDir, 'audit');
  await makePrivateDirectory(directory);
  const heads = await openHeadFile(directory);
  try {
    const recovered = await recoverLog(directory, heads.heads);
    const control = new Audit({ options, directory, heads, recovered });
    control.sayWhatWasFound(recovered, heads.tornBytes);
    return control;
  } catch (error) {
    await heads.close();
    throw error;
  }
};

const raiseFailure = ({ log, raise }: AuditOptions, error: unknown): void => {
  if (error !== null) log.error('audit entry could not be written', { error });
  const title = 'Nothing can be changed: the audit log cannot be written';
  const message = error instanceof NestError ? error.message : failed(reasonOf(error)).message;
  raise('AUDIT_FAILED', error === null ? null : { title, message, severity: 'critical' });
};

interface AuditParts {
  readonly options: AuditOptions;
  readonly directory: string;
  readonly heads: HeadFile;
  readonly recovered: Recovered;
}

class Audit implements AuditControl {
  readonly #options: AuditOptions;
  readonly #directory: string;
  readonly #heads: HeadFile;
  readonly #writer: AuditWriter;
  readonly #refusals: RefusalCounter;
  readonly #notes: AuditFact[] = [];
  #notesLost = 0;
  #noting: Promise<void> | null = null;
  #noteTimer: Timer | null = null;
  #unsigned = 0;
  #headTimer: Timer | null = null;
  /** Heads are written one after the other. */
  #signing: Promise<void> = Promise.resolve();
  #broken: number | null;
  #closing: Promise<void> | null = null;

  constructor({ options, directory, heads, recovered }: AuditParts) {
    this.#options = options;
    this.#directory = directory;
    this.#heads = heads;
    this.#broken = recovered.broken;
    this.#refusals = createRefusalCounter(options.clock, () => {
      for (const fact of this.#refusals.flush()) this.note(fact);
    });
    this.#writer = new AuditWriter(
      {
        directory,
        clock: options.clock,
        segmentBytesMax: options.segmentBytesMax ?? segmentBytesDefault,
        segmentsMax: options.segmentsMax ?? segmentsDefault,
        onWritten: (entries) => this.#written(entries),
        onProblem: (error) => raiseFailure(options, error),
      },
      recovered,
    );
  }

  /** The log's first words after a start that was not clean. */
  sayWhatWasFound({ torn, broken }: Recovered, headBytes: number): void {
    const said = { ...emptyFact, actor: 'agent' };
    if (torn !== null || headBytes > 0) {
      const detail = [
        ...(torn === null ? [] : [`${String(torn.bytes)} bytes that could not be read were set aside in ${torn.file}`]),
        ...(headBytes > 0 ? [`${String(headBytes)} bytes of a signed head that was not finished were dropped`] : []),
      ].join('; ');
      this.note({ ...said, action: auditActions.healed, detail });
    }
    if (broken !== null)
      this.note({
        ...said,
        action: auditActions.broken,
        target: `entry ${String(broken)}`,
        result: 'AUDIT_BROKEN',
        detail: 'missing or changed since it was signed for',
      });
    this.#options.raise('AUDIT_FAILED', null);
    this.#raiseBroken();
  }

  append(fact: AuditFact, { durable = false }: AuditAppend = {}): Promise<number> {
    return this.#writer.append(fact, durable);
  }

  async refused(fact: AuditFact): Promise<void> {
    if (this.#refusals.take(fact)) await this.#writer.append(fact, false);
  }

  note(fact: AuditFact): void {
    if (this.#notes.length >= notesMax) this.#notesLost += 1;
    else this.#notes.push(fact);
    this.#startNotes();
  }

  async head(): Promise<SignedHead> {
    await this.#sign();
    const head = this.#heads.heads.at(-1);
    if (this.#writer.end.number === 0) throw new NestError('NOT_FOUND', 'The audit log of this host is empty.');
    if (head === undefined)
      throw new NestError('NOT_ENROLLED', 'This host belongs to no fleet yet, so nobody could check a signature of it.');
    return head;
  }

  extent(): { readonly first: number; readonly last: number } {
    const { number } = this.#writer.end;
    return number === 0 ? { first: 0, last: 0 } : { first: this.#writer.segments[0]?.first ?? number + 1, last: number };
  }

  end(): { readonly number: number; readonly hash: Uint8Array } {
    return this.#writer.end;
  }

  broken(): number | null {
    return this.#broken;
  }

  async *entries(after: number, max: number): AsyncIterable<readonly Buffer[]> {
    const upTo = Math.min(this.#writer.end.number, after + max);
    let wanted = after + 1;
    const { segments } = this.#writer;
    for (const [index, { path, first }] of [...segments].entries()) {
      const next = segments[index + 1]?.first ?? Infinity;
      if (next <= wanted || first > upTo) continue;
      for (const piece of piecesOf(await readSegment(path, first), { first, from: Math.max(wanted, first), upTo })) yield piece;
      wanted = next;
    }
  }

  async verify(): Promise<AuditVerdict> {
    try {
      const verdict = await verifyLog(this.#directory, this.#writer.end.number);
      this.#broken = verdict.problem?.number ?? null;
      this.#raiseBroken();
      return verdict;
    } catch (error) {
      throw unreadable(error);
    }
  }

  close(): Promise<void> {
    this.#closing ??= (async () => {
      for (const fact of this.#refusals.flush()) this.note(fact);
      this.#refusals.close();
      this.#noteTimer?.cancel();
      await this.#noting;
      await this.#writer.close();
      this.#headTimer?.cancel();
      await this.#sign().catch(() => undefined);
      await this.#heads.close();
    })();
    return this.#closing;
  }

  #startNotes(): void {
    if (this.#noting === null && this.#notes.length > 0) this.#noting = this.#writeNotes();
  }

  async #writeNotes(): Promise<void> {
    while (this.#notes.length > 0) {
      const group = [...this.#notes];
      const results = await Promise.allSettled(group.map((fact) => this.#writer.append(fact, true)));
      // A group fails from some entry on; what was written before it is not written again.
      const written = results.findIndex(({ status }) => status === 'rejected');
      this.#notes.splice(0, written < 0 ? group.length : written);
      if (written >= 0) {
        this.#noteTimer ??= this.#options.clock.after(noteRetryMs, () => {
          this.#noteTimer = null;
          this.#startNotes();
        });
        break;
      }
      if (this.#notesLost === 0) continue;
      this.#notes.push({
        ...emptyFact,
        actor: 'agent',
        action: 'audit.lost',
        count: this.#notesLost,
        detail: 'effects of the agent itself that could not be written in time',
      });
      this.#notesLost = 0;
    }
    // In the same turn as the last look at the notes, or one could wait for nobody.
    this.#noting = null;
  }

  #written(entries: number): void {
    this.#unsigned += entries;
    if (this.#unsigned >= headEntries) void this.#sign().catch((error: unknown) => this.#signFailed(error));
    else
      this.#headTimer ??= this.#options.clock.after(headMs, () => {
        void this.#sign().catch((error: unknown) => this.#signFailed(error));
      });
  }

  #sign(): Promise<void> {
    this.#headTimer?.cancel();
    this.#headTimer = null;
    this.#unsigned = 0;
    const work = this.#signing.then(async () => {
      const { end } = this.#writer;
      if (end.number === 0 || this.#heads.heads.at(-1)?.number === end.number) return;
      const envelope = this.#options.sign(end, this.#options.clock.nowMs());
      if (envelope !== null) await this.#heads.add(envelope);
    });
    this.#signing = work.catch(() => undefined);
    return work;
  }

  #signFailed(error: unknown): void {
    this.#options.log.error('audit head could not be signed', { error });
  }

  #raiseBroken(): void {
    const number = this.#broken;
    this.#options.raise(
      'AUDIT_BROKEN',
      number === null
        ? null
        : {
            title: 'The audit log was tampered with',
            message: `Entry ${String(number)} of the audit log is missing or was changed. Keep the state directory as it is and find out who could write to it.`,
            severity: 'critical',
          },
    );
  }
}

const readSegment = async (path: string, first: number): Promise<Buffer> => {
  let content: Buffer;
  try {
    content = await readFile(path);
  } catch (error) {
    throw unreadable(error);
  }
  if (framesStart(content) === null) throw brokenAt(first, `The file of entry ${String(first)} does not begin as it must.`);
  return content;
};

/** Entries `from` to `upTo` of a segment, as copies: the file's content does not outlive the piece. Raises AUDIT_BROKEN. */
function* piecesOf(
  content: Buffer,
  range: { readonly first: number; readonly from: number; readonly upTo: number },
): Generator<readonly Buffer[]> {
  let piece: Buffer[] = [];
  let last = range.first - 1;
  const frames = framesOf(content, framesStart(content) ?? 0);
  let next = frames.next();
  while (next.done !== true) {
    last = auditNumberOf(next.value);
    if (last > range.upTo) break;
    if (last >= range.from) piece.push(Buffer.from(next.value));
    if (piece.length === pieceMax) {
      yield piece;
      piece = [];
    }
    next = frames.next();
  }
  if (piece.length > 0) yield piece;
  if (next.done === true && next.value < content.length && last < range.upTo)
    throw brokenAt(last + 1, `Entry ${String(last + 1)} cannot be read: its bytes were changed or cut off.`);
}

const unreadable = (cause: unknown): NestError =>
  new NestError('STATE_FAILED', 'The audit log cannot be read. Check the permissions of the "audit" folder in the state directory.', {
    cause,
  });
