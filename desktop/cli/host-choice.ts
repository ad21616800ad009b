/** How a command says which hosts it is about, besides by name: a query of the host grammar, a group. */
import { hostKeys } from '../bridge/host-grammar.ts';
import type { HostKey } from '../bridge/host-grammar.ts';

export interface HostFilter {
  readonly where?: string;
  readonly group?: string;
}

/** Arguments of commander's `option`. */
export const whereOption = ['--where <query>', 'hosts that fit, for instance "site:ams1 kernel>=6.1 -state:offline"'] as const;
export const groupOption = ['--group <name>', 'hosts of this group'] as const;

/** The host grammar for people, under a command that takes a query. */
export const hostGrammarHelp = [
  '',
  'A query is terms with blanks between; all must hold:',
  ...Object.values(hostKeys).map(
    (key: HostKey) => `  ${key.example.padEnd(20)} ${key.about}${key.values === undefined ? '' : `: ${key.values.join(', ')}`}`,
  ),
  '  site:ams1            a label site=ams1; site:* has any such label',
  '  "rack 7"             found in name, address or a label',
  '  a OR b, -a, (a b)    either, not, together; * stands for anything',
].join('\n');
