/** The search of hosts on pages: the grammar, the groups it may name, and what to show while a query is typed. */
import { useMemo, useState } from 'react';
import { parseHostQuery } from '../../bridge/host-grammar.ts';
import type { HostQuery } from '../../bridge/host-grammar.ts';
import { compileHostQuery, hostScope, hostsMatching } from '../../bridge/host-query.ts';
import type { HostScope } from '../../bridge/host-query.ts';
import type { HostGroup } from '../../bridge/group-model.ts';
import type { HostRow } from '../../bridge/model.ts';
import { useGroupsQuery } from './bridge-api.ts';
import { toFailure } from './failure.ts';

export interface HostSearchProblem {
  readonly message: string;
  /** The part of the text that is meant; "" at an end. */
  readonly part: string;
}

export interface HostSearch {
  /** While the text cannot be read this is what was read last. */
  readonly test: (host: HostRow) => boolean;
  readonly problem: HostSearchProblem | null;
}

interface ReadQuery {
  readonly text: string;
  readonly query: HostQuery;
  readonly problem: HostSearchProblem | null;
}

const groupsPollMs = 5_000;
const noGroups: readonly HostGroup[] = [];

/** Reads a query for a page. Never raises: `query` is every host when it cannot be read. */
export const readHostSearch = (text: string): ReadQuery => {
  try {
    return { text, query: parseHostQuery(text), problem: null };
  } catch (error) {
    return { text, query: { kind: 'all' }, problem: problemOf(error, text) };
  }
};

/** Follows the text of a search. `now`: of the frame whose hosts are tested. */
export const useHostSearch = (text: string, now: number): HostSearch => {
  const { data: groups = noGroups, isSuccess } = useGroupsQuery({}, { pollingInterval: groupsPollMs, skipPollingIfUnfocused: true });
  const [kept, setKept] = useState(() => readHostSearch(text));
  let current = kept;
  if (kept.text !== text) {
    const read = readHostSearch(text);
    current = read.problem === null ? read : { ...read, query: kept.query };
    setKept(current);
  }
  return useMemo(() => {
    const scope = hostScope(groups, now);
    const compiled = compileHostQuery(current.query);
    return {
      test: (host: HostRow) => compiled(host, scope),
      problem: current.problem ?? (isSuccess ? groupProblem(current, scope) : null),
    };
  }, [current, groups, isSuccess, now]);
};

const groupProblem = ({ text, query }: ReadQuery, scope: HostScope): HostSearchProblem | null => {
  try {
    hostsMatching([], query, scope);
    return null;
  } catch (error) {
    return problemOf(error, text);
  }
};

const problemOf = (error: unknown, text: string): HostSearchProblem => {
  const { details = {} } = error as { readonly details?: { readonly start?: number; readonly end?: number } };
  return { message: toFailure(error).message, part: details.start === undefined ? '' : text.slice(details.start, details.end) };
};
