/** Deny lists of the document: types and schema. */
import { z } from 'zod';

import { checkedString, nameSchema, prefixProblem, unknownKeys } from './schema-checks.ts';

export interface PolicyDenyList {
  readonly name: string;
  /** Addresses and CIDRs of both families. Either these or a file. */
  readonly prefixes?: readonly string[] | undefined;
  /** Name of a file in the host's folder of deny lists: one prefix per line. */
  readonly file?: string | undefined;
  /** RFC 3339; from then on the list is empty. */
  readonly expires?: string | undefined;
}

const denyListKeys = ['name', 'prefixes', 'file', 'expires'];
const problemsPerList = 100;

/** Milliseconds since 1970 of an RFC 3339 time; undefined for anything else, also for a day that does not exist. */
export const parseExpiry = (text: string): number | undefined => {
  const match = /^(\d{4})-(\d{2})-(\d{2})T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,9})?(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)$/.exec(text);
  if (match === null) return undefined;
  const [year, month, day] = [Number(match[1]), Number(match[2]), Number(match[3])];
  const calendar = new Date(Date.UTC(year, month - 1, day));
  const isDay = calendar.getUTCFullYear() === year && calendar.getUTCMonth() === month - 1 && calendar.getUTCDate() === day;
  const time = Date.parse(text);
  return isDay && !Number.isNaN(time) ? time : undefined;
};

/** One check of the whole list: a hundred thousand entries would be slow one by one. */
const prefixesSchema = z.array(z.string()).superRefine((prefixes, context) => {
  let problems = 0;
  for (const [position, text] of prefixes.entries()) {
    const problem = prefixProblem(text);
    if (problem === undefined) continue;
    context.addIssue({ code: 'custom', message: problem.message, path: [position], params: { code: problem.code } });
    if (++problems >= problemsPerList) return;
  }
});

const fileSchema = checkedString((name) =>
  /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/.test(name)
    ? undefined
    : {
        code: 'FILE_INVALID',
        message:
          "Write the name of a file in the host's folder of deny lists, without a path: 1 to 128 letters, digits, dots, dashes and underscores.",
      },
);

const expiresSchema = checkedString((text) =>
  parseExpiry(text) === undefined
    ? {
        code: 'EXPIRES_INVALID',
        message: `${JSON.stringify(text.slice(0, 40))} is not a time of RFC 3339: write for instance "2030-01-31T18:00:00Z".`,
      }
    : undefined,
);

/** One deny list. That it has prefixes or a file is checked in action-problems.ts. */
export const denyListSchema = z.strictObject(
  {
    name: nameSchema,
    prefixes: prefixesSchema.optional(),
    file: fileSchema.optional(),
    expires: expiresSchema.optional(),
  },
  { error: unknownKeys(denyListKeys) },
);
