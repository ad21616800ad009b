/** Labels of hosts: `site=ams1`, or one word such as `edge`. A host has one value for a key. */
import { NestError } from '../../proto/model/error.ts';
import { isHostKey, printHostQuery } from './host-grammar.ts';

/** Labels of one host. */
export const hostLabelsMax = 16;
const labelCharactersMax = 63;

export interface HostLabelParts {
  /** In lower case. */
  readonly key: string;
  /** Null for a label that is one word. */
  readonly value: string | null;
}

/** Key and value; `site:ams1`, as labels were written before, is read as `site=ams1`. */
export const hostLabelParts = (label: string): HostLabelParts => {
  const [, key, value = null] = /^([A-Za-z][\w.-]*)[:=](.+)$/s.exec(label) ?? [];
  return { key: (key ?? label).toLowerCase(), value };
};

/** As it is kept: without blanks around, with = between key and value. */
export const normalHostLabel = (text: string): string => text.trim().replace(/^([A-Za-z][\w.-]*):(?=.)/s, '$1=');

/** What is wrong with a label, with the next step; null when nothing is. */
export const hostLabelFault = (label: string): string | null => {
  if (label === '') return 'A label is empty: write for instance site=ams1.';
  if (label.length > labelCharactersMax)
    return `“${label.slice(0, 20)}…” is too long: a label has at most ${String(labelCharactersMax)} characters.`;
  if (/\p{Cc}/u.test(label)) return `“${label.replaceAll(/\p{Cc}/gu, '?')}” has a control character: write it anew.`;
  if (!label.includes('=')) return null;
  const { key, value } = hostLabelParts(label);
  if (value === null || value.includes('='))
    return `“${label}” is no label: write key=value, for instance site=ams1, the key of letters, digits, dots, dashes and underscores, and one =.`;
  return isHostKey(key) ? `“${key}” is a word of the search: choose another key, for instance ${key}-name=${value}.` : null;
};

/** Labels as they are kept, in their order. Raises INPUT_INVALID for the first that is none, a key said twice, or too many. */
export const checkedHostLabels = (texts: readonly string[]): readonly string[] => {
  const labels = [...new Set(texts.map(normalHostLabel))];
  const keys = new Set<string>();
  for (const label of labels) {
    const { key, value } = hostLabelParts(label);
    const fault = hostLabelFault(label) ?? (value !== null && keys.has(key) ? `“${key}” is said twice: keep one of the two.` : null);
    if (fault !== null) throw new NestError('INPUT_INVALID', fault, { details: { label } });
    if (value !== null) keys.add(key);
  }
  if (labels.length <= hostLabelsMax) return labels;
  throw new NestError('INPUT_INVALID', `A host has at most ${String(hostLabelsMax)} labels. Take some away.`);
};

/** The term of the host grammar that finds hosts with this label. */
export const hostLabelTerm = (label: string): string => {
  const { key, value } = hostLabelParts(label);
  return printHostQuery(value === null || isHostKey(key) ? { kind: 'field', key: 'label', value: label } : { kind: 'field', key, value });
};

export interface HostLabelChange {
  /** Added; a value of the same key is replaced. */
  readonly set: readonly string[];
  /** Taken away: whole labels, or keys. What is not there is no fault. */
  readonly remove: readonly string[];
}

/** The labels after a change. Raises INPUT_INVALID. */
export const changedHostLabels = (labels: readonly string[], { set, remove }: HostLabelChange): readonly string[] => {
  const added = checkedHostLabels(set);
  const isKey = new Set(remove.map((text) => text.trim().toLowerCase()));
  const gone = new Set(remove.map((text) => normalHostLabel(text).toLowerCase()));
  const replaced = new Set(added.map((label) => hostLabelParts(label)).flatMap(({ key, value }) => (value === null ? [] : [key])));
  const kept = labels.filter((label) => {
    const { key, value } = hostLabelParts(label);
    return !gone.has(normalHostLabel(label).toLowerCase()) && !isKey.has(key) && !(value !== null && replaced.has(key));
  });
  return checkedHostLabels([...kept, ...added]);
};
