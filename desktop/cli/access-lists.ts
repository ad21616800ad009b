/** nest access roles | operators | owners | bindings | clusters | clients: each lists, and changes with put, add and rm. */
import type { Command } from 'commander';
import { writeFile } from 'node:fs/promises';
import { NestError } from '../../proto/model/error.ts';
import type { AccessChange, AccessView } from '../bridge/model.ts';
import { applyChange } from './access-delivery.ts';
import type { RunInFleet } from './access-delivery.ts';
import { findHost } from './command-context.ts';
import type { CommandContext } from './command-context.ts';
import { clean, formatTable, formatTime, numberOf } from './output.ts';
import type { Column } from './output.ts';
import { UsageError } from './usage-error.ts';

export const addAccessLists = (access: Command, run: RunInFleet): void => {
  addRoles(access, run);
  addPeople(access, run);
  addBindings(access, run);
  addClusters(access, run);
  addClients(access, run);
};

/** A list command that is also what the noun alone means. */
const addList = <Row>(
  noun: Command,
  run: RunInFleet,
  list: { readonly rows: (view: AccessView) => readonly Row[]; readonly columns: readonly Column<Row>[] },
): void => {
  noun
    .command('ls', { isDefault: true })
    .description('list them; what the noun alone does, too')
    .action((_options: unknown, command: Command) =>
      run(command, async (context) => {
        const rows = list.rows(await context.handlers['access.get']({}, context.signal));
        context.print(rows, (shown) => (shown.length === 0 ? 'There are none.' : formatTable(shown, list.columns)));
      }),
    );
};

const changes =
  (run: RunInFleet) =>
  (command: Command, change: AccessChange | ((context: CommandContext) => Promise<AccessChange>), done: string): Promise<void> =>
    run(command, async (context) => applyChange(context, typeof change === 'function' ? await change(context) : change, done));

const addRoles = (access: Command, run: RunInFleet): void => {
  const roles = access.command('roles').description('sets of scopes');
  const change = changes(run);
  addList(roles, run, {
    rows: (view) => view.roles,
    columns: [
      { title: 'ROLE', value: ({ name }) => name },
      { title: 'KIND', value: ({ builtIn }) => (builtIn ? 'built in' : 'custom') },
      { title: 'SCOPES', value: ({ scopes }) => scopes.join(' ') },
      { title: 'TITLE', value: ({ title }) => title },
    ],
  });
  roles
    .command('put <name> <scopes...>')
    .description('make or replace a custom role: "mappings:write", "dbgw:*", "*:read"')
    .option('--title <text>', 'what it is for', '')
    .action((name: string, scopes: string[], ...[, command]: [unknown, Command]) =>
      change(command, { kind: 'role.put', name, scopes, title: titleOf(command) }, `The role ${clean(name)} is set.`),
    );
  roles
    .command('rm <name>')
    .description('take a custom role away; it must be bound to nobody')
    .action((name: string, _options: unknown, command: Command) =>
      change(command, { kind: 'role.remove', name }, `The role ${clean(name)} is gone.`),
    );
};

const titleOf = (command: Command): string => command.opts<{ readonly title?: string }>().title ?? '';

const addPeople = (access: Command, run: RunInFleet): void => {
  const operators = access.command('operators').description('people with a certificate of the fleet');
  const change = changes(run);
  addList(operators, run, {
    rows: ({ operators: rows, bindings }) =>
      rows.map((row) => ({
        ...row,
        roles: bindings.filter(({ subject }) => subject === row.subject).map(({ role, level }) => `${role}@${level}`),
      })),
    columns: [
      { title: 'OPERATOR', value: ({ subject }) => subject },
      { title: 'ROLES', value: ({ roles }) => roles.join(' ') },
      { title: 'LOCKED', value: ({ locked }) => (locked ? 'yes' : 'no') },
      { title: 'TITLE', value: ({ title }) => title },
    ],
  });
  operators
    .command('put <name>')
    .description('make an operator known, so that roles can be bound to it, or change its title')
    .option('--title <text>', 'full name', '')
    .action((name: string, _options: unknown, command: Command) =>
      change(
        command,
        { kind: 'operator.put', subject: operatorOf(name), title: titleOf(command) },
        `${operatorOf(name)} is known now. Bind a role to it.`,
      ),
    );
  operators
    .command('rm <name>')
    .description('forget an operator with all bindings; lock it too when its device is lost')
    .action((name: string, _options: unknown, command: Command) =>
      change(command, { kind: 'operator.remove', subject: operatorOf(name) }, `${operatorOf(name)} is gone.`),
    );
  addOwners(access, run);
};

const operatorOf = (name: string): string => (name.startsWith('operator/') ? name : `operator/${name}`);
const clientOf = (name: string): string => (name.startsWith('client/') ? name : `client/${name}`);

const addOwners = (access: Command, run: RunInFleet): void => {
  const owners = access.command('owners').description('who signs the bundle');
  const change = changes(run);
  addList(owners, run, {
    rows: (view) => view.owners,
    columns: [
      { title: 'OWNER', value: ({ subject }) => subject },
      { title: 'KEY', value: ({ keyId }) => keyId },
    ],
  });
  owners
    .command('add <name> <public-key>')
    .description('the key is what "nest access key" prints on the console of the new owner')
    .action((name: string, publicKey: string, ...[, command]: [unknown, Command]) =>
      change(command, { kind: 'owner.add', subject: operatorOf(name), publicKey }, `${operatorOf(name)} is an owner now.`),
    );
  owners
    .command('rm <key-id>')
    .description('an owner key signs nothing any more; "nest access owners" shows the id')
    .action((keyId: string, _options: unknown, command: Command) =>
      change(command, { kind: 'owner.remove', keyId }, 'This key signs nothing any more.'),
    );
  owners
    .command('threshold <number>')
    .description('how many owners must sign a change')
    .action((text: string, _options: unknown, command: Command) => {
      const threshold = numberOf('The number', text, { min: 1, max: 7 });
      return change(command, { kind: 'owner.threshold', threshold }, `${String(threshold)} owners must sign from now on.`);
    });
};

const addBindings = (access: Command, run: RunInFleet): void => {
  const bindings = access.command('bindings').description('who has which role where');
  const change = changes(run);
  addList(bindings, run, {
    rows: (view) => view.bindings,
    columns: [
      { title: 'SUBJECT', value: ({ subject }) => subject },
      { title: 'ROLE', value: ({ role }) => role },
      { title: 'LEVEL', value: ({ level }) => level },
      { title: 'ID', value: ({ id }) => id },
    ],
  });
  bindings
    .command('add <subject> <role> [level]')
    .description('level: "*" (the default), "cluster/<id>", "host/<host>" or "mapping/<name>"')
    .action((subject: string, role: string, ...[level, , command]: [string | undefined, unknown, Command]) =>
      change(
        command,
        async (context) => ({ kind: 'binding.add', subject, role, level: await levelOf(context, level ?? '*') }),
        `${clean(subject)} is ${clean(role)} at ${clean(level ?? '*')} now.`,
      ),
    );
  bindings
    .command('rm <id>')
    .description('take a role from its subject; "nest access bindings" shows the id')
    .action((id: string, _options: unknown, command: Command) => change(command, { kind: 'binding.remove', id }, 'The binding is gone.'));
};

/** Hosts may be named as people name them. */
const levelOf = async (context: CommandContext, level: string): Promise<string> =>
  level.startsWith('host/') ? `host/${(await findHost(context, level.slice('host/'.length))).hostId}` : level;

const addClusters = (access: Command, run: RunInFleet): void => {
  const clusters = access.command('clusters').description('hosts that are governed together');
  const change = changes(run);
  addList(clusters, run, {
    rows: (view) =>
      view.clusters.map((cluster) => ({
        ...cluster,
        names: cluster.hostIds.map((id) => view.hosts.find(({ hostId }) => hostId === id)?.name ?? id),
      })),
    columns: [
      { title: 'CLUSTER', value: ({ id }) => id },
      { title: 'HOSTS', value: ({ names }) => names.join(' ') },
      { title: 'TITLE', value: ({ title }) => title },
    ],
  });
  clusters
    .command('put <id> [hosts...]')
    .description('make or replace a cluster with these hosts')
    .option('--title <text>', 'what it is', '')
    .action((id: string, names: string[], ...[, command]: [unknown, Command]) =>
      change(
        command,
        async (context) => ({
          kind: 'cluster.put',
          id,
          title: titleOf(command),
          hostIds: await Promise.all(names.map(async (name) => (await findHost(context, name)).hostId)),
        }),
        `The cluster ${clean(id)} has ${String(names.length)} hosts now.`,
      ),
    );
  clusters
    .command('rm <id>')
    .description('forget a cluster; its hosts stay in the fleet')
    .action((id: string, _options: unknown, command: Command) =>
      change(command, { kind: 'cluster.remove', id }, `The cluster ${clean(id)} is gone.`),
    );
};

const addClients = (access: Command, run: RunInFleet): void => {
  const clients = access.command('clients').description('programs with a certificate, and their API keys');
  const change = changes(run);
  addList(clients, run, {
    rows: (view) => view.clients,
    columns: [
      { title: 'CLIENT', value: ({ subject }) => subject },
      {
        title: 'KEYS',
        value: ({ keys }) =>
          keys.map(({ keyId, expiresAt }) => (expiresAt === null ? keyId : `${keyId} until ${formatTime(expiresAt)}`)).join(', '),
      },
      { title: 'LOCKED', value: ({ locked }) => (locked ? 'yes' : 'no') },
      { title: 'TITLE', value: ({ title }) => title },
    ],
  });
  clients
    .command('put <name>')
    .description('make a program known, so that roles can be bound to it, or change its title')
    .option('--title <text>', 'what it does', '')
    .action((name: string, _options: unknown, command: Command) =>
      change(
        command,
        { kind: 'client.put', subject: clientOf(name), title: titleOf(command) },
        `${clientOf(name)} is known now. Bind a role to it.`,
      ),
    );
  clients
    .command('rm <name>')
    .description('forget a program with its keys and bindings')
    .action((name: string, _options: unknown, command: Command) =>
      change(command, { kind: 'client.remove', subject: clientOf(name) }, `${clientOf(name)} is gone.`),
    );
  clients
    .command('key <name>')
    .description('a new API key, shown once; two may live at a time')
    .option('--days <number>', 'how long it lives')
    .action((name: string, _options: unknown, command: Command) => {
      const { days } = command.opts<{ readonly days?: string }>();
      const life = days === undefined ? null : numberOf('--days', days, { min: 1, max: 3650 });
      return change(
        command,
        async ({ clock }) =>
          Promise.resolve({
            kind: 'client.key.add',
            subject: clientOf(name),
            ...(life === null ? {} : { expiresAt: Math.round(clock.now()) + life * 86_400_000 }),
          }),
        `${clientOf(name)} has a new key.`,
      );
    });
  clients
    .command('certificate <name> <file>')
    .description('write a new private key, certificate (90 days) and the fleet root into a file that only you may read')
    .action((name: string, file: string, ...[, command]: [unknown, Command]) =>
      run(command, async (context) => {
        const issued = await context.handlers['access.client.certificate']({ subject: clientOf(name) }, context.signal);
        await writeSecret(file, [issued.privateKey, issued.certificate, issued.fleetRoot].map((pem) => `${pem.trimEnd()}\n`).join(''));
        context.print({ file }, () => `${clientOf(name)} connects with ${clean(file)} now.`);
      }),
    );
  clients
    .command('revoke-key <name> <key-id>')
    .description('an API key opens nothing any more; "nest access clients" shows the id')
    .action((name: string, keyId: string, ...[, command]: [unknown, Command]) => {
      if (!/^[0-9a-f]{8}$/.test(keyId)) throw new UsageError('A key id has 8 characters: "nest access clients" lists them.');
      return change(command, { kind: 'client.key.remove', subject: clientOf(name), keyId }, `The key ${keyId} opens nothing any more.`);
    });
};

/** A new file; what is there is never overwritten. Raises INPUT_INVALID. */
const writeSecret = async (file: string, text: string): Promise<void> => {
  try {
    await writeFile(file, text, { mode: 0o600, flag: 'wx' });
  } catch (error) {
    throw new NestError('INPUT_INVALID', `The file ${file} cannot be made. Name one that does not exist yet, in a folder you may write.`, {
      cause: error,
    });
  }
};
