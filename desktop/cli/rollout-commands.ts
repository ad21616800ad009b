/** nest policy apply | confirm | rollback */
import type { Command } from 'commander';
import { NestError } from '../../proto/model/error.ts';
import { confirmWithinSeconds as confirmBounds } from '../../proto/model/limits.ts';
import type { Rollout } from '../bridge/model.ts';
import { askYes, chosenHosts, findHost, readText, ReportedError, settledRows, withFleet } from './command-context.ts';
import type { CommandContext, Invocation } from './command-context.ts';
import { groupOption, whereOption } from './host-choice.ts';
import { mergeOptions, withMerge } from './merge-commands.ts';
import type { MergeOptions } from './merge-commands.ts';
import { formatTime } from './output.ts';
import { showPlan, showRollout } from './plan-view.ts';
import { revisionOf } from './policy-commands.ts';
import type { HostChoice } from './policy-commands.ts';
import type { GlobalOptions } from './command-context.ts';
import { UsageError } from './usage-error.ts';

interface ApplyOptions extends HostChoice, MergeOptions {
  readonly yes?: true;
  readonly confirm?: true;
  readonly confirmWithin: string;
  readonly comment?: string;
}

/** A host that has just been connected needs a status or two before its pending change is known. */
const pendingWaitMs = 4_000;
const pendingPollMs = 200;

export const addRolloutCommands = (program: Command, invocation: Invocation): void => {
  const policy = program.commands.find((command) => command.name() === 'policy') ?? program.command('policy');
  mergeOptions(
    policy
      .command('apply <file>')
      .description('plan, show, ask, apply to all named hosts, then keep or take back; "-" reads standard input'),
  )
    .option('--host <name...>', 'hosts to apply to')
    .option('--all', 'all hosts')
    .option(...whereOption)
    .option(...groupOption)
    .option('--yes', 'apply without asking')
    .option('--confirm', 'keep the change as soon as every host has it and still answers')
    .option(
      '--confirm-within <seconds>',
      'without a confirmation the hosts take the change back after so long',
      String(confirmBounds.default),
    )
    .option('--comment <text>', 'why, for the history')
    .action((path: string, _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<ApplyOptions>();
      return withFleet(invocation, options, (context) => applyPolicy(context, path, options));
    });
  policy
    .command('confirm')
    .description('keep the change that waits on the hosts')
    .action((_options: unknown, command: Command) =>
      withFleet(invocation, command.optsWithGlobals<GlobalOptions>(), async (context) => {
        const { rolloutId } = await waitingRollout(context);
        finishWith(context, await context.handlers['policy.confirm']({ rolloutId }, context.signal), 'confirmed');
      }),
    );
  policy
    .command('rollback [host]')
    .description('take the change that waits back now; with a host and --to, make an older revision current again')
    .option('--to <revision>', 'an older revision of the host')
    .option('--yes', 'do not ask')
    .action((name: string | undefined, _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions & { readonly to?: string; readonly yes?: true }>();
      if ((name === undefined) !== (options.to === undefined))
        throw new UsageError('Give both a host and --to <revision>, or neither to take back the change that waits.');
      return withFleet(invocation, options, async (context) => {
        if (name === undefined || options.to === undefined) {
          const { rolloutId } = await waitingRollout(context);
          finishWith(context, await context.handlers['policy.undo']({ rolloutId }, context.signal), 'rolled-back');
          return;
        }
        const { hostId } = await findHost(context, name);
        const toRevision = revisionOf(options.to);
        if (options.yes !== true && !(await askYes(context, `Make revision ${options.to} current on ${name} again?`, '--yes'))) return;
        const revision = await context.handlers['policy.rollback']({ hostId, toRevision }, context.signal);
        context.print(
          revision,
          (made) => `${name} runs revision ${String(made.revision)} (${made.state}), the same policy as revision ${String(toRevision)}.`,
        );
      });
    });
};

const applyPolicy = async (context: CommandContext, path: string, options: ApplyOptions): Promise<void> => {
  const { handlers, terminal, signal, isJson } = context;
  const confirmWithinSeconds = Number(options.confirmWithin);
  if (!Number.isInteger(confirmWithinSeconds) || confirmWithinSeconds < confirmBounds.min || confirmWithinSeconds > confirmBounds.max) {
    throw new UsageError(`--confirm-within is ${String(confirmBounds.min)} to ${String(confirmBounds.max)} seconds.`);
  }
  const text = await readText(context, path);
  const hostIds = [...(await chosenHosts(context, options))];
  const change = await withMerge(context, text, { hostIds, options });
  const plan = await handlers['policy.plan']({ ...change, hostIds }, signal);
  if (!isJson) terminal.out(showPlan(plan));
  const count = plan.hosts.filter(({ canApply }) => canApply).length;
  if (count === 0) {
    const [first] = plan.hosts;
    throw new NestError(
      (first?.problem?.code ?? 'POLICY_INVALID') as NestError['code'],
      `No host can apply this policy. ${first?.problem?.message ?? first?.cannotApplyReason ?? 'See the problems in the plan.'}`,
    );
  }
  if (options.yes !== true && !(await askYes(context, `Apply to ${String(count)} of ${String(plan.hosts.length)} hosts?`, '--yes'))) {
    terminal.note('Nothing was changed.');
    return;
  }
  const started = await handlers['policy.apply'](
    { planId: plan.planId, confirmWithinSeconds, ...(options.comment === undefined ? {} : { comment: options.comment }) },
    signal,
  );
  const applied = await untilApplied(context, started);
  if (!isJson && applied.state === 'pending') terminal.out(showRollout(applied));
  if (applied.state !== 'pending') {
    finishWith(context, applied, 'confirmed');
    return;
  }
  await decide(context, applied, options);
};

const untilApplied = async ({ handlers, signal }: CommandContext, started: Rollout): Promise<Rollout> => {
  let last = started;
  if (last.state !== 'applying') return last;
  for await (const rollout of handlers['rollout.watch']({ rolloutId: started.rolloutId }, signal)) {
    last = rollout;
    if (rollout.state !== 'applying') break;
  }
  return last;
};

/** Keep, undo, or leave it to the hosts' timers. */
const decide = async (context: CommandContext, applied: Rollout, options: ApplyOptions): Promise<void> => {
  const { handlers, terminal, signal, isJson } = context;
  const { rolloutId } = applied;
  const explain = `Without "nest policy confirm" the hosts take it back by themselves at ${formatTime(applied.rollbackAt)}.`;
  if (options.confirm === true) {
    if (!applied.hosts.every(({ state }) => state === 'pending')) {
      terminal.note(`Not every host has the change, so it is not kept. ${explain}`);
      finishWith(context, applied, 'confirmed');
      return;
    }
    finishWith(context, await handlers['policy.confirm']({ rolloutId }, signal), 'confirmed');
    return;
  }
  if (!terminal.isInteractive || isJson) {
    context.print(applied, () => explain);
    return;
  }
  const decision = await askDuringCountdown(context, applied);
  if (decision === 'keep') finishWith(context, await handlers['policy.confirm']({ rolloutId }, signal), 'confirmed');
  else if (decision === 'undo') finishWith(context, await handlers['policy.undo']({ rolloutId }, signal), 'rolled-back');
  else terminal.note(`Left undecided. ${explain}`);
};

const askDuringCountdown = async (
  { terminal, clock, signal }: CommandContext,
  { rollbackAt }: Rollout,
): Promise<'keep' | 'undo' | 'none'> => {
  const done = new AbortController();
  const ended = AbortSignal.any([signal, done.signal]);
  terminal.note('Press k to keep the change, u to undo it. Ctrl-C leaves the decision to the timers of the hosts.');
  const countdown = async (): Promise<'none'> => {
    for (let left = remaining(rollbackAt, clock.now()); left > 0 && !ended.aborted; left = remaining(rollbackAt, clock.now())) {
      if (left <= 5 || left % 10 === 0) terminal.note(`${String(left)} s`);
      await clock.sleep(1_000, ended).catch(() => undefined);
    }
    return 'none';
  };
  const keys = async (): Promise<'keep' | 'undo' | 'none'> => {
    for await (const key of terminal.keys(ended)) {
      if (key === 'k' || key === 'K') return 'keep';
      if (key === 'u' || key === 'U') return 'undo';
    }
    return 'none';
  };
  try {
    return await Promise.race([countdown(), keys()]);
  } finally {
    done.abort();
  }
};

const remaining = (rollbackAt: number | null, now: number): number =>
  rollbackAt === null ? 0 : Math.max(0, Math.ceil((rollbackAt - now) / 1000));

/** The change somebody has to decide about; hosts are given a moment to say so. Raises NOTHING_TO_CONFIRM. */
const waitingRollout = async (context: CommandContext): Promise<Rollout> => {
  const { handlers, clock, signal } = context;
  await settledRows(context);
  const deadline = clock.monotonicMs() + pendingWaitMs;
  for (;;) {
    const current = await handlers['rollout.current']({}, signal);
    if (current !== null) return current;
    const rows = await handlers['hosts.list']({}, signal);
    const isSilent = rows.every(({ pendingUntil, state }) => pendingUntil === null && state !== 'connecting');
    if (isSilent || clock.monotonicMs() > deadline)
      throw new NestError('NOTHING_TO_CONFIRM', 'No change waits for a decision on any host.');
    await clock.sleep(pendingPollMs, signal);
  }
};

/** Prints the end; an end that was not wanted is a refusal. */
const finishWith = (context: CommandContext, rollout: Rollout, wanted: Rollout['state']): void => {
  context.print(rollout, showRollout);
  if (rollout.state === wanted) return;
  if (!context.isJson) context.terminal.note(`error: the hosts ended ${rollout.state}; the reasons are above.`);
  throw new ReportedError();
};
