/** nest snapshot create | info | verify | hosts | show | compare | trace | keygen | recipients ls, add, rm */
import type { Command } from 'commander';
import { snapshotProfiles } from '../../proto/model/snapshot-profile.ts';
import type { SnapshotFile } from '../bridge/snapshot-model.ts';
import { askYes, chosenHosts, ReportedError, settledRows, withCore, withFleet } from './command-context.ts';
import type { CommandContext, GlobalOptions, Invocation } from './command-context.ts';
import { writeNewFile } from './new-file.ts';
import { packetOf, showTrace } from './observe-commands.ts';
import type { TraceOptions } from './observe-commands.ts';
import { clean, formatTable, numberOf, oneOf } from './output.ts';
import {
  findSnapshotHost,
  holdSnapshot,
  newIdentityPassphrase,
  newSnapshotPassphrase,
  openSnapshot,
  saveSnapshot,
} from './snapshot-opening.ts';
import type { OpenOptions } from './snapshot-opening.ts';
import { showComparison, showCreated, showDiff, showHostDetail, showHosts, showInfo } from './snapshot-view.ts';
import { UsageError } from './usage-error.ts';

interface CreateOptions extends GlobalOptions {
  readonly profile: string;
  readonly to?: readonly string[];
  readonly snapshotPassphraseFile?: string;
  readonly host?: readonly string[];
  readonly flows?: string;
  readonly fresh?: true;
}

export const addSnapshotCommands = (program: Command, invocation: Invocation): void => {
  const snapshot = program
    .command('snapshot')
    .description('the fleet in a file: signed, encrypted, to be looked into, compared and traced in where no host can be reached');
  addCreateCommand(snapshot, invocation);
  addCheckCommands(snapshot, invocation);
  addLookCommands(snapshot, invocation);
  addCompareCommand(snapshot, invocation);
  addTraceCommand(snapshot, invocation);
  addKeyCommands(snapshot, invocation);
};

const addCreateCommand = (snapshot: Command, invocation: Invocation): void => {
  snapshot
    .command('create <file>')
    .description('write the fleet, as this console knows it, to a file')
    .option('--profile <name>', 'inventory, config, diagnostic, or full (owners only, nothing masked)', 'config')
    .option('--to <recipient...>', 'who can open it with a key: names of "nest snapshot recipients", or nestrcpt1.... texts')
    .option('--snapshot-passphrase-file <file>', 'file with a passphrase that opens it, too; asked for when there is no --to')
    .option('--host <name...>', 'only these hosts')
    .option('--flows <number>', 'flows of each host, at most 500')
    .option('--fresh', 'ask every host that answers first')
    .action((path: string, _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<CreateOptions>();
      return withFleet(invocation, options, (context) => create(context, path, options));
    });
};

const create = async (context: CommandContext, path: string, options: CreateOptions): Promise<void> => {
  const { handlers, signal } = context;
  const profile = oneOf('--profile', options.profile, snapshotProfiles);
  const flows = options.flows === undefined ? {} : { flows: numberOf('--flows', options.flows, { min: 0, max: 500 }) };
  const recipients = options.to ?? [];
  const isOpenedByWords = recipients.length === 0 || options.snapshotPassphraseFile !== undefined;
  const passphrase = isOpenedByWords ? { passphrase: await newSnapshotPassphrase(context, options) } : {};
  await settledRows(context);
  const hosts = options.host === undefined ? {} : { hostIds: [...(await chosenHosts(context, { host: options.host }))] };
  const fresh = options.fresh === true ? { fresh: true } : {};
  const made = await handlers['snapshot.create'](
    { profile, recipients: [...recipients], ...passphrase, ...hosts, ...flows, ...fresh },
    signal,
  );
  await saveSnapshot(context, made.snapshotId, path);
  context.print({ ...made, file: path }, (file) => showCreated(file, path));
};

const addCheckCommands = (snapshot: Command, invocation: Invocation): void => {
  const check = (name: string, description: string, finish: (context: CommandContext, file: SnapshotFile) => void): void => {
    withTrust(snapshot.command(`${name} <file>`))
      .description(description)
      .action((path: string, _options: unknown, command: Command) => {
        const options = command.optsWithGlobals<OpenOptions>();
        return withCore(invocation, options, async (context) => finish(context, await holdSnapshot(context, path, options)));
      });
  };
  check('info', 'whose it is, how old, and who can open it; needs no key', (context, file) =>
    context.print(file, (shown) => showInfo(shown, context.clock.now())),
  );
  check('verify', 'check the signature and every byte; needs no key. Exit code 1 for a foreign or changed file', (context, file) => {
    context.print(file, (shown) => `${showInfo(shown, context.clock.now())}\nEvery byte is as its author signed it.`);
    if (file.info?.trust !== 'foreign') return;
    context.terminal.note(
      `error SNAPSHOT_FOREIGN: this console does not know the root. Compare its SHA-256 with what the author tells you, then say --root-sha256 ${file.info.rootSha256}`,
    );
    throw new ReportedError();
  });
};

/** Options of every command that looks at a file. */
const withTrust = (command: Command): Command =>
  command.option(
    '--root-sha256 <hex>',
    'SHA-256 of the root of its fleet (of the certificate or of its key), as its author tells it; not needed for files of this fleet',
  );

/** Options of every command that looks into a file. */
const withSecret = (command: Command): Command =>
  withTrust(command)
    .option('--snapshot-passphrase-file <file>', 'file with the passphrase of the snapshot')
    .option('--identity <file>', 'key file of "nest snapshot keygen"')
    .option('--identity-passphrase-file <file>', 'file with the passphrase of the key file')
    .option('--accept-author', 'open it although its author is locked or may not make snapshots any more');

const addLookCommands = (snapshot: Command, invocation: Invocation): void => {
  withSecret(snapshot.command('hosts <file>'))
    .description('the hosts in it')
    .option('--where <text>', 'only hosts that fit')
    .option('--limit <number>', 'hosts shown, at most 10000', '1000')
    .action((path: string, _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<OpenOptions & { readonly where?: string; readonly limit: string }>();
      return withCore(invocation, options, async (context) => {
        const { snapshotId } = await openSnapshot(context, path, options);
        const limit = numberOf('--limit', options.limit, { min: 1, max: 10_000 });
        const where = options.where === undefined ? {} : { where: options.where };
        const found = await context.handlers['snapshot.hosts']({ snapshotId, limit, ...where }, context.signal);
        context.print(found, showHosts);
      });
    });
  withSecret(snapshot.command('show <file> <host>'))
    .description('one host: its facts and health')
    .option('--policy', 'the policy it had, as JSON')
    .option('--flows', 'the flows it had seen')
    .action((path: string, name: string, ...[, command]: [unknown, Command]) => {
      const options = command.optsWithGlobals<OpenOptions & { readonly policy?: true; readonly flows?: true }>();
      return withCore(invocation, options, async (context) => {
        const { snapshotId } = await openSnapshot(context, path, options);
        const { hostId } = await findSnapshotHost(context, snapshotId, name);
        await show(context, { snapshotId, hostId }, options);
      });
    });
};

const show = async (
  context: CommandContext,
  host: { readonly snapshotId: string; readonly hostId: string },
  options: { readonly policy?: true; readonly flows?: true },
): Promise<void> => {
  const { handlers, signal } = context;
  if (options.policy === true) {
    context.print(await handlers['snapshot.policy'](host, signal), ({ policy }) => policy);
    return;
  }
  if (options.flows === true) {
    context.print(await handlers['snapshot.flows']({ ...host, limit: 1_000 }, signal), ({ flows }) =>
      formatTable(flows, [
        { title: 'STATE', value: ({ state }) => state },
        { title: 'PROTOCOL', value: ({ protocol }) => protocol },
        { title: 'FROM', value: ({ source, sourcePort }) => `${source} ${String(sourcePort)}` },
        { title: 'TO', value: ({ destination, destinationPort }) => `${destination} ${String(destinationPort)}` },
        { title: 'MAPPING', value: ({ mapping }) => mapping },
        { title: 'REASON', value: ({ reason }) => reason },
        { title: 'PACKETS', value: ({ packets }) => packets },
        { title: 'BYTES', value: ({ bytes }) => bytes },
      ]),
    );
    return;
  }
  context.print(await handlers['snapshot.host'](host, signal), (detail) => showHostDetail(detail, context.clock.now()));
};

const addCompareCommand = (snapshot: Command, invocation: Invocation): void => {
  withSecret(snapshot.command('compare <file> [later]'))
    .description(
      'what changed from one snapshot to a later one, or to the fleet as this console knows it now. Exit code 1 when anything did',
    )
    .option('--host <name>', 'the difference of the policies of one host, line by line')
    .action((path: string, later: string | undefined, ...[, command]: [unknown, Command]) => {
      const options = command.optsWithGlobals<OpenOptions & { readonly host?: string }>();
      return withCore(invocation, options, async (context) => {
        const { handlers, signal } = context;
        const before = (await openSnapshot(context, path, options)).snapshotId;
        const after = later === undefined ? 'live' : (await openSnapshot(context, later, options)).snapshotId;
        const comparison = await handlers['snapshot.compare']({ before, after }, signal);
        if (options.host === undefined) context.print(comparison, showComparison);
        else {
          const { hostId } = await findSnapshotHost(context, before, options.host);
          context.print(await handlers['snapshot.compare.policy']({ before, after, hostId }, signal), showDiff);
        }
        if (comparison.added + comparison.removed + comparison.changed > 0) throw new ReportedError();
      });
    });
};

const addTraceCommand = (snapshot: Command, invocation: Invocation): void => {
  withSecret(snapshot.command('trace <file> <host>'))
    .description('what would have happened to a packet on the host, by the tables in the file')
    .requiredOption('--interface <name>', 'where the packet comes in')
    .option('--hex <bytes>', 'the packet itself, from the Ethernet header on')
    .option('--protocol <name>', 'tcp, udp or icmp', 'tcp')
    .option('--source <address>')
    .option('--destination <address>')
    .option('--source-port <number>')
    .option('--port <number>', 'destination port')
    .option('--flags <name>', 'syn, syn-ack, ack, fin or rst')
    .option('--vlan <number>')
    .action((path: string, name: string, ...[, command]: [unknown, Command]) => {
      const options = command.optsWithGlobals<OpenOptions & TraceOptions>();
      return withCore(invocation, options, async (context) => {
        const packet = packetOf(options);
        const { snapshotId } = await openSnapshot(context, path, options);
        const { hostId } = await findSnapshotHost(context, snapshotId, name);
        const trace = await context.handlers['snapshot.trace'](
          { snapshotId, hostId, interface: options.interface, packet },
          context.signal,
        );
        context.print(trace, showTrace);
      });
    });
};

const addKeyCommands = (snapshot: Command, invocation: Invocation): void => {
  snapshot
    .command('keygen <file>')
    .description(
      'make a key for somebody who opens snapshots: the file stays with them, the nestrcpt1.... text goes to whoever makes snapshots',
    )
    .option('--identity-passphrase-file <file>', 'file with the passphrase of the key file')
    .action((path: string, _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<OpenOptions>();
      return withCore(invocation, options, async (context) => {
        const passphrase = await newIdentityPassphrase(context, options);
        const { recipient, file } = await context.handlers['snapshot.keygen']({ name: 'key', passphrase }, context.signal);
        await writeNewFile(path, file);
        context.print({ recipient, file: path }, () => `${recipient}\nThe key is in ${path}: keep it, and hand on only the line above.`);
      });
    });
  const recipients = snapshot.command('recipients').description('the people snapshots are made for, by name');
  const book = (command: Command, work: (context: CommandContext, args: readonly string[]) => Promise<void>): void => {
    command.action((...args: unknown[]) => {
      const given = args.filter((one): one is string => typeof one === 'string');
      return withCore(invocation, command.optsWithGlobals<GlobalOptions>(), (context) => work(context, given));
    });
  };
  const show = (context: CommandContext, rows: readonly { readonly name: string; readonly recipient: string }[]): void =>
    context.print(rows, (list) =>
      formatTable(list, [
        { title: 'NAME', value: ({ name }) => name },
        { title: 'RECIPIENT', value: ({ recipient }) => recipient },
      ]),
    );
  book(recipients.command('ls').description('everybody in the book'), async (context) =>
    show(context, await context.handlers['snapshot.recipients']({}, context.signal)),
  );
  book(
    recipients.command('add <name> <recipient>').description('put somebody into the book, or another key under the name'),
    async (context, [name = '', recipient = '']) =>
      show(context, await context.handlers['snapshot.recipient.put']({ name, recipient }, context.signal)),
  );
  book(
    recipients.command('rm <name>').description('take somebody out; files made before stay readable for them'),
    async (context, [name = '']) => {
      if (context.terminal.isInteractive && !(await askYes(context, `Remove ${clean(name)} from the book?`, 'yes')))
        throw new UsageError('Nothing was removed.');
      show(context, await context.handlers['snapshot.recipient.remove']({ name }, context.signal));
    },
  );
};
