/** nest hosts ls | label | add | enroll | show | rm */
import type { Command } from 'commander';
import { NestError } from '../../proto/model/error.ts';
import { agentPortDefault } from '../../proto/model/limits.ts';
import type { Enrollment, HostDetail, HostRow } from '../bridge/model.ts';
import { spkiFingerprint } from '../core/api.ts';
import { askYes, findHost, matchingHosts, settledRows, withFleet } from './command-context.ts';
import type { CommandContext, GlobalOptions, Invocation } from './command-context.ts';
import { addEnrollCommand } from './enroll-command.ts';
import { groupOption, hostGrammarHelp, whereOption } from './host-choice.ts';
import type { HostFilter } from './host-choice.ts';
import { addLabelCommand } from './label-command.ts';
import { clean, formatAge, formatTable, formatTime, roundRate, shortHash } from './output.ts';
import { UsageError } from './usage-error.ts';

interface AddOptions extends GlobalOptions {
  readonly port: string;
  readonly label?: readonly string[];
  readonly hostName?: string;
  readonly cluster?: string;
  readonly yes?: true;
  readonly fingerprint?: string;
}

export const addHostCommands = (program: Command, invocation: Invocation): void => {
  const hosts = program.command('hosts').description('the hosts of the fleet');
  hosts
    .command('ls')
    .description('all hosts with their state, or those that fit')
    .option(...whereOption)
    .option(...groupOption)
    .addHelpText('after', hostGrammarHelp)
    .action((_options: unknown, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions & HostFilter>();
      return withFleet(invocation, options, async (context) => {
        const isFiltered = options.where !== undefined || options.group !== undefined;
        const rows = isFiltered ? await matchingHosts(context, options) : await settledRows(context);
        context.print(rows, () => (isFiltered && rows.length === 0 ? 'No host fits.' : showRows(rows, context.clock.now())));
      });
    });
  addLabelCommand(hosts, invocation);
  hosts
    .command('add <name> <address>')
    .description('make a join token, wait for the agent, compare fingerprints, sign its certificate')
    .option('--port <number>', 'port of the agent', String(agentPortDefault))
    .option('--label <label...>', 'labels of the host')
    .option('--host-name <name>', 'the token is good for a host that calls itself so, and for no other')
    .option('--cluster <name>', 'the cluster the host belongs to')
    .option('--yes', 'approve whatever fingerprint the agent shows (the token proves the host all the same)')
    .option('--fingerprint <hex>', 'approve only this fingerprint, as the agent prints it')
    .action((...[name, address, , command]: [string, string, unknown, Command]) => {
      const options = command.optsWithGlobals<AddOptions>();
      return withFleet(invocation, options, (context) => addHost(context, { name, address, options }));
    });
  addEnrollCommand(hosts, invocation);
  hosts
    .command('show <host>')
    .description('everything about one host')
    .action((name: string, _options: unknown, command: Command) =>
      withFleet(invocation, command.optsWithGlobals<GlobalOptions>(), async (context) => {
        await settledRows(context);
        const { hostId } = await findHost(context, name);
        context.print(await context.handlers['host.get']({ hostId }, context.signal), (detail) => showDetail(detail, context.clock.now()));
      }),
    );
  hosts
    .command('rm <host>')
    .description('forget a host here; its agent keeps enforcing')
    .option('--yes', 'do not ask')
    .action((name: string, _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions & { readonly yes?: true }>();
      return withFleet(invocation, options, async (context) => {
        const row = await findHost(context, name);
        if (options.yes !== true && !(await askYes(context, `Forget ${row.name}? Its agent keeps enforcing its policy.`, '--yes'))) return;
        await context.handlers['hosts.remove']({ hostId: row.hostId }, context.signal);
        context.print(
          { removed: row.hostId },
          () => `${row.name} is forgotten. Its agent keeps enforcing; a new token lets it join again.`,
        );
      });
    });
};

const addHost = async (
  context: CommandContext,
  { name, address, options }: { readonly name: string; readonly address: string; readonly options: AddOptions },
): Promise<void> => {
  const { handlers, terminal, signal, isJson } = context;
  const port = Number(options.port);
  if (!Number.isInteger(port) || port < 1 || port > 65_535) throw new UsageError('--port is a number from 1 to 65535.');
  const wanted = options.fingerprint?.replaceAll(/[\s:]/g, '').toLowerCase();
  if (wanted !== undefined && !/^[0-9a-f]{64}$/.test(wanted))
    throw new UsageError('--fingerprint is 64 hex digits, as the agent prints them.');
  if (wanted === undefined && options.yes !== true && !terminal.isInteractive)
    throw new UsageError('Nobody can compare fingerprints here: give --fingerprint <hex>, or --yes.');
  const begun = await handlers['enrollment.begin'](
    {
      name,
      address,
      port,
      labels: [...(options.label ?? [])],
      ...(options.hostName === undefined ? {} : { hostName: options.hostName }),
      ...(options.cluster === undefined ? {} : { cluster: options.cluster }),
    },
    signal,
  );
  const { enrollmentId } = begun;
  if (isJson) terminal.out(JSON.stringify(begun));
  else
    terminal.out(
      `On the host, within ${String(Math.round((begun.expiresAt - context.clock.now()) / 60_000))} minutes:\n\n  ${begun.joinCommand ?? ''}\n\nWaiting for the agent at ${address} port ${String(port)} ...`,
    );
  let met: Enrollment | undefined;
  for await (const enrollment of handlers['enrollment.watch']({ enrollmentId }, signal)) {
    met = enrollment;
    if (enrollment.state !== 'waiting') break;
  }
  if (met?.fingerprint === null || met?.fingerprint === undefined || met.state !== 'fingerprint') throw failureOf(met);
  if (isJson) terminal.out(JSON.stringify(met));
  else
    terminal.out(
      `${clean(met.facts?.hostName ?? name)} (${clean(met.facts?.operatingSystem ?? '')}, kernel ${clean(met.facts?.kernel ?? '')}) shows the key\n\n  ${spkiFingerprint(met.fingerprint)}\n`,
    );
  const isSame =
    wanted === undefined
      ? options.yes === true || (await askYes(context, 'Does the agent print the same?', '--yes'))
      : wanted === met.fingerprint;
  if (!isSame) {
    await handlers['enrollment.cancel']({ enrollmentId }, signal);
    throw new NestError(
      'IDENTITY_MISMATCH',
      'The fingerprints differ: nothing was signed. Check which host answers at this address, then begin again.',
      { details: { presented: met.fingerprint } },
    );
  }
  const done = await handlers['enrollment.approve']({ enrollmentId }, signal);
  if (done.state !== 'enrolled') throw failureOf(done);
  await settledRows(context, ({ state }) => state !== 'connecting' && state !== 'offline');
  context.print(done, ({ hostId }) => `${name} has joined the fleet as ${hostId ?? ''}.`);
};

const failureOf = (enrollment: Enrollment | undefined): NestError => {
  const { code, message } = enrollment?.problem ?? { code: 'ENROLLMENT_CLOSED', message: 'The enrolment ended. Begin again.' };
  return new NestError(code as NestError['code'], message);
};

const showRows = (rows: readonly HostRow[], now: number): string =>
  rows.length === 0
    ? 'No hosts yet. Add one with "nest hosts add <name> <address>".'
    : [
        formatTable(rows, [
          { title: 'NAME', value: (row) => row.name },
          { title: 'STATE', value: (row) => row.state },
          { title: 'ADDRESS', value: (row) => row.address },
          { title: 'LABELS', value: (row) => row.labels.join(' ') },
          { title: 'ENGINE', value: (row) => row.engine },
          { title: 'PKT/S', value: (row) => roundRate(row.packetsPerSecond) },
          { title: 'DROP/S', value: (row) => roundRate(row.dropsPerSecond) },
          { title: 'FLOWS', value: (row) => row.flows },
          { title: 'REV', value: (row) => row.revision },
          { title: 'GENERATION', value: (row) => shortHash(row.generation) },
          { title: 'SEEN', value: (row) => formatAge(row.seenAt, now) },
        ]),
        ...rows.flatMap(({ name, stateReason }) => (stateReason === null ? [] : [`${name}: ${clean(stateReason)}`])),
      ].join('\n');

const showDetail = ({ row, facts, engines, certificate, sample }: HostDetail, now: number): string =>
  [
    `Host         ${row.name} (${row.hostId})`,
    `Address      ${row.address}`,
    `Labels       ${clean(row.labels.join(' ')) || '-'}${row.cluster === null ? '' : `, cluster ${clean(row.cluster)}`}`,
    `State        ${row.state}${row.stateReason === null ? '' : `: ${clean(row.stateReason)}`}`,
    `Seen         ${formatAge(row.seenAt, now)}`,
    `System       ${facts === null ? '-' : clean(`${facts.operatingSystem}, kernel ${facts.kernel}, ${facts.architecture}, ${String(facts.cpuCount)} CPUs`)}`,
    `Agent        ${row.agentVersion ?? '-'}, engine ${row.engine ?? '-'}`,
    `Key          ${certificate === null ? '-' : spkiFingerprint(certificate.fingerprint)}, certificate until ${formatTime(certificate?.endsAt ?? null)}`,
    `Policy       revision ${String(row.revision ?? '-')}, generation ${shortHash(row.generation) ?? '-'}${row.pendingUntil === null ? '' : `, waits for keep or undo until ${formatTime(row.pendingUntil)}`}`,
    ...engines.map(
      ({ engine, available, reason }) => `Engine       ${engine}: ${available ? 'available' : 'not available'}, ${clean(reason)}`,
    ),
    ...(sample?.warnings ?? []).map(({ title, message }) => `Warning      ${clean(title)}: ${clean(message)}`),
    ...(sample === null || sample.interfaces.length === 0
      ? []
      : [
          '',
          formatTable(sample.interfaces, [
            { title: 'INTERFACE', value: ({ name }) => name },
            { title: 'UP', value: ({ up }) => (up ? 'yes' : 'no') },
            { title: 'XDP', value: ({ xdpMode }) => xdpMode },
            { title: 'RECEIVED', value: ({ received }) => received.packets },
            { title: 'SENT', value: ({ sent }) => sent.packets },
            { title: 'ADDRESSES', value: ({ addresses }) => addresses.join(' ') },
          ]),
        ]),
  ].join('\n');
