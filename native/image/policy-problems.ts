/** Errors of a policy document: all of them, each with the path into the document, a stable code and the next step. */
import type { z } from 'zod';

import { didYouMean } from './nearest-name.ts';
import { anyName } from './policy-schema.ts';

export interface PolicyProblem {
  readonly severity: 'error' | 'warning';
  /** For instance "mappings[3].ports[0]"; empty = the whole document. */
  readonly path: string;
  readonly code: string;
  readonly message: string;
}

/** More are not listed. */
export const problemsMax = 100;

/** "mappings[3].ports[0]" of a path in pieces. */
const formatPath = (path: readonly PropertyKey[]): string =>
  path
    .map((piece, position) => (typeof piece === 'number' ? `[${String(piece)}]` : `${position === 0 ? '' : '.'}${String(piece)}`))
    .join('');

/** The schema's issues as problems. */
export const problemsOfIssues = (input: unknown, issues: readonly z.core.$ZodIssue[]): PolicyProblem[] =>
  issues.slice(0, problemsMax).map((issue) => ({ severity: 'error', path: formatPath(issue.path), ...describeIssue(input, issue) }));

/**
 * What fields say together. Looks at whatever is well formed in the input, so that an operator sees every problem at once and
 * not only those of the first malformed field.
 */
export const crossProblems = (input: unknown): PolicyProblem[] => {
  const problems: PolicyProblem[] = [];
  const services = listIn(input, 'services');
  const mappings = listIn(input, 'mappings');
  const known = new Set<string>();
  for (const service of services) {
    const name = fieldOf(service, 'name');
    if (typeof name === 'string') known.add(name);
  }
  repeatedNames(services, 'services', problems);
  repeatedNames(mappings, 'mappings', problems);
  for (const [position, mapping] of mappings.entries()) {
    if (problems.length >= problemsMax) break;
    checkReferences(mapping, `mappings[${String(position)}]`, { known, problems });
    checkPorts(mapping, `mappings[${String(position)}]`, problems);
  }
  return problems.slice(0, problemsMax);
};

const repeatedNames = (entries: readonly unknown[], list: string, problems: PolicyProblem[]): void => {
  const first = new Map<string, number>();
  for (const [position, entry] of entries.entries()) {
    const name = fieldOf(entry, 'name');
    if (typeof name !== 'string') continue;
    const earlier = first.get(name);
    if (earlier === undefined) first.set(name, position);
    else {
      const message = `The name "${name.slice(0, 63)}" is taken by ${list}[${String(earlier)}]: choose another.`;
      problems.push({ severity: 'error', path: `${list}[${String(position)}].name`, code: 'NAME_TAKEN', message });
      if (problems.length >= problemsMax) return;
    }
  }
};

const checkReferences = (
  mapping: unknown,
  path: string,
  context: { readonly known: ReadonlySet<string>; readonly problems: PolicyProblem[] },
): void => {
  for (const side of ['sources', 'destinations']) {
    for (const [position, name] of listIn(mapping, side).entries()) {
      if (typeof name !== 'string' || name === anyName || context.known.has(name)) continue;
      const meant = didYouMean(name, [anyName, ...context.known]);
      const message = `There is no service ${JSON.stringify(name.slice(0, 63))}.${meant === '' ? ' Add it to services, or name another.' : meant}`;
      context.problems.push({ severity: 'error', path: `${path}.${side}[${String(position)}]`, code: 'SERVICE_UNKNOWN', message });
      if (context.problems.length >= problemsMax) return;
    }
  }
};

const checkPorts = (mapping: unknown, path: string, problems: PolicyProblem[]): void => {
  if (listIn(mapping, 'ports').length === 0 || !listIn(mapping, 'protocols').includes('icmp')) return;
  const message = 'ICMP has no ports: leave the ports out, or make a mapping of its own for icmp.';
  problems.push({ severity: 'error', path: `${path}.ports`, code: 'PORTS_WITH_ICMP', message });
};

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
      return { code: 'PRIORITY_OUT_OF_RANGE', message: 'A priority is a whole number from 0 to 1000.' };
    case 'invalid_type':
      if (issue.path.length === 0) return { code: 'TYPE_WRONG', message: 'A policy is a JSON object: see docs/POLICY.md for its fields.' };
      if (valueAt(input, issue.path) === undefined) return missing(issue.path);
      if (issue.path.at(-1) === 'priority')
        return { code: 'PRIORITY_OUT_OF_RANGE', message: 'A priority is a whole number from 0 to 1000.' };
      return { code: 'TYPE_WRONG', message: `Write ${typeNames[issue.expected] ?? issue.expected} here.` };
    default:
      return { code: 'VALUE_INVALID', message: issue.message };
  }
};

const typeNames: Readonly<Record<string, string>> = { string: 'a text', array: 'a list', object: 'an object', number: 'a number' };

const missing = (path: readonly PropertyKey[]): { code: string; message: string } => ({
  code: 'FIELD_MISSING',
  message: `The field "${String(path.at(-1) ?? '')}" is missing: add it.`,
});

const fieldOf = (value: unknown, key: PropertyKey): unknown =>
  typeof value === 'object' && value !== null && Object.hasOwn(value, key) ? Reflect.get(value, key) : undefined;

const listIn = (value: unknown, key: string): readonly unknown[] => {
  const list = fieldOf(value, key);
  return Array.isArray(list) ? list : [];
};

const valueAt = (input: unknown, path: readonly PropertyKey[]): unknown => path.reduce<unknown>((value, key) => fieldOf(value, key), input);
