/** Reads the whole log and says which entry is the first that is missing or changed. */
import { readFile } from 'node:fs/promises';
import { setImmediate } from 'node:timers/promises';
import { AuditWalk, auditProblemOf } from '../../../proto/model/audit-walk.ts';
import type { AuditProblem } from '../../../proto/model/audit-walk.ts';
import type { AuditVerdict } from './api.ts';
import { headPath, readHeads } from './head-file.ts';
import type { StoredHead } from './head-file.ts';
import { framesOf, framesStart, listSegments } from './segment.ts';
import type { Segment } from './segment.ts';

/** Others get their turn after so many entries. */
const turnEntries = 2000;

/**
 * Checks what lies in the directory up to entry `upTo` (Infinity: all): the entries of running writes are not there yet. Throws what the
 * file system throws.
 */
export const verifyLog = async (directory: string, upTo = Infinity): Promise<AuditVerdict> => {
  const segments = (await listSegments(directory)).filter(({ first }) => first <= upTo);
  const { heads, soundBytes, bytes } = await readHeads(headPath(directory));
  const walk = new FileWalk(heads);
  let problem: AuditProblem | null = null;
  for (const segment of segments) {
    problem = await walk.segment(segment, await readFile(segment.path), upTo);
    if (problem !== null) break;
  }
  problem ??= walk.chain.beginning() ?? walk.missingEnd();
  if (problem === null && bytes > soundBytes)
    problem = {
      number: (heads.at(-1)?.number ?? 0) + 1,
      message: `The file of signed heads is damaged after ${String(heads.length)} heads.`,
    };
  return { first: walk.chain.first, last: walk.chain.end.number, problem };
};

class FileWalk {
  readonly chain = new AuditWalk();
  readonly #heads: ReadonlyMap<number, StoredHead>;
  readonly #newestHead: StoredHead | undefined;

  constructor(heads: readonly StoredHead[]) {
    this.#heads = new Map(heads.map((head) => [head.number, head]));
    this.#newestHead = heads.at(-1);
  }

  async segment(segment: Segment, content: Buffer, upTo: number): Promise<AuditProblem | null> {
    const { chain } = this;
    if (chain.first !== 0 && segment.first !== chain.end.number + 1) return missing(chain.end.number + 1, segment.first - 1);
    const start = framesStart(content);
    if (start === null) return { number: segment.first, message: `The file of entry ${String(segment.first)} does not begin as it must.` };
    const frames = framesOf(content, start);
    let next = frames.next();
    while (next.done !== true) {
      if (chain.end.number >= upTo && chain.first !== 0) return null;
      const problem = this.#take(segment, next.value);
      if (problem !== null) return problem;
      if (chain.end.number % turnEntries === 0) await setImmediate();
      next = frames.next();
    }
    const number = chain.first === 0 ? segment.first : chain.end.number + 1;
    if (next.value === content.length || number > upTo) return null;
    return { number, message: `Entry ${String(number)} cannot be read: its bytes were changed or cut off.` };
  }

  missingEnd(): AuditProblem | null {
    const { number } = this.chain.end;
    const signed = this.#newestHead?.number ?? 0;
    return signed <= number ? null : missing(number + 1, signed);
  }

  #take({ first }: Segment, bytes: Buffer): AuditProblem | null {
    const { chain } = this;
    try {
      chain.take(bytes, first);
    } catch (error) {
      return auditProblemOf(error, chain.end.number + 1);
    }
    const head = this.#heads.get(chain.end.number);
    if (head === undefined || head.hash.equals(chain.end.hash)) return null;
    return { number: head.number, message: `Entry ${String(head.number)} or one before it is not what was signed for.` };
  }
}

const missing = (first: number, last: number): AuditProblem => ({
  number: first,
  message: `Entries ${String(first)} to ${String(last)} are missing, although later ones or a signature speak of them.`,
});
