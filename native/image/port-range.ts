/** Destination ports as the policy document writes them: "443", "8000-8100", "53,853". */
import { portMax } from './limits.ts';

/** Both ends included, 1..65535. */
export interface PortRange {
  readonly first: number;
  readonly last: number;
}

export type PortProblem = { readonly code: 'PORT_INVALID' | 'PORT_RANGE_REVERSED'; readonly message: string };

/** The ranges of one entry, in the order written, or why it is refused. */
export const parsePorts = (text: string): readonly PortRange[] | PortProblem => {
  const ranges: PortRange[] = [];
  for (const part of text.split(',')) {
    const dash = part.indexOf('-');
    const first = parsePort(dash < 0 ? part : part.slice(0, dash));
    const last = dash < 0 ? first : parsePort(part.slice(dash + 1));
    if (first === undefined || last === undefined) {
      const shown = JSON.stringify(part.slice(0, 40));
      return {
        code: 'PORT_INVALID',
        message: `${shown} is not a port: write a port 1 to 65535, a range like "8000-8100", or a list like "53,853".`,
      };
    }
    if (first > last)
      return { code: 'PORT_RANGE_REVERSED', message: `The range ${part} runs backwards: write "${String(last)}-${String(first)}".` };
    ranges.push({ first, last });
  }
  return ranges;
};

/** True for the refusal of {@link parsePorts}. */
export const isPortProblem = (result: readonly PortRange[] | PortProblem): result is PortProblem => 'code' in result;

/** Ranges of all entries of a checked policy, sorted, overlapping and adjacent ones joined; empty = every port. */
export const portRangesOf = (entries: readonly string[]): readonly PortRange[] => {
  const ranges: PortRange[] = [];
  for (const entry of entries) {
    const result = parsePorts(entry);
    if (!isPortProblem(result)) ranges.push(...result);
  }
  return ranges.length < 2 ? ranges : joinRanges(ranges);
};

const joinRanges = (ranges: PortRange[]): PortRange[] => {
  ranges.sort((a, b) => a.first - b.first || a.last - b.last);
  const joined: { first: number; last: number }[] = [];
  for (const range of ranges) {
    const previous = joined.at(-1);
    if (previous !== undefined && range.first <= previous.last + 1) previous.last = Math.max(previous.last, range.last);
    else joined.push({ ...range });
  }
  return joined;
};

const parsePort = (text: string): number | undefined => {
  if (!/^[1-9][0-9]{0,4}$/.test(text)) return undefined;
  const port = Number(text);
  return port <= portMax ? port : undefined;
};
