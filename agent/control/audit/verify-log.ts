/** Reads the whole log and says which entry is the first that is missing or changed. */
import { readFile } from 'node:fs/promises';
import { setImmediate } from 'node:timers/promises';
import { auditActions, auditGenesis, decodeAuditEntry, extendChain, hasRequestHash, previousHashOf } from '../../../proto/model/audit.ts';
import type { ChainEnd } from '../../../proto/model/audit.ts';
import { errorCodeOf, toErrorShape } from '../../../proto/model/error.ts';
import type { AuditVerdict } from './api.ts';
import { headPath, readHeads } from './head-file.ts';
import type { StoredHead } from './head-file.ts';
import { framesOf, framesStart, listSegments } from './segment.ts';
import type { Segment } from './segment.ts';

type Problem = AuditVerdict['problem'];

/** Others get their turn after so many entries. */
const turnEntries = 2000;
/** Marks an entry "audit.retired" without decoding every other one. */
const retiredMark = Buffer.from(auditActions.retired);

/**
 * Checks what lies in the directory up to entry `upTo` (Infinity: all): the entries of running writes are not there yet. Throws what the
 * file system throws.
 */
export const verifyLog = async (directory: string, upTo = Infinity): Promise<AuditVerdict> => {
  const segments = (await listSegments(directory)).filter(({ first }) => first <= upTo);
  const { heads, soundBytes, bytes } = await readHeads(headPath(directory));
  const walk = new Walk(heads);
  let problem: Problem = null;
  for (const segment of segments) {
    problem = await walk.segment(segment, await readFile(segment.path), upTo);
    if (problem !== null) break;
  }
  problem ??= walk.beginning() ?? walk.missingEnd();
  if (problem === null && bytes > soundBytes)
    problem = {
      number: (heads.at(-1)?.number ?? 0) + 1,
      message: `The file of signed heads is damaged after ${String(heads.length)} heads.`,
    };
  return { first: walk.first, last: walk.end.number, problem };
};

class Walk {
  first = 0;
  end: ChainEnd = auditGenesis;
  readonly #heads: ReadonlyMap<number, StoredHead>;
  readonly #newestHead: StoredHead | undefined;
  /** Hash (hex) of the last entry that was retired, by its number, as the log says. */
  readonly #retired = new Map<number, string>();
  #anchor: ChainEnd = auditGenesis;

  constructor(heads: readonly StoredHead[]) {
    this.#heads = new Map(heads.map((head) => [head.number, head]));
    this.#newestHead = heads.at(-1);
  }

  async segment(segment: Segment, content: Buffer, upTo: number): Promise<Problem> {
    if (this.first !== 0 && segment.first !== this.end.number + 1)
      return {
        number: this.end.number + 1,
        message: `Entries ${String(this.end.number + 1)} to ${String(segment.first - 1)} are missing.`,
      };
    const start = framesStart(content);
    if (start === null) return { number: segment.first, message: `The file of entry ${String(segment.first)} does not begin as it must.` };
    const frames = framesOf(content, start);
    let next = frames.next();
    while (next.done !== true) {
      if (this.end.number >= upTo && this.first !== 0) return null;
      const problem = this.#take(segment, next.value);
      if (problem !== null) return problem;
      if (this.end.number % turnEntries === 0) await setImmediate();
      next = frames.next();
    }
    const number = this.first === 0 ? segment.first : this.end.number + 1;
    if (next.value < content.length && number <= upTo)
      return { number, message: `Entry ${String(number)} cannot be read: its bytes were changed or cut off.` };
    return null;
  }

  /** The log begins with entry 1, or says itself with which hash what came before was retired. */
  beginning(): Problem {
    if (this.first <= 1) return null;
    const said = this.#retired.get(this.first - 1);
    if (said === this.#anchor.hash.toString('hex')) return null;
    return {
      number: this.first - 1,
      message: `Entries up to ${String(this.first - 1)} are missing and the log does not say that they were retired.`,
    };
  }

  missingEnd(): Problem {
    const head = this.#newestHead;
    if (head === undefined || head.number <= this.end.number) return null;
    return {
      number: this.end.number + 1,
      message: `Entries ${String(this.end.number + 1)} to ${String(head.number)} were signed for and are missing.`,
    };
  }

  #take(segment: Segment, bytes: Buffer): Problem {
    try {
      if (this.first === 0) this.#begin(segment, bytes);
      this.end = extendChain(this.end, bytes);
      if (!hasRequestHash(bytes) && bytes.includes(retiredMark)) this.#readRetirement(bytes);
    } catch (error) {
      return problemOf(error, this.end.number + 1);
    }
    const head = this.#heads.get(this.end.number);
    if (head !== undefined && !head.hash.equals(this.end.hash))
      return { number: this.end.number, message: `Entry ${String(this.end.number)} or one before it is not what was signed for.` };
    return null;
  }

  #begin({ first }: Segment, bytes: Buffer): void {
    if (first > 1) this.#anchor = { number: first - 1, hash: Buffer.from(previousHashOf(bytes)) };
    this.end = this.#anchor;
    this.first = first;
  }

  #readRetirement(bytes: Buffer): void {
    const { actor, action, target, detail } = decodeAuditEntry(bytes);
    const last = /^\d+-(\d+)$/.exec(target)?.[1];
    if (actor === 'agent' && action === auditActions.retired && last !== undefined) this.#retired.set(Number(last), detail);
  }
}

const problemOf = (error: unknown, fallback: number): Problem => {
  if (errorCodeOf(error) !== 'AUDIT_BROKEN') throw error;
  const { message, details } = toErrorShape(error);
  const { number } = details;
  return { number: typeof number === 'number' ? number : fallback, message };
};
