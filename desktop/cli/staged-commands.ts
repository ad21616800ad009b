/** nest rollout plan | start | ls | watch | pause | resume | abort | takeover; nest intents ls | leave | cancel */
import type { Command } from 'commander';
import { settledPhases } from '../../proto/model/rollout.ts';
import type { InputOf } from '../bridge/contract.ts';
import type { HostRow } from '../bridge/model.ts';
import type { IntentRow, StagedPlan, StagedRollout } from '../bridge/rollout-model.ts';
import { askYes, chosenHosts, readText, ReportedError, settledRows, withFleet } from './command-context.ts';
import type { CommandContext, GlobalOptions, Invocation } from './command-context.ts';
import { groupOption, whereOption } from './host-choice.ts';
import { clean, formatAge, formatTable, formatTime, numberOf, oneOf } from './output.ts';
import type { HostChoice } from './policy-commands.ts';
import { UsageError } from './usage-error.ts';

interface PlanOptions extends HostChoice {
  readonly name?: string;
  readonly waves?: string;
  readonly maxUnavailable?: string;
  readonly failures?: string;
  readonly soak?: string;
  readonly baseline?: string;
  readonly dropFactor?: string;
  readonly dropFloor?: string;
  readonly rollback?: string;
  readonly offline?: string;
  readonly yes?: true;
}

/** A signed change for hosts that answer is looked after for so long, and so often. */
const deliveredWithinMs = 30_000;
const deliveredPollMs = 200;

export const addStagedCommands = (program: Command, invocation: Invocation): void => {
  const rollout = program.command('rollout').description('bring a policy to many hosts in waves, watched by their own counters');
  planOptions(rollout.command('plan <file>').description('who is in which wave, and what each host says; changes nothing')).action(
    (path: string, _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<PlanOptions>();
      return withFleet(invocation, options, async (context) => {
        context.print(await planned(context, path, options), showStagedPlan);
      });
    },
  );
  planOptions(
    rollout.command('start <file>').description('plan, ask, sign, and conduct it until it has ended; Ctrl-C leaves it to be resumed'),
  )
    .option('--yes', 'begin without asking')
    .action((path: string, _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<PlanOptions>();
      return withFleet(invocation, options, (context) => start(context, path, options));
    });
  rollout
    .command('ls')
    .description('rollouts of this console, and those of others that the hosts keep')
    .action((_options: unknown, command: Command) =>
      withFleet(invocation, command.optsWithGlobals<GlobalOptions>(), async (context) => {
        await settledRows(context);
        context.print(await context.handlers['rollouts.list']({}, context.signal), (list) => showRollouts(list, context.clock.now()));
      }),
    );
  rollout
    .command('watch <id>')
    .description('follow a rollout until it ends')
    .action((rolloutId: string, _options: unknown, command: Command) =>
      withFleet(invocation, command.optsWithGlobals<GlobalOptions>(), (context) => follow(context, rolloutId)),
    );
  for (const [name, method, about] of verbs) {
    const verb = rollout.command(`${name} <id>`).description(about);
    if (name === 'takeover') verb.option('--yes', 'do not ask');
    verb.action((rolloutId: string, _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions & { readonly yes?: true }>();
      return withFleet(invocation, options, async (context) => {
        await settledRows(context);
        if (name === 'takeover' && !(await isTakeoverAgreed(context, options.yes === true))) return;
        const shown = await context.handlers[method]({ rolloutId }, context.signal);
        // What this process conducts ends with it.
        if (shown.conducted === 'here' && name !== 'pause') await follow(context, rolloutId);
        else context.print(shown, showStaged);
      });
    });
  }
  addIntentCommands(program, invocation);
};

/** Who can be asked is asked; scripts took over without --yes before there was one. */
const isTakeoverAgreed = async (context: CommandContext, isAgreed: boolean): Promise<boolean> => {
  if (isAgreed || !context.terminal.isInteractive) return true;
  if (await askYes(context, 'Take this rollout over? The console that conducts it now stops.', '--yes')) return true;
  context.terminal.note('Nothing was changed.');
  return false;
};

const verbs = [
  ['pause', 'rollouts.pause', 'begin with no new host; those that soak go on'],
  ['resume', 'rollouts.resume', 'go on with a rollout that was paused, or whose console ended'],
  ['abort', 'rollouts.abort', 'take back what the plan says, and end'],
  ['takeover', 'rollouts.takeOver', 'go on with the rollout of another console; that one stops'],
] as const;

const planOptions = (command: Command): Command =>
  command
    .option('--host <name...>', 'hosts to roll out to, in this order')
    .option('--all', 'all hosts')
    .option(...whereOption)
    .option(...groupOption)
    .option('--name <text>', 'what it is called')
    .option('--waves <percents>', 'hosts after each wave, percent; 0 = one host', '0,5,25,100')
    .option('--max-unavailable <count>', 'hosts changed, failed or silent at once (a tenth, at least 1)')
    .option('--failures <count>', 'more failed hosts stop it (0)')
    .option('--soak <seconds>', 'how long a host is watched before its change is kept (60)')
    .option('--baseline <seconds>', 'how long counters are read before (15)')
    .option('--drop-factor <number>', 'drops by reason may grow to so many times what they were (2)')
    .option('--drop-floor <rate>', 'and by so many packets per second on top (10)')
    .option('--rollback <scope>', 'what a stop takes back: wave or all', 'wave')
    .option('--offline <what>', 'hosts that are away: skip, or intent for a signed change that waits', 'skip');

/** Raises UsageError. */
const requestOf = (options: PlanOptions): Omit<InputOf<'rollouts.plan'>, 'policy' | 'hostIds' | 'name'> => {
  const whole = (option: string, text: string | undefined, range: { readonly min: number; readonly max: number }): number | undefined =>
    text === undefined ? undefined : numberOf(option, text, range);
  const ratio = (option: string, text: string | undefined): number | undefined => {
    const value = Number(text ?? 0);
    if (!Number.isFinite(value) || value < 0) throw new UsageError(`${option} is a number of at least 0.`);
    return text === undefined ? undefined : value;
  };
  const waves = (options.waves ?? '0,5,25,100').split(',').map(Number);
  if (waves.some((share) => !Number.isFinite(share))) throw new UsageError('--waves are percentages with commas, for instance 5,25,100.');
  return {
    waves,
    maxUnavailable: whole('--max-unavailable', options.maxUnavailable, { min: 1, max: 5_000 }),
    failuresMax: whole('--failures', options.failures, { min: 0, max: 5_000 }),
    soakSeconds: whole('--soak', options.soak, { min: 0, max: 3_300 }),
    baselineSeconds: whole('--baseline', options.baseline, { min: 0, max: 300 }),
    gates: { dropFactor: ratio('--drop-factor', options.dropFactor), dropFloorPps: ratio('--drop-floor', options.dropFloor) },
    rollback: oneOf<'wave' | 'all'>('--rollback', options.rollback ?? 'wave', ['wave', 'all']),
    offline: oneOf<'skip' | 'intent'>('--offline', options.offline ?? 'skip', ['skip', 'intent']),
  };
};

const planned = async (context: CommandContext, path: string, options: PlanOptions): Promise<StagedPlan> => {
  const request = requestOf(options);
  const policy = await readText(context, path);
  const hostIds = [...(await chosenHosts(context, options))];
  await settledRows(context);
  const name = options.name ?? (path === '-' ? 'rollout' : path.replace(/^.*\//, ''));
  return context.handlers['rollouts.plan']({ ...request, name, policy, hostIds }, context.signal);
};

const start = async (context: CommandContext, path: string, options: PlanOptions): Promise<void> => {
  const { handlers, terminal, signal, isJson } = context;
  const plan = await planned(context, path, options);
  if (!isJson) terminal.out(showStagedPlan(plan));
  const count = plan.waves.flat().length;
  const question = `Roll out to ${String(count)} hosts in ${String(plan.waves.length)} waves?`;
  if (options.yes !== true && !(await askYes(context, question, '--yes'))) {
    terminal.note('Nothing was changed.');
    return;
  }
  const { rolloutId } = await handlers['rollouts.start']({ planId: plan.planId }, signal);
  if (!isJson)
    terminal.note(`Rollout ${rolloutId}. Ctrl-C ends this command, not the rollout: "nest rollout resume ${rolloutId}" goes on.`);
  await follow(context, rolloutId);
};

/** Prints each change, and the end; an end that is not 'finished' is a refusal. */
const follow = async (context: CommandContext, rolloutId: string): Promise<void> => {
  const { handlers, terminal, signal, isJson } = context;
  const seen = new Map<string, string>();
  let last: StagedRollout | undefined;
  for await (const rollout of handlers['rollouts.watch']({ rolloutId }, signal)) {
    if (!isJson && rollout.phase !== last?.phase)
      terminal.note(`${rollout.phase}${rollout.reason === null ? '' : `: ${clean(rollout.reason.message)}`}`);
    for (const { hostId, hostName, state, wave, problem } of rollout.hosts) {
      if (!isJson && state !== 'waiting' && seen.get(hostId) !== state)
        terminal.note(`wave ${String(wave + 1)}  ${clean(hostName)}  ${state}${problem === null ? '' : `  ${clean(problem.message)}`}`);
      seen.set(hostId, state);
    }
    last = rollout;
  }
  if (last === undefined) return;
  context.print(last, showStaged);
  if (last.phase !== 'finished') throw new ReportedError();
};

const showStagedPlan = (plan: StagedPlan): string => {
  const { maxUnavailable, failuresMax, soakSeconds, rollback } = plan.settings;
  const rows = plan.waves.flatMap((wave, index) => wave.map((host) => ({ ...host, wave: index + 1 })));
  const table = formatTable(rows, [
    { title: 'WAVE', value: ({ wave }) => wave },
    { title: 'HOST', value: ({ hostName }) => hostName },
    { title: 'ANSWERS', value: ({ isLive }) => (isLive ? 'yes' : 'no') },
    { title: 'CAN APPLY', value: ({ canApply }) => (canApply ? 'yes' : 'no') },
    { title: 'PROBLEM', value: ({ problem }) => problem },
  ]);
  const limits = `At most ${String(maxUnavailable)} hosts at once, ${String(soakSeconds)} s soak, more than ${String(failuresMax)} failures stop it, a stop takes back ${rollback === 'all' ? 'all' : 'the wave'}.`;
  return `${table}\n${limits}\nLive flows that would be cut: ${String(plan.cutLive)}, newly allowed: ${String(plan.newlyAllowed)}.`;
};

/** What has ended is conducted by nobody. */
const isOver = ({ phase }: StagedRollout): boolean => phase !== 'yielded' && settledPhases.has(phase);

const showRollouts = (list: readonly StagedRollout[], now: number): string =>
  list.length === 0
    ? 'No rollouts.'
    : formatTable(list, [
        { title: 'ROLLOUT', value: ({ rolloutId }) => rolloutId },
        { title: 'NAME', value: ({ name }) => name },
        { title: 'STATE', value: ({ phase }) => phase },
        { title: 'CONDUCTED', value: (rollout) => (isOver(rollout) ? null : rollout.conducted) },
        { title: 'WAVE', value: ({ wave, waves }) => `${String(wave + 1)}/${String(waves)}` },
        { title: 'KEPT', value: ({ hosts }) => `${String(hosts.filter(({ state }) => state === 'kept').length)}/${String(hosts.length)}` },
        { title: 'OPERATOR', value: ({ operator }) => operator.replace(/^.*\//, '') },
        { title: 'BEGAN', value: ({ startedAt }) => formatAge(startedAt, now) },
      ]);

const showStaged = (rollout: StagedRollout): string => {
  const table = formatTable(rollout.hosts, [
    { title: 'WAVE', value: ({ wave }) => wave + 1 },
    { title: 'HOST', value: ({ hostName }) => hostName },
    { title: 'STATE', value: ({ state }) => state },
    { title: 'REVISION', value: ({ revision }) => revision },
    { title: 'REASON', value: ({ problem }) => problem?.message ?? null },
  ]);
  const reason = rollout.reason === null ? '' : `\n${rollout.reason.code}: ${clean(rollout.reason.message)}`;
  return `${table}\n${clean(rollout.name)} is ${rollout.phase}, wave ${String(rollout.wave + 1)} of ${String(rollout.waves)}.${reason}`;
};

const addIntentCommands = (program: Command, invocation: Invocation): void => {
  const intents = program.command('intents').description('signed changes that wait for hosts that are away');
  intents
    .command('ls')
    .description('what waits, and what became of the others')
    .action((_options: unknown, command: Command) =>
      withFleet(invocation, command.optsWithGlobals<GlobalOptions>(), async (context) => {
        context.print(await context.handlers['intents.list']({}, context.signal), showIntents);
      }),
    );
  intents
    .command('leave <file>')
    .description('sign a policy for hosts that are away; a console delivers it when they return, at once to those that answer')
    .option('--host <name...>', 'hosts it is for')
    .option('--all', 'all hosts')
    .option(...whereOption)
    .option(...groupOption)
    .option('--comment <text>', 'why, for the history')
    .action((path: string, _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<HostChoice & { readonly comment?: string }>();
      return withFleet(invocation, options, async (context) => {
        const policy = await readText(context, path);
        const comment = options.comment === undefined ? {} : { comment: options.comment };
        const request = { policy, hostIds: [...(await chosenHosts(context, options))], ...comment };
        // The change starts from what a host has: one that answers says it first.
        const rows = await settledRows(context);
        const left = await context.handlers['intents.leave'](request, context.signal);
        const shown = await delivered(context, left, rows);
        context.print(shown, showIntents);
        if (shown.some(({ state }) => state === 'refused' || state === 'taken-back')) throw new ReportedError();
      });
    });
  intents
    .command('cancel <id>')
    .description('take one back that still waits')
    .action((intentId: string, _options: unknown, command: Command) =>
      withFleet(invocation, command.optsWithGlobals<GlobalOptions>(), async (context) => {
        context.print(await context.handlers['intents.cancel']({ intentId }, context.signal), (intent) => showIntents([intent]));
      }),
    );
};

/** Hosts that answer get it at once: what became of it, once it is known or a while has passed. */
const delivered = async (
  { handlers, clock, signal }: CommandContext,
  left: readonly IntentRow[],
  rows: readonly HostRow[],
): Promise<readonly IntentRow[]> => {
  const answering = new Set(rows.flatMap(({ hostId, state }) => (state === 'healthy' || state === 'degraded' ? [hostId] : [])));
  const deadline = clock.monotonicMs() + deliveredWithinMs;
  for (;;) {
    const present = new Map((await handlers['intents.list']({}, signal)).map((intent) => [intent.intentId, intent]));
    const shown = left.map((intent) => present.get(intent.intentId) ?? intent);
    const isOver = shown.every(({ hostId, state }) => !answering.has(hostId) || (state !== 'waiting' && state !== 'delivering'));
    if (isOver || clock.monotonicMs() > deadline) return shown;
    await clock.sleep(deliveredPollMs, signal);
  }
};

const showIntents = (intents: readonly IntentRow[]): string =>
  intents.length === 0
    ? 'No intents.'
    : formatTable(intents, [
        { title: 'INTENT', value: ({ intentId }) => intentId },
        { title: 'HOST', value: ({ hostName }) => hostName },
        { title: 'STATE', value: ({ state }) => state },
        { title: 'ON REVISION', value: ({ baseRevision }) => baseRevision },
        { title: 'UNTIL', value: ({ expiresAt }) => formatTime(expiresAt) },
        { title: 'OPERATOR', value: ({ operator }) => operator.replace(/^.*\//, '') },
        { title: 'REASON', value: ({ problem }) => problem?.message ?? null },
      ]);
