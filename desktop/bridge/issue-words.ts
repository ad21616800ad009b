/** What zod finds wrong, in plain words said of a field: "it is missing". Schemas that word an issue themselves come first. */

/** The parts of an issue that words are made of, before it has a message. */
interface RawIssue {
  readonly code: string;
  readonly input?: unknown;
  readonly expected?: unknown;
  readonly origin?: unknown;
  readonly minimum?: unknown;
  readonly maximum?: unknown;
  readonly inclusive?: unknown;
  readonly values?: unknown;
  readonly keys?: unknown;
}

/** For the `error` of safeParse; every issue gets words. */
export const issueWords = (issue: RawIssue): string => {
  switch (issue.code) {
    case 'invalid_type':
      return issue.input === undefined ? 'it is missing' : `it must be ${kindWords[String(issue.expected)] ?? 'something else'}`;
    case 'too_small':
      return tooSmallWords(issue);
    case 'too_big':
      return tooBigWords(issue);
    case 'invalid_value':
      return `it must be ${listed(issue.values, ' or ')}`;
    case 'unrecognized_keys':
      return `nobody knows ${listed(issue.keys, ' and ')} here`;
    case 'invalid_format':
      return 'it is not written as it should be';
    default:
      return 'it is not accepted';
  }
};

const kindWords: Readonly<Record<string, string>> = {
  string: 'a text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  tuple: 'a list',
  object: 'an object',
  record: 'an object',
  null: 'null',
};

const tooSmallWords = ({ origin, minimum, inclusive }: RawIssue): string => {
  const least = String(minimum);
  if (origin === 'string') return least === '1' ? 'it is empty' : `it needs at least ${least} characters`;
  if (origin === 'array' || origin === 'set') return least === '1' ? 'it has no entries' : `it needs at least ${least} entries`;
  return inclusive === false ? `it must be more than ${least}` : `it must be at least ${least}`;
};

const tooBigWords = ({ origin, maximum, inclusive }: RawIssue): string => {
  const most = String(maximum);
  if (origin === 'string') return `it has more than ${most} characters`;
  if (origin === 'array' || origin === 'set') return `it has more than ${most} entries`;
  return inclusive === false ? `it must be less than ${most}` : `it must be at most ${most}`;
};

/** Values named in one message. */
const listedMax = 12;

const listed = (values: unknown, last: string): string => {
  const words = (Array.isArray(values) ? values : [values]).slice(0, listedMax).map((value) => `"${String(value)}"`);
  return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')}${last}${words.at(-1) ?? ''}`;
};

/** Where an issue is, as people say it: "fleet name", "host ids, entry 3"; "" for the whole input. */
export const fieldWords = (path: readonly PropertyKey[]): string =>
  path
    .map((part) =>
      typeof part === 'number'
        ? `entry ${String(part + 1)}`
        : String(part).replaceAll(/(?<=[a-z])[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`),
    )
    .join(', ');
