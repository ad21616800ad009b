/** The search of hosts on pages: the grammar, the groups it may name, and what to show while a query is typed. */
import { useMemo, useState } from 'react';
import { parseHostQuery } from '../../bridge/host-grammar.ts';
import type { HostQuery } from '../../bridge/host-grammar.ts';
import { compileHostQuery, hostScope, hostsMatching } from '../../bridge/host-query.ts';
import type { HostScope } from '../../bridge/host-query.ts';
import type { HostGroup } from '../../bridge/group-model.ts';
import type { HostRow } from '../../bridge/model.ts';
import { useGroupsQuery } from './group-api.ts';
import { toFailure } from './failure.ts';

export interface HostSearchProblem {
  readonly message: string;
  /** The part of the text that is meant; "" at an end. */
  readonly part: string;
}

export interface HostSearch {
  /** With a mistake in the text: by what stands before it, or else as it was before. */
  readonly test: (host: HostRow) => boolean;
  readonly problem: HostSearchProblem | null;
}

interface ReadQuery {
  readonly text: string;
  /** Null when no part of the text can be read. */
  readonly query: HostQuery | null;
  readonly problem: HostSearchProblem | null;
}

const groupsPollMs = 5_000;
const noGroups: readonly HostGroup[] = [];
const everyHost: HostQuery = { kind: 'all' };

/** Reads a query for a page. Never raises: what stands before a mistake is used without it. */
export const readHostSearch = (text: string): ReadQuery => {
  try {
    return { text, query: parseHostQuery(text), problem: null };
  } catch (error) {
    const start = placeOf(error)?.start ?? 0;
    return { text, query: readPart(text.slice(0, start)), problem: problemOf(error, text) };
  }
};

const readPart = (text: string): HostQuery | null => {
  try {
    return parseHostQuery(text);
  } catch {
    // An open bracket or a minus before the mistake: there is nothing to go by.
    return null;
  }
};

/** Follows the text of a search. `now`: of the frame whose hosts are tested. */
export const useHostSearch = (text: string, now: number): HostSearch => {
  const { data: groups = noGroups, isSuccess } = useGroupsQuery({}, { pollingInterval: groupsPollMs, skipPollingIfUnfocused: true });
  const [kept, setKept] = useState(() => readHostSearch(text));
  let current = kept;
  if (kept.text !== text) {
    const read = readHostSearch(text);
    current = { ...read, query: read.query ?? kept.query };
    setKept(current);
  }
  return useMemo(() => {
    const scope = hostScope(groups, now);
    const compiled = compileHostQuery(current.query ?? everyHost);
    return {
      test: (host: HostRow) => compiled(host, scope),
      problem: current.problem ?? (isSuccess ? groupProblem(current, scope) : null),
    };
  }, [current, groups, isSuccess, now]);
};

const groupProblem = ({ text, query }: ReadQuery, scope: HostScope): HostSearchProblem | null => {
  try {
    hostsMatching([], query ?? everyHost, scope);
    return null;
  } catch (error) {
    return problemOf(error, text);
  }
};

const placeOf = (error: unknown): { readonly start: number; readonly end: number } | null => {
  const { details } = error as { readonly details?: { readonly start?: unknown; readonly end?: unknown } };
  return typeof details?.start === 'number' && typeof details.end === 'number' ? { start: details.start, end: details.end } : null;
};

const problemOf = (error: unknown, text: string): HostSearchProblem => {
  const place = placeOf(error);
  return { message: toFailure(error).message, part: place === null ? '' : text.slice(place.start, place.end) };
};
