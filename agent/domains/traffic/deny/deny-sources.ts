import type { Policy } from '../../../engine/api.ts';
import { readDenyFile, stampOfDenyFile } from './deny-files.ts';
import type { DenyFile } from './deny-files.ts';
import type { HostDenyLists } from './host-deny-lists.ts';

/** Lists of the host stand beside those of the policy; no name of a policy has a slash. */
export const hostListPrefix = 'host/';

/** What the deny tables of a policy are made of at one moment. */
export interface DenyContent {
  /** The policy with the host's own lists among its deny lists. */
  readonly policy: Policy;
  readonly options: { readonly denyFiles: ReadonlyMap<string, string>; readonly now: number };
  /** Why a list is empty, or not the newest, by name. */
  readonly problems: ReadonlyMap<string, string>;
  /** True when the policy document alone says it all: no file, no expiry, no list of the host. */
  readonly isPlain: boolean;
}

export interface DenySourcesOptions {
  /** Where files of deny lists lie. */
  readonly directory: string;
  readonly lists: HostDenyLists;
  readonly nowMs: () => number;
}

/** Gathers deny lists from the policy document, from files and from the host. */
export interface DenySources {
  /** For the policy that is about to be loaded. A file that cannot be read becomes an empty list with a problem. */
  gather(policy: Policy): Promise<DenyContent>;
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

class Sources implements DenySources {
  readonly #options: DenySourcesOptions;
  #gathered: Gathered | null = null;
  #isTouched = false;

  constructor(options: DenySourcesOptions) {
    this.#options = options;
  }

  async gather(policy: Policy): Promise<DenyContent> {
    const { nowMs } = this.#options;
    this.#isTouched = false;
    const now = nowMs();
    const files = await this.#read(policy);
    this.#gathered = { policy, atMs: now, stamps: new Map([...files].map(([name, { stamp }]) => [name, stamp])) };
    return this.#content(policy, { now, files, textOf: (text) => text ?? '' });
  }

  async preview(policy: Policy): Promise<DenyContent> {
    return this.#content(policy, { now: this.#options.nowMs(), files: await this.#read(policy), textOf: (text) => text });
  }

  #content(
    policy: Policy,
    read: {
      readonly now: number;
      readonly files: ReadonlyMap<string, DenyFile>;
      /** What a file that cannot be read counts as; null: it is absent. */
      readonly textOf: (text: string | null) => string | null;
    },
  ): DenyContent {
    const { now, files, textOf } = read;
    const { lists } = this.#options;
    const problems = new Map<string, string>();
    for (const { name, file } of policy.denyLists) {
      const problem = file === undefined ? null : files.get(file)?.problem;
      if (typeof problem === 'string') problems.set(name, problem);
    }
    const own = lists.names().map((name) => ({ name: `${hostListPrefix}${name}`, prefixes: lists.list(name).prefixes }));
    return {
      policy: { ...policy, denyLists: [...policy.denyLists, ...own] },
      options: {
        denyFiles: new Map(
          [...files].flatMap(([name, file]) => {
            const text = textOf(file.text);
            return text === null ? [] : [[name, text] as const];
          }),
        ),
        now,
      },
      problems,
      isPlain: own.length === 0 && policy.denyLists.every(({ file, expires }) => file === undefined && expires === undefined),
    };
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
