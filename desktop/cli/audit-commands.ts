/** nest audit ls | heads | accept | verify | export */
import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import type { Command } from 'commander';
import { NestError } from '../../proto/model/error.ts';
import type { InputOf } from '../bridge/contract.ts';
import type { AuditCheck, AuditHeadRow, AuditRow, AuditTimeline } from '../bridge/model.ts';
import { checkAuditExport } from '../core/api.ts';
import type { AuditExportVerdict } from '../core/api.ts';
import { askYes, chosenHosts, findHost, ReportedError, settledRows, withCore, withFleet } from './command-context.ts';
import type { CommandContext, GlobalOptions, Invocation } from './command-context.ts';
import { groupOption, whereOption } from './host-choice.ts';
import type { HostFilter } from './host-choice.ts';
import { clean, formatAge, formatTable, formatTime, numberOf, oneOf, shortHash } from './output.ts';
import { UsageError } from './usage-error.ts';

interface ListOptions extends GlobalOptions {
  readonly host?: readonly string[];
  readonly actor?: string;
  readonly action?: string;
  readonly text?: string;
  readonly outcome?: string;
  readonly since?: string;
  readonly until?: string;
  readonly limit: string;
}

interface HostsOptions extends GlobalOptions, HostFilter {
  readonly host?: readonly string[];
  readonly all?: true;
}

export const addAuditCommands = (program: Command, invocation: Invocation): void => {
  const audit = program.command('audit').description('who changed what, on every host; and whether the logs that say so are whole');
  addListCommand(audit, invocation);
  addHeadCommands(audit, invocation);
  addVerifyCommand(audit, invocation);
  audit
    .command('export <file>')
    .description('write the logs with their signatures as JSON lines; "nest audit verify <file>" checks them anywhere')
    .option('--host <name...>', 'hosts to export')
    .option('--all', 'all hosts')
    .option(...whereOption)
    .option(...groupOption)
    .action((path: string, _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<HostsOptions>();
      return withFleet(invocation, options, (context) => exportTo(context, path, options));
    });
};

const addListCommand = (audit: Command, invocation: Invocation): void => {
  audit
    .command('ls')
    .description('the newest entries of all hosts as one list')
    .option('--host <name...>', 'only these hosts')
    .option('--actor <text>', 'part of who did it: an operator, "agent", "local:0"')
    .option('--action <text>', 'part of what was done, for instance ApplyConfig')
    .option('--text <text>', 'found in any field')
    .option('--outcome <word>', 'done or refused')
    .option('--since <time>', 'how long ago (90m, 12h, 7d) or a time such as 2030-01-31T18:00:00Z')
    .option('--until <time>', 'the same, for the end')
    .option('--limit <number>', 'entries, at most 1000', '50')
    .action((_options: unknown, command: Command) => {
      const options = command.optsWithGlobals<ListOptions>();
      return withFleet(invocation, options, async (context) => {
        await settledRows(context);
        const timeline = await context.handlers['audit.list'](await filterOf(context, options), context.signal);
        context.print(timeline, showTimeline);
        for (const { hostName, problem } of timeline.hosts)
          if (problem !== null)
            context.terminal.note(`warning: ${clean(hostName)}: ${clean(problem.message)} Shown is what was kept of its log.`);
      });
    });
};

const addHeadCommands = (audit: Command, invocation: Invocation): void => {
  audit
    .command('heads')
    .description('the signed end of every log that this console remembers; exit code 1 when one was tampered with')
    .action((_options: unknown, command: Command) =>
      withFleet(invocation, command.optsWithGlobals<GlobalOptions>(), async (context) => {
        await settledRows(context);
        await settledHeads(context);
        const heads = await context.handlers['audit.heads']({}, context.signal);
        context.print(heads, (rows) => showHeads(rows, context.clock.now()));
        if (heads.some(({ state }) => state === 'alarm')) throw new ReportedError();
      }),
    );
  audit
    .command('accept <host>')
    .description('believe what the host says now, after an alarm was looked into; the alarm is kept as evidence')
    .option('--yes', 'do not ask')
    .action((name: string, _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<GlobalOptions & { readonly yes?: true }>();
      return withFleet(invocation, options, async (context) => {
        const { hostId } = await findHost(context, name);
        if (
          options.yes !== true &&
          !(await askYes(context, `Forget the remembered head of ${name} and believe the host from now on?`, '--yes'))
        )
          return;
        const row = await context.handlers['audit.accept']({ hostId }, context.signal);
        context.print(row, ({ hostName, number }) => `${clean(hostName)}: entry ${String(number ?? 0)} is believed from now on.`);
      });
    });
};

const addVerifyCommand = (audit: Command, invocation: Invocation): void => {
  audit
    .command('verify [file]')
    .description('walk every entry of the named hosts, or of an export; exit code 1 names the first that is missing or changed')
    .option('--host <name...>', 'hosts to verify')
    .option('--all', 'all hosts')
    .option(...whereOption)
    .option(...groupOption)
    .option(
      '--root-sha256 <hex>',
      'with a file: the root of the fleet (its certificate or its key) must be this one; two, parted by a comma, when it was being changed',
    )
    .action((path: string | undefined, _options: unknown, command: Command) => {
      const options = command.optsWithGlobals<HostsOptions & { readonly rootSha256?: string }>();
      if (path !== undefined) return withCore(invocation, options, (context) => verifyFile(context, path, options.rootSha256));
      return withFleet(invocation, options, async (context) => {
        const hostIds = await chosenHosts(context, options);
        await settledRows(context);
        const checks: AuditCheck[] = [];
        for (const hostId of hostIds) checks.push(await context.handlers['audit.verify']({ hostId }, context.signal));
        context.print(checks, showChecks);
        if (checks.some(({ problem }) => problem !== null)) throw new ReportedError();
      });
    });
};

const headsWaitMs = 4_000;
const headsPollMs = 100;
/** Names told in a line; of the others only the number. */
const namesShown = 8;

/** Waits a moment until hosts that answer have shown their heads to this very command; says which have not. */
const settledHeads = async ({ handlers, clock, signal, startedAt, terminal }: CommandContext): Promise<void> => {
  const deadline = clock.monotonicMs() + headsWaitMs;
  const rows = await handlers['hosts.list']({}, signal);
  const answering = new Set(rows.flatMap(({ hostId, state }) => (state === 'healthy' || state === 'degraded' ? [hostId] : [])));
  // An alarm stays as it is, whatever the host says now, until it is accepted.
  const isOld = ({ hostId, checkedAt, state, problem }: AuditHeadRow): boolean =>
    answering.has(hostId) && state !== 'alarm' && problem === null && (checkedAt ?? 0) < startedAt;
  for (;;) {
    const old = (await handlers['audit.heads']({}, signal)).filter(isOld);
    if (old.length === 0) return;
    if (clock.monotonicMs() >= deadline) {
      const more = old.length > namesShown ? ` and ${String(old.length - namesShown)} more` : '';
      const names = old.slice(0, namesShown).map(({ hostName }) => clean(hostName));
      terminal.note(`warning: not checked in time: ${names.join(', ')}${more}. Of those is shown what was remembered.`);
      return;
    }
    await clock.sleep(headsPollMs, signal);
  }
};

const filterOf = async (context: CommandContext, options: ListOptions): Promise<InputOf<'audit.list'>> => {
  const { host = [], actor, action, text, outcome, since, until, limit } = options;
  const now = context.clock.now();
  const names = host.flatMap((part) => part.split(',')).filter((name) => name !== '');
  return {
    ...(names.length === 0 ? {} : { hostIds: await Promise.all(names.map(async (name) => (await findHost(context, name)).hostId)) }),
    ...(actor === undefined ? {} : { actor }),
    ...(action === undefined ? {} : { action }),
    ...(text === undefined ? {} : { contains: text }),
    ...(outcome === undefined ? {} : { outcome: oneOf('--outcome', outcome, ['done', 'refused'] as const) }),
    ...(since === undefined ? {} : { since: momentOf('--since', since, now) }),
    ...(until === undefined ? {} : { until: momentOf('--until', until, now) }),
    limit: numberOf('--limit', limit, { min: 1, max: 1000 }),
  };
};

const unitMs = { m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** "90m" ago, or a time. Raises UsageError. */
const momentOf = (option: string, text: string, now: number): number => {
  const ago = /^(\d{1,6})([mhd])$/.exec(text);
  if (ago !== null) return now - Number(ago[1]) * unitMs[ago[2] as keyof typeof unitMs];
  const at = Date.parse(text);
  if (!Number.isNaN(at)) return at;
  throw new UsageError(`${option} is how long ago, such as 90m, 12h or 7d, or a time such as 2030-01-31T18:00:00Z.`);
};

const exportTo = async (context: CommandContext, path: string, options: HostsOptions): Promise<void> => {
  const { handlers, signal } = context;
  const hostIds = [...(await chosenHosts(context, options))];
  await settledRows(context);
  const { text } = await handlers['audit.exportHeader']({ hostIds }, signal);
  const file = await openNew(path);
  let entries = 0;
  try {
    await file.appendFile(text);
    for (const hostId of hostIds)
      for (let after: number | null = 0; after !== null;) {
        const piece: { readonly text: string; readonly next: number | null } = await handlers['audit.export']({ hostId, after }, signal);
        entries += piece.text.split('\n').filter((line) => line.startsWith('{"type":"entry"')).length;
        await file.appendFile(piece.text);
        after = piece.next;
      }
    await file.sync();
  } finally {
    await file.close();
  }
  context.print(
    { file: path, hosts: hostIds.length, entries },
    (done) => `${String(done.entries)} entries of ${String(done.hosts)} hosts are in ${path}.`,
  );
};

/** Never writes over a file: an export is evidence. */
const openNew = async (path: string): Promise<Awaited<ReturnType<typeof open>>> => {
  try {
    return await open(path, 'wx', 0o600);
  } catch (error) {
    throw new NestError('INPUT_INVALID', `The file ${path} cannot be made, or is there already. Choose another name.`, { cause: error });
  }
};

const verifyFile = async (context: CommandContext, path: string, rootSha256: string | undefined): Promise<void> => {
  const verdict = await checkAuditExport(linesOf(path));
  const wanted = rootSha256?.replaceAll(/[\s:]/g, '').toLowerCase().split(',');
  // Each root of the file must be named: one that is not could be anybody's, and heads under it would count.
  const isNamed = (root: string, at: number): boolean =>
    wanted === undefined || wanted.includes(root) || wanted.includes(verdict.rootKeySha256[at] ?? root);
  const isOtherRoot = !verdict.rootSha256.every(isNamed);
  context.print({ ...verdict, isSound: verdict.isSound && !isOtherRoot }, showVerdict);
  if (isOtherRoot)
    throw new NestError(
      'FLEET_MISMATCH',
      `The export is of a fleet with the root ${verdict.rootSha256.join(', ')}, not of the one you named.`,
    );
  if (!verdict.isSound) throw new ReportedError();
};

async function* linesOf(path: string): AsyncGenerator<string> {
  try {
    yield* createInterface({ input: createReadStream(path, 'utf8'), crlfDelay: Infinity });
  } catch (error) {
    throw new NestError('INPUT_INVALID', `The file ${path} cannot be read. Check the path and its rights.`, { cause: error });
  }
}

/** The last part of a subject or path: what tells it from others. */
const lastPart = (text: string): string =>
  text
    .split('/')
    .slice(-2)
    .join('/')
    .replace(/^nest\.v1\./, '');
const revisions = ({ revisionBefore, revisionAfter }: AuditRow): string | null => {
  if (revisionBefore === null && revisionAfter === null) return null;
  return revisionAfter === null || revisionBefore === revisionAfter
    ? String(revisionBefore ?? revisionAfter)
    : `${String(revisionBefore ?? '?')} > ${String(revisionAfter)}`;
};

const showTimeline = ({ rows }: AuditTimeline): string =>
  formatTable(rows, [
    { title: 'TIME', value: ({ at }) => formatTime(at) },
    { title: 'HOST', value: ({ hostName }) => hostName },
    { title: 'NO', value: ({ number }) => number },
    { title: 'ACTOR', value: ({ actor }) => (actor === '' ? '(stranger)' : lastPart(actor)) },
    { title: 'FROM', value: ({ source }) => source },
    { title: 'ACTION', value: ({ action }) => lastPart(action) },
    { title: 'TARGET', value: ({ target, detail }) => [target, detail].filter((part) => part !== '').join('; ') },
    { title: 'REV', value: revisions },
    { title: 'RESULT', value: ({ result, count }) => (count === 1 ? result : `${result} x ${String(count)}`) },
  ]);

const showHeads = (rows: readonly AuditHeadRow[], now: number): string =>
  [
    formatTable(rows, [
      { title: 'HOST', value: ({ hostName }) => hostName },
      { title: 'STATE', value: ({ state }) => state },
      { title: 'ENTRIES', value: ({ firstNumber, number }) => (number === null ? null : `${String(firstNumber ?? 1)}-${String(number)}`) },
      { title: 'HASH', value: ({ hash }) => shortHash(hash) },
      { title: 'SIGNED', value: ({ signedAt }) => formatTime(signedAt) },
      { title: 'CHECKED', value: ({ checkedAt }) => formatAge(checkedAt, now) },
    ]),
    ...rows.flatMap(({ hostName, alarm, gap, problem }) => [
      ...(alarm === null ? [] : [`ALARM ${clean(hostName)}: ${clean(alarm.message)}`]),
      ...(gap === null
        ? []
        : [`${clean(hostName)}: entries ${String(gap.first)} to ${String(gap.last)} were retired before this console saw them.`]),
      ...(problem === null ? [] : [`${clean(hostName)} could not be checked: ${clean(problem)}`]),
    ]),
  ].join('\n');

interface Checked {
  readonly hostName: string;
  readonly first: number;
  readonly last: number;
  readonly problem: AuditCheck['problem'];
}

const showChecks = (checks: readonly Checked[]): string =>
  checks
    .map(({ hostName, first, last, problem }) =>
      problem === null
        ? `${clean(hostName)}: entries ${String(first)} to ${String(last)} are whole and signed for.`
        : `BROKEN ${clean(hostName)} at entry ${String(problem.number)}: ${clean(problem.message)}`,
    )
    .join('\n');

const showVerdict = (verdict: AuditExportVerdict): string =>
  [
    `Fleet ${clean(verdict.fleetId)}, exported ${clean(verdict.createdAt)}`,
    ...verdict.rootSha256.map(
      (root, at) => `Root SHA-256 ${root}, of its key ${verdict.rootKeySha256[at] ?? '-'} (compare one with the root that you trust)`,
    ),
    showChecks(verdict.hosts),
  ].join('\n');
