/**
 * The filter of the fleet table. Words are searched in name, address and labels; `label:x`, `state:degraded`, `engine:native`,
 * `name:x`, `agent:x` and `gen:x` look into one field; `drops>0`, `cpu>=80`, `packets<1k` compare numbers; `-` in front turns a
 * term around; "two words" keeps a blank. All terms must hold. A number that was not measured never compares.
 */
import type { HostRow } from '../../../bridge/model.ts';

export interface HostFilter {
  readonly test: (host: HostRow) => boolean;
  /** What was not understood, one sentence each; such terms are left out. */
  readonly problems: readonly string[];
  readonly termCount: number;
}

type Test = (host: HostRow) => boolean;

/** More terms are not read. */
const termsMax = 32;

const texts: Readonly<Record<string, (host: HostRow) => readonly (string | null)[]>> = {
  label: (host) => host.labels,
  state: (host) => [host.state, host.pendingUntil === null ? null : 'pending'],
  name: (host) => [host.name],
  address: (host) => [host.address],
  engine: (host) => [host.engine],
  agent: (host) => [host.agentVersion],
  gen: (host) => [host.generation],
};
/** These must be equal; the others may contain the text. */
const exact: ReadonlySet<string> = new Set(['label', 'state']);

const numbers: Readonly<Record<string, (host: HostRow) => number | null>> = {
  drops: (host) => host.dropsPerSecond,
  packets: (host) => host.packetsPerSecond,
  pps: (host) => host.packetsPerSecond,
  cpu: (host) => (host.cpuBusy === null ? null : host.cpuBusy * 100),
  flows: (host) => host.flows,
  revision: (host) => host.revision,
};

const comparisons: Readonly<Record<string, (left: number, right: number) => boolean>> = {
  '>': (left, right) => left > right,
  '<': (left, right) => left < right,
  '>=': (left, right) => left >= right,
  '<=': (left, right) => left <= right,
  '=': (left, right) => left === right,
};
const factors: Readonly<Record<string, number>> = { '': 1, '%': 1, k: 1e3, m: 1e6, g: 1e9 };

/** The terms of a text, quotes taken off. */
const termsOf = (text: string): readonly string[] =>
  [...text.matchAll(/(?:[^\s"]|"[^"]*"?)+/g)].slice(0, termsMax).map(([term]) => term.replaceAll('"', ''));

const comparisonOf = (term: string): Test | string | undefined => {
  const parts = /^([a-z]+)(>=|<=|>|<|=)(.*)$/i.exec(term);
  if (parts === null) return undefined;
  const [, name = '', sign = '', right = ''] = parts;
  const read = numbers[name.toLowerCase()];
  if (read === undefined) return `There is no number "${name}": use ${Object.keys(numbers).join(', ')}.`;
  const amount = /^(\d+(?:\.\d+)?)([kmg%]?)$/i.exec(right);
  const compare = comparisons[sign];
  if (amount === null || compare === undefined) return `"${term}" needs a number, for instance ${name}${sign}10 or ${name}${sign}1.5k.`;
  const limit = Number(amount[1]) * (factors[(amount[2] ?? '').toLowerCase()] ?? 1);
  return (host) => {
    const value = read(host);
    return value !== null && compare(value, limit);
  };
};

const fieldTestOf = (term: string): Test | undefined => {
  const colon = term.indexOf(':');
  const name = term.slice(0, colon).toLowerCase();
  const wanted = term.slice(colon + 1).toLowerCase();
  const read = colon > 0 ? texts[name] : undefined;
  if (read === undefined) return undefined;
  const fits = (value: string | null): boolean =>
    value !== null && (exact.has(name) ? value.toLowerCase() === wanted : value.toLowerCase().includes(wanted));
  return (host) => wanted === '' || read(host).some(fits);
};

const wordTestOf = (term: string): Test => {
  const wanted = term.toLowerCase();
  return (host) => [host.name, host.address, ...host.labels].some((text) => text.toLowerCase().includes(wanted));
};

/** Reads a filter. Never raises: what it does not understand is listed in `problems`. */
export const parseHostFilter = (text: string): HostFilter => {
  const tests: Test[] = [];
  const problems: string[] = [];
  for (const whole of termsOf(text)) {
    const isTurned = whole.startsWith('-') && whole.length > 1;
    const term = isTurned ? whole.slice(1) : whole;
    const test = comparisonOf(term) ?? fieldTestOf(term) ?? wordTestOf(term);
    if (typeof test === 'string') problems.push(test);
    else tests.push(isTurned ? (host) => !test(host) : test);
  }
  return { test: (host) => tests.every((test) => test(host)), problems, termCount: tests.length };
};
