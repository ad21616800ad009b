/** nest fleet rotate-root start | status | advance | rollback */
import type { Command } from 'commander';
import type { RootChangeHold, RootChangeView } from '../bridge/root-change-model.ts';
import { spkiFingerprint } from '../core/api.ts';
import { askYes, settledRows, withFleet } from './command-context.ts';
import type { CommandContext, GlobalOptions, Invocation } from './command-context.ts';
import { clean, formatTime } from './output.ts';

interface StepOptions extends GlobalOptions {
  readonly yes?: true;
  readonly leaveBehind?: true;
}

/** Below "nest fleet". */
export const addRootChangeCommands = (fleet: Command, invocation: Invocation): void => {
  const rotate = fleet
    .command('rotate-root')
    .description('change the root of the fleet in four phases: announced, dual-trust, re-issue, dropped; no connection is dropped');
  rotate
    .command('status')
    .description('the phase, what hangs on the old root, and which hosts have not heard of it')
    .action((_options: unknown, command: Command) =>
      withFleet(invocation, command.optsWithGlobals<GlobalOptions>(), async (context) => {
        await settledRows(context);
        context.print(await context.handlers['root-change.get']({}, context.signal), showRootChange);
      }),
    );
  rotate
    .command('start')
    .description('make a new root and tell every host of it; needs the key of the present root on this console')
    .option('--yes', 'do not ask')
    .action((_options: unknown, command: Command) =>
      run(command, invocation, async (context, options) => {
        if (!(await isAgreed(context, options, 'Make a new root for the fleet and announce it?'))) return;
        context.print(await context.handlers['root-change.start']({}, context.signal), showRootChange);
      }),
    );
  for (const direction of ['advance', 'rollback'] as const)
    rotate
      .command(direction)
      .description(direction === 'advance' ? 'go on to the next phase' : 'go back to the phase before')
      .option('--yes', 'do not ask')
      .option('--leave-behind', 'drop a root although something still hangs on it: those hosts and devices have to join again')
      .action((_options: unknown, command: Command) =>
        run(command, invocation, async (context, options) => {
          const view = await context.handlers['root-change.get']({}, context.signal);
          if (!(await isAgreed(context, options, questionOf(view, direction)))) return;
          const input = { leaveBehind: options.leaveBehind === true };
          context.print(await context.handlers[`root-change.${direction}`](input, context.signal), showRootChange);
        }),
      );
};

const run = (
  command: Command,
  invocation: Invocation,
  work: (context: CommandContext, options: StepOptions) => Promise<void>,
): Promise<void> => {
  const options = command.optsWithGlobals<StepOptions>();
  return withFleet(invocation, options, async (context) => {
    await settledRows(context);
    await work(context, options);
  });
};

const isAgreed = async (context: CommandContext, { yes }: StepOptions, question: string): Promise<boolean> =>
  yes === true || askYes(context, question, '--yes');

const questionOf = ({ next, back, phase }: RootChangeView, direction: 'advance' | 'rollback'): string => {
  const target = direction === 'advance' ? next : back;
  const last = target === 'dropped' ? ' After that there is no way back.' : '';
  return `Go from "${phase}" to "${target ?? 'nowhere'}"?${last}`;
};

const showRootChange = (view: RootChangeView): string => {
  const { phase, from, to, startedAt, phaseAt, next, back, holds, backHolds, behind, isUnderWay, isConductedHere } = view;
  if (phase === 'none') return `Root         ${spkiFingerprint(from)}\nPhase        none: the root was never changed`;
  const where = !isUnderWay ? 'it has ended' : isConductedHere ? 'conducted here' : 'conducted by another console';
  return [
    `Phase        ${phase}, since ${formatTime(phaseAt)}, ${where}`,
    `Begun        ${formatTime(startedAt)}`,
    `Old root     ${spkiFingerprint(from)}`,
    `New root     ${to === null ? '-' : spkiFingerprint(to)}`,
    ...(isUnderWay ? [`Next         ${next ?? '-'}; back to ${back ?? '-'}`] : []),
    ...listed('Hosts that have not heard of it', behind, ({ name, isAway }) => `${clean(name)}${isAway ? ', away' : ''}`),
    ...listed('On the old root', holds, holdText),
    ...(phase === 'dual-trust' ? listed('On the new root', backHolds, holdText) : []),
  ].join('\n');
};

const holdText = ({ kind, name, isAway, reason }: RootChangeHold): string =>
  `${kind} ${clean(name)}${isAway && kind === 'host' ? ', away' : ''}: ${reason}`;

/** Lines of a long list that are shown. */
const shownMax = 20;

const listed = <Entry>(title: string, entries: readonly Entry[], textOf: (entry: Entry) => string): readonly string[] =>
  entries.length === 0
    ? []
    : [
        '',
        `${title} (${String(entries.length)}):`,
        ...entries.slice(0, shownMax).map((entry) => `  ${textOf(entry)}`),
        ...(entries.length > shownMax ? [`  and ${String(entries.length - shownMax)} more; --json lists all`] : []),
      ];
