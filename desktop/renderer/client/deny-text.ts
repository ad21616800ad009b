/** Reads pasted or imported deny lists: one prefix a line, the first column of a CSV, "#" and ";" begin a comment. */
import { readNetwork, writeNetwork } from '../../bridge/address-text.ts';

export interface DenyTextFault {
  /** From 1. */
  readonly line: number;
  readonly message: string;
}

export interface DenyText {
  /** Canonical, without repetition, in the order of the text. */
  readonly prefixes: readonly string[];
  readonly ipv4: number;
  readonly ipv6: number;
  readonly repeated: number;
  readonly faultCount: number;
  /** The first of them. */
  readonly faults: readonly DenyTextFault[];
}

export const denyFaultsShown = 50;

export const readDenyText = (text: string): DenyText => {
  const seen = new Set<string>();
  const faults: DenyTextFault[] = [];
  let repeated = 0;
  let faultCount = 0;
  let ipv6 = 0;
  for (const [index, line] of text
    .replace(/^\uFEFF/, '')
    .split('\n')
    .entries()) {
    const entry = (/^[^#;]*/.exec(line)?.[0] ?? '').split(',')[0]?.trim().replaceAll('"', '') ?? '';
    if (entry === '') continue;
    const network = readNetwork(entry);
    if (typeof network === 'string') {
      faultCount += 1;
      if (faults.length < denyFaultsShown) faults.push({ line: index + 1, message: network });
      continue;
    }
    const prefix = writeNetwork(network);
    if (seen.has(prefix)) repeated += 1;
    else {
      seen.add(prefix);
      ipv6 += network.family === 6 ? 1 : 0;
    }
  }
  return { prefixes: [...seen], ipv4: seen.size - ipv6, ipv6, repeated, faultCount, faults };
};
