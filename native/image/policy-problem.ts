/** A problem of a policy document, and the schema's issues told as problems. */
import type { z } from 'zod';

import { numberRanges } from './action-schema.ts';
import { valueAt } from './document-fields.ts';
import { priorityMax } from './limits.ts';

export interface PolicyProblem {
  readonly severity: 'error' | 'warning';
  /** For instance "mappings[3].ports[0]"; empty = the whole document. */
  readonly path: string;
  readonly code: string;
  readonly message: string;
}

/** More are not listed. */
export const problemsMax = 100;

/** Reports an error at a path. */
export type Report = (path: string, code: string, message: string) => void;

/** The schema's issues as problems. */
export const problemsOfIssues = (input: unknown, issues: readonly z.core.$ZodIssue[]): PolicyProblem[] =>
  issues.slice(0, problemsMax).map((issue) => ({ severity: 'error', path: formatPath(issue.path), ...describeIssue(input, issue) }));

/** "mappings[3].ports[0]" of a path in pieces. */
const formatPath = (path: readonly PropertyKey[]): string =>
  path
    .map((piece, position) => (typeof piece === 'number' ? `[${String(piece)}]` : `${position === 0 ? '' : '.'}${String(piece)}`))
    .join('');

const describeIssue = (input: unknown, issue: z.core.$ZodIssue): { code: string; message: string } => {
  switch (issue.code) {
    case 'custom':
      return { code: String(issue.params?.['code'] ?? 'VALUE_INVALID'), message: issue.message };
    case 'unrecognized_keys':
      return { code: 'KEY_UNKNOWN', message: issue.message };
    case 'invalid_value':
      if (valueAt(input, issue.path) === undefined) return missing(issue.path);
      return { code: 'VALUE_UNKNOWN', message: `Write ${issue.values.map((value) => `"${String(value)}"`).join(' or ')}.` };
    case 'too_small':
    case 'too_big':
      if (issue.origin === 'array') return { code: 'LIST_EMPTY', message: 'Write at least one entry.' };
      return numberProblem(issue.path) ?? { code: 'VALUE_INVALID', message: issue.message };
    case 'invalid_type':
      if (issue.path.length === 0) return { code: 'TYPE_WRONG', message: 'A policy is a JSON object: see docs/POLICY.md for its fields.' };
      if (valueAt(input, issue.path) === undefined) return missing(issue.path);
      return numberProblem(issue.path) ?? { code: 'TYPE_WRONG', message: `Write ${typeNames[issue.expected] ?? issue.expected} here.` };
    default:
      return { code: 'VALUE_INVALID', message: issue.message };
  }
};

/** What a number field takes; undefined for other fields. */
const numberProblem = (path: readonly PropertyKey[]): { code: string; message: string } | undefined => {
  const field = String(path.at(-1) ?? '');
  if (field === 'priority')
    return { code: 'PRIORITY_OUT_OF_RANGE', message: `A priority is a whole number from 0 to ${String(priorityMax)}.` };
  const range = Object.hasOwn(numberRanges, field) ? numberRanges[field] : undefined;
  if (range === undefined) return undefined;
  const [min, max] = range;
  return { code: 'NUMBER_OUT_OF_RANGE', message: `Write a whole number from ${shown(min)} to ${shown(max)}.` };
};

/** "1,000,000", and a port as ports are written. */
const shown = (number: number): string => (number <= 0xffff ? String(number) : number.toLocaleString('en-US'));

const typeNames: Readonly<Record<string, string>> = { string: 'a text', array: 'a list', object: 'an object', number: 'a number' };

const missing = (path: readonly PropertyKey[]): { code: string; message: string } => ({
  code: 'FIELD_MISSING',
  message: `The field "${String(path.at(-1) ?? '')}" is missing: add it.`,
});
