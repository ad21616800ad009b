/** Pieces of the document's schema that all its parts share. */
import { z } from 'zod';

import { formatPrefix, isNetwork, networkOf, parsePrefix } from './address.ts';
import { didYouMean } from './nearest-name.ts';

/** "any" in sources, destinations and protocols. */
export const anyName = 'any';

/** A problem of one value, without its path. */
export interface ValueProblem {
  readonly code: string;
  readonly message: string;
}

/** Message for unknown keys, with the nearest known one. */
export const unknownKeys =
  (known: readonly string[]) => (issue: { readonly code?: string | undefined; readonly keys?: readonly string[] | undefined }) =>
    issue.code === 'unrecognized_keys'
      ? (issue.keys ?? [])
          .slice(0, 5)
          .map((key) => `Unknown key ${JSON.stringify(key.slice(0, 63))}.${didYouMean(key, known)}`)
          .join(' ')
      : undefined;

/** A check of one string that reports a problem of ours: `params.code` is the problem's code. */
export const checkedString = (check: (text: string) => ValueProblem | undefined) =>
  z.string().superRefine((text, context) => {
    const problem = check(text);
    if (problem !== undefined) context.addIssue({ code: 'custom', message: problem.message, params: { code: problem.code } });
  });

export const nameSchema = checkedString((name) => {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/.test(name)) {
    return {
      code: 'NAME_INVALID',
      message: 'A name has 1 to 63 letters, digits, dots, dashes and underscores and starts with a letter or digit.',
    };
  }
  return name.toLowerCase() === anyName
    ? { code: 'NAME_RESERVED', message: '"any" stands for every address: choose another name.' }
    : undefined;
});

/** Why a text is no address or CIDR without host bits; undefined when it is one. */
export const prefixProblem = (text: string): ValueProblem | undefined => {
  const prefix = parsePrefix(text);
  if (prefix === undefined) {
    const shown = JSON.stringify(text.slice(0, 63));
    return {
      code: 'ADDRESS_INVALID',
      message: `${shown} is not an address or CIDR: write for instance 198.18.4.0/24, 198.18.4.7 or 2001:db8:4::/48.`,
    };
  }
  if (isNetwork(prefix)) return undefined;
  return {
    code: 'ADDRESS_HOST_BITS',
    message: `${text} has bits set behind its prefix length: write ${formatPrefix(networkOf(prefix))}, or leave the length out for the address alone.`,
  };
};
