/** nest mfa status | enrol | confirm | admit | step-up | recovery | remove | require */
import type { Command } from 'commander';
import type { FactorOffer, MfaState } from '../bridge/model.ts';
import { applyChange, deliver } from './access-delivery.ts';
import { askYes, findHost, readText, settledRows, withFleet } from './command-context.ts';
import type { CommandContext, GlobalOptions, Invocation } from './command-context.ts';
import { clean, formatTable, formatTime, oneOf } from './output.ts';
import { requireReadable } from './secret.ts';
import { readCode } from './step-up-prompt.ts';

export const addMfaCommands = (program: Command, invocation: Invocation): void => {
  const mfa = program.command('mfa').description('second factor: an authenticator whose codes hosts check, for what is dangerous');
  const run = (command: Command, work: (context: CommandContext) => Promise<void>): Promise<void> =>
    withFleet(invocation, command.optsWithGlobals<GlobalOptions>(), async (context) => {
      await settledRows(context);
      await work(context);
    });
  mfa
    .command('status')
    .description('your second factor, its witnesses, and whether a code counts now')
    .action((_options: unknown, command: Command) =>
      run(command, async (context) => context.print(await context.handlers['mfa.get']({}, context.signal), showState)),
    );
  addEnrolment(mfa, run);
  addUse(mfa, run);
  mfa
    .command('remove [subject]')
    .description('take away your second factor, or that of "operator/<name>"; an owner does this')
    .option('--yes', 'do not ask')
    .action((subject: string | undefined, _options: unknown, command: Command) =>
      run(command, async (context) => {
        const whose = subject === undefined ? 'your second factor' : `the second factor of ${clean(subject)}`;
        if (command.opts<{ readonly yes?: true }>().yes !== true && !(await askYes(context, `Take away ${whose}?`, '--yes'))) return;
        await context.handlers['mfa.remove'](subject === undefined ? {} : { subject }, context.signal);
        await delivered(context, 'The second factor is taken away.');
      }),
    );
  mfa
    .command('require <on|off>')
    .description('whether operators without a second factor may do what is dangerous; an owner sets this')
    .action((word: string, _options: unknown, command: Command) => {
      const isRequired = oneOf('require', word, ['on', 'off'] as const) === 'on';
      return run(command, (context) =>
        applyChange(
          context,
          { kind: 'stepUp.require', isRequired },
          isRequired ? 'A second factor is required from everybody.' : 'A second factor is asked of those who have one.',
        ),
      );
    });
};

type Run = (command: Command, work: (context: CommandContext) => Promise<void>) => Promise<void>;

const addEnrolment = (mfa: Command, run: Run): void => {
  mfa
    .command('enrol')
    .description('make a second factor: shows the secret for your authenticator and recovery codes, once')
    .option('--witness <host...>', 'hosts that keep the secret, 1 to 3; chosen by themselves otherwise')
    .action((_options: unknown, command: Command) => {
      const { witness } = command.opts<{ readonly witness?: readonly string[] }>();
      return run(command, async (context) => {
        // The secret is shown once: a file that cannot be read is found before it is made.
        const path = codePath(context);
        if (path !== undefined) await requireReadable(path, 'code');
        const hostIds =
          witness === undefined ? undefined : await Promise.all(witness.map(async (name) => (await findHost(context, name)).hostId));
        const offer = await context.handlers['mfa.enrol'](hostIds === undefined ? {} : { hostIds }, context.signal);
        context.print(offer, showOffer);
        if (!context.terminal.isInteractive && codePath(context) === undefined) {
          if (!context.isJson) context.terminal.note(`Prove it with "nest mfa confirm ${offer.factorId} --code-file <file>".`);
          return;
        }
        await confirm(context, offer.factorId);
      });
    });
  mfa
    .command('confirm <factor>')
    .description('prove with a first code that your authenticator and the witnesses agree; from then on the factor counts')
    .action((factorId: string, _options: unknown, command: Command) => run(command, (context) => confirm(context, factorId)));
  mfa
    .command('admit <file>')
    .description(
      'as an owner: take up the second factor of another operator, the text that "nest mfa confirm" (or "enrol") printed there; "-" is standard input',
    )
    .action((file: string, _options: unknown, command: Command) =>
      run(command, async (context) => {
        await context.handlers['mfa.admit']({ claim: (await readText(context, file)).trim() }, context.signal);
        await delivered(context, 'The second factor counts.');
      }),
    );
};

const addUse = (mfa: Command, run: Run): void => {
  const stepUp = (context: CommandContext, question: string): Promise<void> =>
    readCode({ ...context, path: codePath(context) }, question).then(async (code) =>
      context.print(await context.handlers['mfa.stepUp']({ code }, context.signal), showFresh),
    );
  mfa
    .command('step-up')
    .description('prove your second factor now: for five minutes what is dangerous is not asked for again')
    .action((_options: unknown, command: Command) => run(command, (context) => stepUp(context, 'Code of your authenticator: ')));
  mfa
    .command('recovery')
    .description('the same with a recovery code, which is spent; for when the authenticator is gone')
    .action((_options: unknown, command: Command) => run(command, (context) => stepUp(context, 'Recovery code: ')));
};

const codePath = ({ options, environment }: CommandContext): string | undefined => {
  const path = options.codeFile ?? environment['NEST_CODE_FILE'] ?? '';
  return path === '' ? undefined : path;
};

const confirm = async (context: CommandContext, factorId: string): Promise<void> => {
  const code = await readCode({ ...context, path: codePath(context) }, 'Code that the authenticator shows now: ');
  const { claim, state } = await context.handlers['mfa.confirm']({ factorId, code }, context.signal);
  if (claim === null) return delivered(context, 'Your second factor counts from now on.');
  // The text alone on standard output: it is written to a file and given away as it is.
  if (!context.isJson) context.terminal.note('Proven. It counts when an owner takes it up: give them this text for "nest mfa admit".');
  context.print({ claim, state }, () => claim);
};

/** The bundle that says so goes to the hosts. */
const delivered = async (context: CommandContext, done: string): Promise<void> => {
  const { proposal } = await context.handlers['access.get']({}, context.signal);
  await deliver(context, { proposal, done });
};

const showOffer = ({ secret, uri, recoveryCodes, witnesses }: FactorOffer): string =>
  [
    'Give this to your authenticator; it is not shown again.',
    `  Secret     ${secret.match(/.{1,4}/g)?.join(' ') ?? secret}`,
    `  Address    ${uri}`,
    `  Kind       by time, SHA-1, 6 digits, 30 seconds`,
    'Write these recovery codes down and keep them elsewhere; each works once.',
    ...recoveryCodes.map((code) => `  ${code}`),
    `Witnesses    ${witnesses.map(({ name }) => clean(name)).join(', ')}`,
  ].join('\n');

const showFresh = ({ freshUntil, recoveryCodesLeft }: MfaState): string =>
  `Proven until ${formatTime(freshUntil)}.${recoveryCodesLeft === null ? '' : ` ${String(recoveryCodesLeft)} recovery codes are left.`}`;

const showState = (state: MfaState): string =>
  [
    `Operator     ${state.subject}`,
    `Required     ${state.isRequired ? 'of every operator' : 'of those who have one'}`,
    ...(state.factor === null
      ? ['Factor       none; "nest mfa enrol" makes one']
      : [
          `Factor       since ${formatTime(state.factor.enrolledAt)}, ${String(state.factor.needed)} of ${String(state.factor.witnesses.length)} witnesses must check a code`,
          `Fresh        ${state.freshUntil === null ? 'no; "nest mfa step-up" proves it' : `until ${formatTime(state.freshUntil)}`}`,
          formatTable(state.factor.witnesses, [
            { title: 'WITNESS', value: ({ name }) => name },
            { title: 'STATE', value: ({ isLive }) => (isLive ? 'answers' : 'does not answer') },
          ]),
        ]),
    ...(state.factors.length === 0
      ? []
      : [
          '',
          formatTable(state.factors, [
            { title: 'OPERATOR', value: ({ subject }) => subject },
            { title: 'SINCE', value: ({ enrolledAt }) => formatTime(enrolledAt) },
            { title: 'WITNESSES', value: ({ witnesses }) => witnesses.map(({ name }) => name).join(', ') },
          ]),
        ]),
  ].join('\n');
