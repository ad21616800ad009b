/** What every command works with: options, the person, and an unlocked core that is closed whatever happens. */
import { readFile } from 'node:fs/promises';
import { NestError } from '../../proto/model/error.ts';
import { withCheckedInput } from '../bridge/checked-input.ts';
import type { BridgeHandlers } from '../bridge/contract.ts';
import { bothHold, parseHostQuery } from '../bridge/host-grammar.ts';
import type { HostQuery } from '../bridge/host-grammar.ts';
import { hostScope, hostsMatching, unknownLabelKeys } from '../bridge/host-query.ts';
import type { HostRow } from '../bridge/model.ts';
import { createConsoleCore, openSystemPorts } from '../core/api.ts';
import type { ConsolePorts } from '../core/api.ts';
import { systemClock } from '../lib/api.ts';
import type { Clock } from '../lib/api.ts';
import type { HostFilter } from './host-choice.ts';
import { clean } from './output.ts';
import { readSecret } from './secret.ts';
import { withStepUp } from './step-up-prompt.ts';
import type { Terminal } from './terminal.ts';
import { UsageError } from './usage-error.ts';

export interface GlobalOptions {
  readonly data: string;
  readonly json?: true;
  readonly passphraseFile?: string;
  readonly withoutSignIn?: string;
  readonly codeFile?: string;
}

export interface Invocation {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly terminal: Terminal;
  readonly version: string;
  readonly signal: AbortSignal;
  /** Tests bring their own vaults. */
  readonly openPorts?: (dataDirectory: string) => ConsolePorts;
}

export interface CommandContext {
  readonly handlers: BridgeHandlers;
  readonly terminal: Terminal;
  readonly clock: Clock;
  /** When the command began, before anything was opened; milliseconds since 1970. */
  readonly startedAt: number;
  readonly signal: AbortSignal;
  readonly isJson: boolean;
  readonly options: GlobalOptions;
  readonly environment: Invocation['environment'];
  /** Prints the JSON, or what `show` makes of it for people. */
  print<Value>(value: Value, show: (value: Value) => string): void;
}

/** A refusal that the printed answer tells already: exit code 1 without another word. */
export class ReportedError extends Error {}

/** How long hosts may take to answer before a list is shown without them. */
const settleMs = 3_000;
const settlePollMs = 100;

const detailOf = ({ problem, error }: Readonly<Record<string, unknown>>): string => {
  if (typeof problem === 'string') return problem;
  return error instanceof Error ? error.message : '';
};

/** Opens a core in the data directory, runs `work` and closes the core. */
export const withCore = async <Result>(
  invocation: Invocation,
  options: GlobalOptions,
  work: (context: CommandContext) => Promise<Result>,
): Promise<Result> => {
  const { terminal, version, signal, environment } = invocation;
  if (options.data.endsWith('.nestsnap'))
    throw new NestError(
      'READ_ONLY',
      'This is a snapshot: nothing in it can be changed or connected to. Look into it with "nest snapshot hosts".',
    );
  const report = (message: string, fields: Readonly<Record<string, unknown>>): void =>
    terminal.note(`warning: ${message} ${clean(detailOf(fields))}`);
  const ports = invocation.openPorts?.(options.data) ?? openSystemPorts({ dataDirectory: options.data, version, report, environment });
  const clock = systemClock();
  const startedAt = clock.now();
  const core = createConsoleCore({ ...ports, isShortLived: true });
  try {
    return await work({
      handlers: withStepUp(withCheckedInput(core.handlers), { terminal, signal, path: options.codeFile ?? environment['NEST_CODE_FILE'] }),
      terminal,
      clock,
      startedAt,
      signal,
      isJson: options.json === true,
      options,
      environment,
      print: (value, show) => terminal.out(options.json === true ? JSON.stringify(value) : show(value)),
    });
  } finally {
    await core.close();
  }
};

/** Like `withCore`, with the fleet unlocked. Raises FLEET_MISSING, PASSPHRASE_WRONG and what else unlocking may. */
export const withFleet = <Result>(
  invocation: Invocation,
  options: GlobalOptions,
  work: (context: CommandContext) => Promise<Result>,
): Promise<Result> =>
  withCore(invocation, options, async (context) => {
    await unlock(context);
    return work(context);
  });

/** Unlocks, asking for the passphrase only when the vault needs one. */
export const unlock = async (context: CommandContext): Promise<void> => {
  const { handlers, signal } = context;
  const { phase, storage } = await handlers['console.state']({}, signal);
  if (phase === 'empty') throw new NestError('FLEET_MISSING', 'There is no fleet in this data folder. Create one with "nest fleet init".');
  const passphrase = storage === 'passphrase' ? await readPassphrase(context, 'Passphrase: ') : undefined;
  const { withoutSignIn } = context.options;
  const input = { ...(passphrase === undefined ? {} : { passphrase }), ...(withoutSignIn === undefined ? {} : { withoutSignIn }) };
  await handlers['fleet.unlock'](input, signal);
};

/** From --passphrase-file, NEST_PASSPHRASE_FILE or the terminal; never from an argument, which everybody on the machine can read. */
export const readPassphrase = (context: CommandContext, question: string): Promise<string> =>
  readSecret(context, {
    path: context.options.passphraseFile ?? context.environment['NEST_PASSPHRASE_FILE'],
    missing: 'The fleet is protected by a passphrase: give --passphrase-file or NEST_PASSPHRASE_FILE, or run this in a terminal.',
    question,
  });

/** A passphrase that is being set: asked for twice unless it comes from a file. Raises PASSPHRASE_WEAK later, where it is used. */
export const newPassphrase = async (context: CommandContext): Promise<string> => {
  const isFromFile = (context.options.passphraseFile ?? context.environment['NEST_PASSPHRASE_FILE'] ?? '') !== '';
  const passphrase = await readPassphrase(context, 'New passphrase (10 characters or more): ');
  if (!isFromFile && (await readPassphrase(context, 'Once more: ')) !== passphrase)
    throw new UsageError('The two passphrases differ. Nothing was created.');
  return passphrase;
};

/** Rows once every host is settled, by default has answered or failed, or after a few seconds. */
export const settledRows = async (
  { handlers, clock, signal }: CommandContext,
  isSettled = ({ state }: HostRow): boolean => state !== 'connecting',
): Promise<readonly HostRow[]> => {
  const deadline = clock.monotonicMs() + settleMs;
  for (;;) {
    const rows = await handlers['hosts.list']({}, signal);
    if (rows.every(isSettled) || clock.monotonicMs() > deadline) return rows;
    await clock.sleep(settlePollMs, signal);
  }
};

/** The host of a name or id. Raises HOST_UNKNOWN. */
export const findHost = async ({ handlers, signal }: CommandContext, nameOrId: string): Promise<HostRow> => {
  const rows = await handlers['hosts.list']({}, signal);
  const found = rows.find(({ name, hostId }) => name === nameOrId || hostId === nameOrId.toUpperCase());
  if (found !== undefined) return found;
  throw new NestError('HOST_UNKNOWN', `There is no host ${nameOrId}. "nest hosts ls" lists them.`, { details: { host: nameOrId } });
};

/** The hosts that fit the query and are in the group, by name, once every host is settled. Raises QUERY_INVALID, NOT_FOUND. */
export const matchingHosts = async (context: CommandContext, { where = '', group }: HostFilter): Promise<readonly HostRow[]> => {
  const { handlers, clock, signal, terminal } = context;
  const query = parseHostQuery(where);
  const rows = await settledRows(context);
  const whole: HostQuery = group === undefined ? query : bothHold({ kind: 'field', key: 'group', value: group }, query);
  const matching = hostsMatching(rows, whole, hostScope(await handlers['groups.list']({}, signal), clock.now()));
  const waiting = rows.filter(({ state }) => state === 'connecting').length;
  if (waiting > 0)
    terminal.note(`warning: not every host has answered yet (${String(waiting)} missing); of those the query asks what was known before`);
  for (const key of unknownLabelKeys(query, rows)) terminal.note(`warning: no host has a label ${key}=...`);
  return matching;
};

/** The hosts a command names with --host (repeatable, or separated by commas), --where, --group or --all. */
export const chosenHosts = async (
  context: CommandContext,
  choice: HostFilter & { readonly host?: readonly string[]; readonly all?: true },
): Promise<readonly string[]> => {
  const names = (choice.host ?? []).flatMap((text) => text.split(',')).filter((name) => name !== '');
  const isFiltered = choice.where !== undefined || choice.group !== undefined;
  if (Number(names.length > 0) + Number(choice.all === true) + Number(isFiltered) !== 1)
    throw new UsageError('Say which hosts: --host <name>, --where <query> with or without --group <name>, or --all of them.');
  if (isFiltered) {
    const rows = await matchingHosts(context, choice);
    if (rows.length === 0) throw new NestError('HOST_UNKNOWN', 'No host fits. "nest hosts ls --where <query>" shows what does.');
    return rows.map(({ hostId }) => hostId);
  }
  if (choice.all === true) {
    const rows = await context.handlers['hosts.list']({}, context.signal);
    if (rows.length === 0) throw new NestError('HOST_UNKNOWN', 'The fleet has no hosts yet. Add one with "nest hosts add".');
    return rows.map(({ hostId }) => hostId);
  }
  return Promise.all(names.map(async (name) => (await findHost(context, name)).hostId));
};

/** Text of a file; "-" is standard input. Raises INPUT_INVALID. */
export const readText = async ({ terminal, signal }: CommandContext, path: string): Promise<string> => {
  if (path === '-') return terminal.readInput(signal);
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    throw new NestError('INPUT_INVALID', `The file ${path} cannot be read. Check the path and its rights.`, { cause: error });
  }
};

/** A yes or no question; without a person to ask it is a wrong use that names the option. */
export const askYes = async ({ terminal, signal }: CommandContext, question: string, option: string): Promise<boolean> => {
  if (!terminal.isInteractive) throw new UsageError(`${question} Nobody can be asked here: say ${option}.`);
  return /^y(es)?$/i.test((await terminal.ask(`${question} [y/N] `, signal)).trim());
};
