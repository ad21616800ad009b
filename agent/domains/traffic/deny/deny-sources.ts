import { errorCodeOf, toErrorShape } from '../../../../proto/model/error.ts';
import type { Policy } from '../../../engine/api.ts';
import type { DenyCopies, DenyCopy } from './deny-copies.ts';
import { readDenyFile, stampOfDenyFile } from './deny-files.ts';
import type { DenyFile } from './deny-files.ts';
import type { HostDenyLists } from './host-deny-lists.ts';

/** Lists of the host stand beside those of the policy; no name of a policy has a slash. */
export const hostListPrefix = 'host/';

/** Why a list is not what its file says now. */
export interface DenyProblem {
  /** What is wrong with the file, and what to do. */
  readonly text: string;
  /** When the content in force was read; null: there is none, the list is empty. */
  readonly keptSinceMs: number | null;
}

/** What the deny tables of a policy are made of at one moment. */
export interface DenyContent {
  /** The policy with the host's own lists among its deny lists. */
  readonly policy: Policy;
  readonly options: { readonly denyFiles: ReadonlyMap<string, string>; readonly now: number };
  /** Why a list is empty, or not the newest, by name. */
  readonly problems: ReadonlyMap<string, DenyProblem>;
  /** True when the policy document alone says it all: no file, no expiry, no list of the host. */
  readonly isPlain: boolean;
}

export interface DenySourcesOptions {
  /** Where files of deny lists lie. */
  readonly directory: string;
  readonly copies: DenyCopies;
  readonly lists: HostDenyLists;
  readonly nowMs: () => number;
}

/** Gathers deny lists from the policy document, from files and from the host. */
export interface DenySources {
  /**
   * For the policy that is about to be loaded: `compile` makes its tables and may raise POLICY_INVALID or POLICY_TOO_LARGE for what
   * a file holds. A file that cannot be read, or that it refuses, counts as it was read last without a fault; without such a copy
   * the former is an empty list with a problem, and the latter raises what `compile` raised.
   */
  load<Compiled>(
    policy: Policy,
    compile: (content: DenyContent) => Compiled,
  ): Promise<{ readonly content: DenyContent; readonly compiled: Compiled }>;
  /** The same for a plan, without taking note of it: a file that cannot be read is absent, so that the compiler names it. */
  preview(policy: Policy): Promise<DenyContent>;
  /** True when a file has changed, a list has expired or the host's lists differ from what was gathered last. */
  isStale(): Promise<boolean>;
  /** Tells that the host's own lists have changed. */
  touch(): void;
}

/** Sources from which nothing has been gathered yet. */
export const createDenySources = (options: DenySourcesOptions): DenySources => new Sources(options);

interface Gathered {
  readonly policy: Policy;
  readonly atMs: number;
  readonly stamps: ReadonlyMap<string, string>;
}

/** One file as the compiler gets it. */
interface Reading {
  readonly text: string | null;
  readonly problem: DenyProblem | null;
}

class Sources implements DenySources {
  readonly #options: DenySourcesOptions;
  #gathered: Gathered | null = null;
  #isTouched = false;
  /** Stamps of the files that there is a copy of, by name. */
  readonly #copied = new Map<string, string>();

  constructor(options: DenySourcesOptions) {
    this.#options = options;
  }

  async load<Compiled>(
    policy: Policy,
    compile: (content: DenyContent) => Compiled,
  ): Promise<{ readonly content: DenyContent; readonly compiled: Compiled }> {
    this.#isTouched = false;
    const now = this.#options.nowMs();
    const files = await this.#read(policy);
    this.#gathered = { policy, atMs: now, stamps: new Map([...files].map(([name, { stamp }]) => [name, stamp])) };
    const readings = new Map<string, Reading>();
    for (const [name, { text, problem }] of files)
      readings.set(name, problem === null ? { text, problem } : await this.#standIn(name, problem));
    // Each round takes at least one more file from its copy, so it ends.
    for (;;) {
      const content = this.#content(policy, now, readings);
      try {
        const compiled = compile(content);
        await this.#copy(files, readings, now);
        return { content, compiled };
      } catch (error) {
        if (!(await this.#replaceRefused(policy, readings, error))) throw error;
      }
    }
  }

  async preview(policy: Policy): Promise<DenyContent> {
    const readings = new Map(
      [...(await this.#read(policy))].map(([name, { text, problem }]) => [
        name,
        { text, problem: problem === null ? null : { text: problem, keptSinceMs: null } },
      ]),
    );
    return this.#content(policy, this.#options.nowMs(), readings);
  }

  #content(policy: Policy, now: number, readings: ReadonlyMap<string, Reading>): DenyContent {
    const { lists } = this.#options;
    const problems = new Map<string, DenyProblem>();
    for (const { name, file } of policy.denyLists) {
      const problem = file === undefined ? null : (readings.get(file)?.problem ?? null);
      if (problem !== null) problems.set(name, problem);
    }
    const own = lists.names().map((name) => ({ name: `${hostListPrefix}${name}`, prefixes: lists.list(name).prefixes }));
    return {
      policy: { ...policy, denyLists: [...policy.denyLists, ...own] },
      options: { denyFiles: new Map([...readings].flatMap(([name, { text }]) => (text === null ? [] : [[name, text] as const]))), now },
      problems,
      isPlain: own.length === 0 && policy.denyLists.every(({ file, expires }) => file === undefined && expires === undefined),
    };
  }

  /** What counts in place of a file that cannot be read. */
  async #standIn(name: string, problem: string): Promise<Reading> {
    const copy = await this.#options.copies.get(name);
    return { text: copy?.text ?? '', problem: { text: problem, keptSinceMs: copy?.readAtMs ?? null } };
  }

  /** Takes files that the compiler refuses from their copies. False when that changes nothing. */
  async #replaceRefused(policy: Policy, readings: Map<string, Reading>, error: unknown): Promise<boolean> {
    let isReplaced = false;
    for (const [name, problem] of refusedFiles(policy, error)) {
      if (readings.get(name)?.problem !== null) continue;
      const copy: DenyCopy | null = await this.#options.copies.get(name);
      if (copy === null) continue;
      readings.set(name, { text: copy.text, problem: { text: problem, keptSinceMs: copy.readAtMs } });
      isReplaced = true;
    }
    return isReplaced;
  }

  /** Files that were read and compiled are what the lists fall back to. */
  async #copy(files: ReadonlyMap<string, DenyFile>, readings: ReadonlyMap<string, Reading>, now: number): Promise<void> {
    const used = new Set(files.keys());
    for (const [name, { stamp, text }] of files) {
      if (text === null || readings.get(name)?.problem !== null || this.#copied.get(name) === stamp) continue;
      await this.#options.copies.put(name, { text, readAtMs: now }, used);
      this.#copied.set(name, stamp);
    }
    for (const name of this.#copied.keys()) if (!used.has(name)) this.#copied.delete(name);
  }

  async isStale(): Promise<boolean> {
    const gathered = this.#gathered;
    if (gathered === null) return false;
    if (this.#isTouched) return true;
    const now = this.#options.nowMs();
    const hasExpired = gathered.policy.denyLists.some(({ expires }) => {
      const atMs = expires === undefined ? Infinity : Date.parse(expires);
      return atMs > gathered.atMs && atMs <= now;
    });
    if (hasExpired) return true;
    for (const [name, stamp] of gathered.stamps) if ((await stampOfDenyFile(this.#options.directory, name)) !== stamp) return true;
    return false;
  }

  touch(): void {
    this.#isTouched = true;
  }

  async #read(policy: Policy): Promise<ReadonlyMap<string, DenyFile>> {
    const names = new Set(policy.denyLists.flatMap(({ file }) => file ?? []));
    const files = new Map<string, DenyFile>();
    // One after the other: they may be large.
    for (const name of names) files.set(name, await readDenyFile(this.#options.directory, name));
    return files;
  }
}

/** Files that a compilation refused, each with the reason and what to do; all of them when they are too large together. */
const refusedFiles = (policy: Policy, error: unknown): ReadonlyMap<string, string> => {
  const code = errorCodeOf(error);
  const { message, details } = toErrorShape(error);
  if (code === 'POLICY_TOO_LARGE') return new Map(policy.denyLists.flatMap(({ file }) => (file === undefined ? [] : [[file, message]])));
  const problems = code === 'POLICY_INVALID' && Array.isArray(details['problems']) ? (details['problems'] as readonly unknown[]) : [];
  const refused = new Map<string, string>();
  for (const problem of problems) {
    const { path, message: why } = problem as { readonly path: string; readonly message: string };
    const position = /^denyLists\[(?<position>\d+)\]\.file$/.exec(path)?.groups?.['position'];
    const file = position === undefined ? undefined : policy.denyLists[Number(position)]?.file;
    if (file !== undefined && !refused.has(file)) refused.set(file, `${why} Correct the file.`);
  }
  return refused;
};
