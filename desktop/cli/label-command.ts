/** nest hosts label */
import type { Command } from 'commander';
import type { HostRow } from '../bridge/model.ts';
import { chosenHosts, withFleet } from './command-context.ts';
import type { Invocation } from './command-context.ts';
import { groupOption, whereOption } from './host-choice.ts';
import { formatTable } from './output.ts';
import type { HostChoice } from './policy-commands.ts';
import { UsageError } from './usage-error.ts';

interface LabelOptions extends HostChoice {
  readonly remove?: readonly string[];
}

/** Below "nest hosts". */
export const addLabelCommand = (hosts: Command, invocation: Invocation): void => {
  hosts
    .command('label [label...]')
    .description('set labels such as site=ams1 or edge on hosts; a value of the same key is replaced')
    .option('--remove <label...>', 'labels or keys to take away')
    .option('--host <name...>', 'hosts to label')
    .option('--all', 'all hosts')
    .option(...whereOption)
    .option(...groupOption)
    .action((labels: readonly string[], _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<LabelOptions>();
      const change = { set: [...labels], remove: [...(options.remove ?? [])] };
      if (change.set.length + change.remove.length === 0)
        throw new UsageError('Say what to change: labels such as site=ams1, or --remove <label>.');
      return withFleet(invocation, options, async (context) => {
        const hostIds = [...(await chosenHosts(context, options))];
        context.print(await context.handlers['hosts.label']({ hostIds, ...change }, context.signal), showLabels);
      });
    });
};

const showLabels = (rows: readonly HostRow[]): string =>
  formatTable(rows, [
    { title: 'NAME', value: ({ name }) => name },
    { title: 'LABELS', value: ({ labels }) => labels.join(' ') },
  ]);
