/** nest hosts enroll --from <inventory>: many hosts at once, a line of result each, and the same command again goes on where it ended. */
import type { Command } from 'commander';
import { open } from 'node:fs/promises';
import { NestError, toErrorShape } from '../../proto/model/error.ts';
import type { Enrollment } from '../bridge/model.ts';
import { createGate, isCancelled } from '../lib/api.ts';
import { readText, ReportedError, withFleet } from './command-context.ts';
import type { CommandContext, GlobalOptions, Invocation } from './command-context.ts';
import { inventoryHostsMax, readInventory } from './inventory-file.ts';
import type { InventoryHost } from './inventory-file.ts';
import { clean, formatTable } from './output.ts';
import { UsageError } from './usage-error.ts';

interface EnrollOptions extends GlobalOptions {
  readonly from: string;
  readonly tokens?: string;
  readonly parallel: string;
  readonly yes?: true;
}

type EnrollState = 'enrolled' | 'there' | 'failed' | 'cancelled';

interface EnrollResult {
  readonly name: string;
  readonly state: EnrollState;
  readonly hostId: string | null;
  readonly code: string | null;
  readonly message: string | null;
}

/** The console dials no more at once. */
const parallelMax = 64;

export const addEnrollCommand = (hosts: Command, invocation: Invocation): void => {
  hosts
    .command('enroll')
    .description('enrol the hosts of a CSV or JSON inventory; run it again to go on with those that are missing')
    .requiredOption('--from <file>', 'inventory: name, address, port, labels, cluster, host_name, fingerprint; "-" reads standard input')
    .option('--tokens <file>', 'also write each host and its join command to this file (only you may read it), to be taken to the hosts')
    .option('--parallel <number>', `hosts at once, at most ${String(parallelMax)}`, '32')
    .option('--yes', 'approve hosts without a fingerprint in the inventory, too (the token proves the host all the same)')
    .action((_options: unknown, command: Command) => {
      const options = command.optsWithGlobals<EnrollOptions>();
      return withFleet(invocation, options, (context) => enrollAll(context, options));
    });
};

const enrollAll = async (context: CommandContext, options: EnrollOptions): Promise<void> => {
  const parallel = Number(options.parallel);
  if (!Number.isInteger(parallel) || parallel < 1 || parallel > parallelMax)
    throw new UsageError(`--parallel is a number from 1 to ${String(parallelMax)}.`);
  const wanted = readInventory(await readText(context, options.from));
  const unproven = wanted.find(({ fingerprint }) => fingerprint === undefined);
  if (unproven !== undefined && options.yes !== true)
    throw new UsageError(`${unproven.name} has no fingerprint in the inventory: add it, or approve such hosts with --yes.`);
  await using tokens = await openTokens(options.tokens);
  const known = new Set((await context.handlers['hosts.list']({}, context.signal)).map(({ name }) => name));
  const gate = createGate({ inFlightMax: parallel, waitingMax: inventoryHostsMax });
  let done = 0;
  const results = await Promise.all(
    wanted.map(async (host) => {
      const result = known.has(host.name)
        ? resultOf(host, { state: 'there' })
        : await settle(host, () => gate.run(() => enrollOne(context, host, tokens), context.signal));
      done += 1;
      context.terminal.note(`${String(done)}/${String(wanted.length)} ${clean(host.name)}: ${result.message ?? result.state}`);
      return result;
    }),
  );
  context.print(results, showResults);
  if (results.some(({ state }) => state === 'failed' || state === 'cancelled')) throw new ReportedError('not all hosts are enrolled');
};

type Tokens = AsyncDisposable & { write(host: InventoryHost, joinCommand: string): Promise<void> };

/** Only its owner may read it: a token is worth a host for ten minutes. Raises STATE_FAILED. */
const openTokens = async (path: string | undefined): Promise<Tokens> => {
  if (path === undefined) return { write: () => Promise.resolve(), [Symbol.asyncDispose]: () => Promise.resolve() };
  try {
    const file = await open(path, 'w', 0o600);
    await file.chmod(0o600);
    return {
      write: ({ name, address }, joinCommand) => file.appendFile(`${name}\t${address}\t${joinCommand}\n`),
      [Symbol.asyncDispose]: () => file.close(),
    };
  } catch (error) {
    throw new NestError('STATE_FAILED', `${path} cannot be written. Choose a folder you may write to.`, { cause: error });
  }
};

/** Never raises: what goes wrong with one host is its result. */
const settle = async (host: InventoryHost, work: () => Promise<EnrollResult>): Promise<EnrollResult> => {
  try {
    return await work();
  } catch (error) {
    if (isCancelled(error)) return resultOf(host, { state: 'cancelled', message: 'cancelled; run the command again' });
    const { code, message } = toErrorShape(error);
    return resultOf(host, { state: 'failed', code, message });
  }
};

const enrollOne = async ({ handlers, signal, terminal }: CommandContext, host: InventoryHost, tokens: Tokens): Promise<EnrollResult> => {
  const { fingerprint, hostName, cluster, ...rest } = host;
  const bound = { ...rest, ...(hostName === undefined ? {} : { hostName }), ...(cluster === undefined ? {} : { cluster }) };
  const begun = await handlers['enrollment.begin'](bound, signal);
  const { enrollmentId } = begun;
  try {
    await tokens.write(host, begun.joinCommand ?? '');
    terminal.note(`on ${clean(host.name)}: ${begun.joinCommand ?? ''}`);
    const met = await answer(handlers['enrollment.watch']({ enrollmentId }, signal));
    if (met?.state !== 'fingerprint') throw failureOf(met);
    if (fingerprint !== undefined && met.fingerprint !== fingerprint)
      throw new NestError('IDENTITY_MISMATCH', 'The agent shows another key than the inventory has: nothing was signed.');
    const { state, hostId, problem } = await handlers['enrollment.approve']({ enrollmentId }, signal);
    if (state !== 'enrolled') throw failureOf({ problem });
    return resultOf(host, { state: 'enrolled', hostId });
  } catch (error) {
    // Its token must not stay open behind a command that has ended.
    await handlers['enrollment.cancel']({ enrollmentId }, signal).catch(() => undefined);
    throw error;
  }
};

const answer = async (states: AsyncIterable<Enrollment>): Promise<Enrollment | undefined> => {
  for await (const enrollment of states) if (enrollment.state !== 'waiting') return enrollment;
  return undefined;
};

const failureOf = (enrollment: Pick<Enrollment, 'problem'> | undefined): NestError => {
  const { code, message } = enrollment?.problem ?? { code: 'CANCELLED', message: 'The enrolment ended.' };
  return new NestError(code as NestError['code'], message);
};

const resultOf = ({ name }: InventoryHost, part: Partial<EnrollResult> & Pick<EnrollResult, 'state'>): EnrollResult => ({
  name,
  hostId: null,
  code: null,
  message: null,
  ...part,
});

const showResults = (results: readonly EnrollResult[]): string =>
  formatTable(results, [
    { title: 'NAME', value: ({ name }) => name },
    { title: 'RESULT', value: ({ state }) => state },
    { title: 'CODE', value: ({ code }) => code },
    { title: 'WHY', value: ({ message }) => message },
  ]);
