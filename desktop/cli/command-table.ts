/** Every command, option and argument of `nest`, read from the commands themselves: what shell completion is made of. */
import type { Argument, Command, Option } from 'commander';

/** What a value is: names the console knows, a file, a fixed word, or anything else. */
export type ValueKind = 'hosts' | 'groups' | 'files' | 'any' | { readonly words: readonly string[] };

export interface TableOption {
  /** "--host", or "-h" and "--help". */
  readonly names: readonly string[];
  readonly about: string;
  readonly takes: 'nothing' | 'one' | 'many';
  readonly kind: ValueKind;
}

export interface TablePlace {
  /** "" for `nest` itself, else for instance "hosts ls". */
  readonly path: string;
  readonly commands: readonly { readonly name: string; readonly about: string }[];
  readonly options: readonly TableOption[];
  /** In their order. */
  readonly values: readonly ValueKind[];
  /** The last value may be said again. */
  readonly repeatsLast: boolean;
}

/** All places in the order of the help, `nest` itself first. Hidden commands are left out. */
export const commandTable = (program: Command): readonly TablePlace[] => placesOf(program, '');

const placesOf = (command: Command, path: string): readonly TablePlace[] => {
  const help = command.createHelp();
  const commands = help.visibleCommands(command);
  const values = command.registeredArguments;
  const place: TablePlace = {
    path,
    commands: commands.map((child) => ({ name: child.name(), about: child.description() })),
    options: help.visibleOptions(command).map(optionOf),
    values: values.map((argument) => kindOf(argument.name(), argument)),
    repeatsLast: values.at(-1)?.variadic === true,
  };
  return [
    place,
    ...commands.flatMap((child) =>
      child.name() === 'help' ? [] : placesOf(child, path === '' ? child.name() : `${path} ${child.name()}`),
    ),
  ];
};

const optionOf = (option: Option): TableOption => ({
  names: [option.short, option.long].flatMap((name) => (name === undefined ? [] : [name])),
  about: option.description,
  takes: !option.required && !option.optional ? 'nothing' : option.variadic ? 'many' : 'one',
  kind: kindOf(option.long === '--host' || option.long === '--group' ? option.long.slice(2) : placeholderOf(option), option),
});

/** "file" of `--output <file>`. */
const placeholderOf = ({ flags }: Option): string => /[<[]([\w-]+)/.exec(flags)?.[1] ?? '';

const kindOf = (name: string, { argChoices }: Pick<Option | Argument, 'argChoices'>): ValueKind => {
  if (argChoices !== undefined) return { words: argChoices };
  if (name === 'host') return 'hosts';
  if (name === 'group') return 'groups';
  return ['file', 'folder', 'request', 'grant', 'inventory'].includes(name) ? 'files' : 'any';
};

/** One word for a kind: "hosts", or "words:bash,zsh". */
export const kindWord = (kind: ValueKind): string => (typeof kind === 'string' ? kind : `words:${kind.words.join(',')}`);

/** Only these belong to `nest` alone; its other options may stand anywhere. */
const rootOnly: ReadonlySet<string> = new Set(['-V', '--version', '-h', '--help']);

/** Names of the options of a place with the global ones, and those that take values as "--host:many:hosts". */
export const optionEntries = (
  place: Pick<TablePlace, 'path' | 'options'>,
  table: readonly TablePlace[],
): { readonly names: readonly string[]; readonly takes: readonly string[] } => {
  const [root] = table;
  const global = place.path === '' ? [] : (root?.options ?? []).filter(({ names }) => !names.some((name) => rootOnly.has(name)));
  const options = [...place.options, ...global];
  return {
    names: options.flatMap(({ names }) => names),
    takes: options.flatMap(({ names, takes, kind }) =>
      takes === 'nothing' ? [] : names.map((name) => `${name}:${takes}:${kindWord(kind)}`),
    ),
  };
};
