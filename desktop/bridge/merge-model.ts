/** What crosses the bridge when two operators have changed one host: who was first, and the two changes put together. */

/** What a host has instead of the revision that a change starts from. */
export interface RevisionConflict {
  /** 0: before the first policy, or not kept any more. */
  readonly baseRevision: number;
  readonly revision: number;
  readonly author: string;
  readonly createdAt: number;
  readonly comment: string;
}

export type MergeList = 'document' | 'services' | 'mappings' | 'denyLists';
export type MergeSide = 'ours' | 'theirs';

/** One field that both have changed, differently. Values are JSON; null: absent, or the entry is gone. */
export interface MergeConflict {
  /** Names it in choices. */
  readonly key: string;
  readonly list: MergeList;
  /** Of the entry; empty for the document. */
  readonly name: string;
  /** Null: one has removed the entry, the other has changed it. */
  readonly field: string | null;
  readonly base: string | null;
  readonly ours: string | null;
  readonly theirs: string | null;
  /** What was chosen; null while nothing is, and then ours stands in the policy. */
  readonly choice: MergeSide | null;
}

/** A change of theirs that came in without a question. */
export interface MergeTaken {
  readonly list: MergeList;
  readonly name: string;
  readonly change: 'added' | 'removed' | 'changed';
  readonly fields: readonly string[];
}

export interface PolicyMerge {
  readonly hostId: string;
  readonly hostName: string;
  readonly theirs: RevisionConflict;
  /** JSON of the merged document. */
  readonly policy: string;
  readonly conflicts: readonly MergeConflict[];
  readonly taken: readonly MergeTaken[];
  /** Conflicts without a choice. */
  readonly unresolved: number;
  /** Of the merged document: each half may be good and the whole not. */
  readonly problems: readonly {
    readonly code: string;
    readonly severity: 'error' | 'warning';
    readonly path: string;
    readonly message: string;
  }[];
}
