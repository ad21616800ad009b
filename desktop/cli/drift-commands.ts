/** nest drift ls | check | mode; nest policy editors */
import type { Command } from 'commander';
import type { DriftRow, HostDrift, HostEditors } from '../bridge/model.ts';
import { findHost, ReportedError, settledRows, withFleet } from './command-context.ts';
import type { GlobalOptions, Invocation } from './command-context.ts';
import { clean, formatAge, formatTable, oneOf } from './output.ts';

const modes = ['report', 'heal'] as const;

export const addDriftCommands = (program: Command, invocation: Invocation): void => {
  const drift = program.command('drift').description('whether the kernel of a host is as its agent has left it');
  drift
    .command('ls')
    .description('mode and findings of all hosts, as they said last')
    .action((_options: unknown, command: Command) =>
      withFleet(invocation, command.optsWithGlobals<GlobalOptions>(), async (context) => {
        await settledRows(context);
        context.print(await context.handlers['drift.list']({}, context.signal), (rows) => showDrift(rows, context.clock.now()));
      }),
    );
  drift
    .command('check <host>')
    .description('look at the kernel now; exit code 1 when it has drifted')
    .action((name: string, _options: unknown, command: Command) =>
      withFleet(invocation, command.optsWithGlobals<GlobalOptions>(), async (context) => {
        const { hostId } = await findHost(context, name);
        const found = await context.handlers['drift.check']({ hostId }, context.signal);
        context.print(found, showHost);
        if (found.findings.length > 0) throw new ReportedError();
      }),
    );
  drift
    .command('mode <host> <mode>')
    .description('report: say so; heal: say so and put right what can be')
    .action((name: string, mode: string) =>
      withFleet(invocation, drift.optsWithGlobals<GlobalOptions>(), async (context) => {
        const wanted = oneOf('The mode', mode, modes);
        const { hostId } = await findHost(context, name);
        context.print(await context.handlers['drift.mode']({ hostId, mode: wanted }, context.signal), showHost);
      }),
    );
  const policy = program.commands.find((candidate) => candidate.name() === 'policy') ?? program.command('policy');
  policy
    .command('editors')
    .description('who has the policy of which host open in an editor now')
    .action((_options: unknown, command: Command) =>
      withFleet(invocation, command.optsWithGlobals<GlobalOptions>(), async (context) => {
        await settledRows(context);
        context.print(await context.handlers['lease.list']({}, context.signal), (hosts) => showEditors(hosts, context.clock.now()));
      }),
    );
};

const showHost = ({ mode, checkedAt, findings, healed }: HostDrift): string =>
  [
    findings.length > 0
      ? 'The kernel has drifted:'
      : checkedAt === null
        ? 'The kernel has not been looked at yet.'
        : 'The kernel is as the agent has left it.',
    ...findings.map(({ resource, message, canHeal }) => `  ${clean(resource)}: ${clean(message)}${canHeal ? '' : ' (cannot be healed)'}`),
    `Mode ${mode}; put right since the agent started: ${String(healed)}.`,
  ].join('\n');

const showDrift = (rows: readonly DriftRow[], now: number): string =>
  rows.length === 0
    ? 'No hosts.'
    : formatTable(rows, [
        { title: 'HOST', value: ({ hostName, live }) => (live ? hostName : `${hostName} (away)`) },
        { title: 'MODE', value: ({ drift }) => drift?.mode ?? null },
        { title: 'CHECKED', value: ({ drift }) => (drift === null ? null : formatAge(drift.checkedAt, now)) },
        { title: 'HEALED', value: ({ drift }) => drift?.healed ?? null },
        {
          title: 'DRIFT',
          value: ({ drift }) =>
            drift === null || (drift.checkedAt === null && drift.findings.length === 0)
              ? null
              : drift.findings.length === 0
                ? 'none'
                : drift.findings.map(({ resource, message }) => `${resource}: ${message}`).join(' '),
        },
      ]);

const showEditors = (hosts: readonly HostEditors[], now: number): string =>
  hosts.length === 0
    ? 'Nobody edits a policy now.'
    : formatTable(
        hosts.flatMap(({ hostName, editors }) => editors.map((editor) => ({ hostName, ...editor }))),
        [
          { title: 'HOST', value: ({ hostName }) => hostName },
          { title: 'OPERATOR', value: ({ operator }) => operator },
          { title: 'DEVICE', value: ({ device }) => device },
          { title: 'SINCE', value: ({ since }) => formatAge(since, now) },
        ],
      );
