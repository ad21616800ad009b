/** nest access show | roles | operators | owners | bindings | clusters | clients | lock | unlock | check | push | merge | cosign | renew | epoch | key */
import type { Command } from 'commander';
import { missingBundleText } from '../bridge/access-missing.ts';
import type { AccessHostState, AccessView } from '../bridge/model.ts';
import { applyChange, deliver, exchangeBundles } from './access-delivery.ts';
import type { RunInFleet } from './access-delivery.ts';
import { addAccessLists } from './access-lists.ts';
import { askYes, findHost, readText, ReportedError, withFleet } from './command-context.ts';
import type { CommandContext, GlobalOptions, Invocation } from './command-context.ts';
import { clean, formatAge, formatTable, formatTime, oneOf, shortHash } from './output.ts';

export const addAccessCommands = (program: Command, invocation: Invocation): void => {
  const access = program
    .command('access')
    .description('who may do what: roles, people, clients, locks, and the signed bundle that hosts enforce');
  const run = (command: Command, work: (context: CommandContext) => Promise<void>): Promise<void> =>
    withFleet(invocation, command.optsWithGlobals<GlobalOptions>(), async (context) => {
      await exchangeBundles(context);
      await work(context);
    });
  access
    .command('show')
    .description('the bundle, its owners, forks, and where it stands on every host')
    .action((_options: unknown, command: Command) =>
      run(command, async (context) => {
        context.print(await context.handlers['access.get']({}, context.signal), (view) => showBundle(view, context.clock.now()));
      }),
    );
  addAccessLists(access, run);
  addLocks(access, run);
  addBundle(access, run);
};

const addLocks = (access: Command, run: RunInFleet): void => {
  access
    .command('lock <target>')
    .description('end every connection of "operator/<name>", "client/<name>" or "device/<key hash>" and let it in nowhere')
    .option('--reason <text>', 'shown to whoever asks', '')
    .action((target: string, _options: unknown, command: Command) => {
      const { reason } = command.opts<{ readonly reason: string }>();
      return run(command, (context) => applyChange(context, { kind: 'lock', target, reason }, `${clean(target)} is locked.`));
    });
  access
    .command('unlock <lock>')
    .description('take a lock away, by its id or its target')
    .action((id: string, _options: unknown, command: Command) =>
      run(command, (context) => applyChange(context, { kind: 'unlock', id }, `${clean(id)} is unlocked.`)),
    );
  access
    .command('check <subject> <scope>')
    .description('may "operator/<name>" or "client/<name>" do that? Exit code 1 when not')
    .option('--host <host>', 'on this host; without it only what holds everywhere counts')
    .option('--mapping <name>', 'for this mapping')
    .action((subject: string, scope: string, ...[, command]: [unknown, Command]) => {
      const { host, mapping } = command.opts<{ readonly host?: string; readonly mapping?: string }>();
      return run(command, async (context) => {
        const hostId = host === undefined ? {} : { hostId: (await findHost(context, host)).hostId };
        const named = mapping === undefined ? {} : { mapping };
        const answer = await context.handlers['access.check']({ subject, scope, ...hostId, ...named }, context.signal);
        context.print(answer, ({ allowed, reason }) => (allowed ? 'allowed' : `refused: ${reason ?? ''}`));
        if (!answer.allowed) throw new ReportedError();
      });
    });
};

const addBundle = (access: Command, run: RunInFleet): void => {
  access
    .command('push')
    .description('exchange bundles with every host that answers')
    .action((_options: unknown, command: Command) =>
      run(command, async (context) => {
        context.print((await context.handlers['access.push']({}, context.signal)).hosts, (hosts) => showHosts(hosts, context.clock.now()));
      }),
    );
  access
    .command('merge')
    .description('end a fork: one content for both sides, the locks of both')
    .requiredOption('--keep <side>', 'whose roles, people and bindings stay: "ours" or "theirs"')
    .action((_options: unknown, command: Command) => {
      const keep = oneOf('--keep', command.opts<{ readonly keep: string }>().keep, ['ours', 'theirs'] as const);
      return run(command, async (context) => {
        await context.handlers['access.push']({}, context.signal);
        const { view } = await context.handlers['access.merge']({ keep }, context.signal);
        await deliver(context, { proposal: view.proposal, done: 'Both sides are one again.' });
      });
    });
  access
    .command('cosign <file>')
    .description('add your signature as an owner to the proposal of another; "-" is standard input')
    .action((file: string, _options: unknown, command: Command) =>
      run(command, async (context) => {
        const proposal = (await readText(context, file)).trim();
        const { view } = await context.handlers['access.cosign']({ proposal }, context.signal);
        await deliver(context, { proposal: view.proposal, done: 'Signed, and in force.' });
      }),
    );
  access
    .command('renew')
    .description('sign the same bundle for another 30 days')
    .action((_options: unknown, command: Command) =>
      run(command, (context) => applyChange(context, { kind: 'renew' }, 'Signed for another 30 days.')),
    );
  access
    .command('begin')
    .description('make the first bundle of a fleet whose hosts have none')
    .action((_options: unknown, command: Command) =>
      run(command, (context) => applyChange(context, { kind: 'begin' }, 'The first bundle is made.')),
    );
  access
    .command('epoch')
    .description("after an owner's key has leaked: a new owner key, and a new epoch signed by the fleet root")
    .option('--yes', 'do not ask')
    .action((_options: unknown, command: Command) =>
      run(command, async (context) => {
        const question = 'All owner keys but a new one of this console stop to count. Begin a new epoch?';
        if (command.opts<{ readonly yes?: true }>().yes !== true && !(await askYes(context, question, '--yes'))) return;
        await applyChange(context, { kind: 'epoch' }, 'A new epoch has begun.');
      }),
    );
  access
    .command('key')
    .description("this console's own public owner key, for the owner who adds it; made the first time")
    .action((_options: unknown, command: Command) =>
      run(command, async (context) => {
        context.print(await context.handlers['access.key']({}, context.signal), ({ subject, keyId, publicKey }) =>
          [subject, `Key id      ${keyId}`, `Public key  ${publicKey}`].join('\n'),
        );
      }),
    );
};

const showHosts = (hosts: readonly AccessHostState[], now: number): string =>
  formatTable(hosts, [
    { title: 'HOST', value: ({ name }) => name },
    { title: 'BUNDLE', value: ({ state }) => state },
    { title: 'EPOCH', value: ({ epoch }) => epoch },
    { title: 'REVISION', value: ({ revision }) => revision },
    { title: 'ASKED', value: ({ checkedAt }) => formatAge(checkedAt, now) },
    { title: 'PROBLEM', value: ({ problem }) => problem },
  ]);

const showBundle = (view: AccessView, now: number): string => {
  const { head, self } = view;
  if (head === null) return missingBundleText(view.hosts);
  return [
    `Bundle       epoch ${String(head.epoch)}, revision ${String(head.revision)}, ${shortHash(head.hash) ?? ''}`,
    `Signed       ${formatTime(head.issuedAt)} by ${head.author}`,
    `Until        ${formatTime(head.notAfter)}${head.stale ? '  over: changes wait on every host' : ''}`,
    `Owners       ${view.owners.map(({ subject, keyId }) => `${subject} (${keyId.slice(0, 12)})`).join(', ')}; ${String(view.ownerThreshold)} must sign`,
    `You          ${self.subject}${self.isOwner ? ', an owner' : ''}`,
    `Locks        ${String(view.locks.length)}`,
    ...view.forks.map(
      ({ revision, kept, refused, refusedAuthor }) =>
        `FORK         revision ${String(revision)}: ${shortHash(kept) ?? ''} here, ${shortHash(refused) ?? ''} by ${refusedAuthor} refused`,
    ),
    ...(view.proposal === null ? [] : ['Proposal     waits for the signatures of other owners']),
    '',
    showHosts(view.hosts, now),
  ].join('\n');
};
