/** The command line of the web host. */
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { NestError } from '../../proto/model/error.ts';

export interface WebOptions {
  /** 0 = any free port. */
  readonly port: number;
  /** Absolute; undefined = a folder of the demo's own, gone with the process. */
  readonly dataDirectory: string | undefined;
  /** The built page, absolute; undefined = where the build puts it. */
  readonly renderer: string | undefined;
  /** Manifest of a demo fleet, absolute. */
  readonly demo: string | undefined;
  readonly mode: 'serve' | 'help' | 'version';
}

export const usage = `Usage: node desktop/web/main.ts [options]

Serves the Nest console to browsers of this machine, on 127.0.0.1 only.

  --port <number>      port to listen on; 0, the default, takes a free one
  --data <folder>      where the fleet is kept (NEST_CONSOLE_DIR)
  --renderer <folder>  the built page
  --demo <manifest>    start with the fleet of a lab; without --data nothing is kept
  --help, --version
`;

const known = ['port', 'data', 'renderer', 'demo', 'help', 'version'] as const;

export interface OptionsEnvironment {
  readonly args: readonly string[];
  /** Where the console keeps its data when no option says otherwise. */
  readonly defaultDataDirectory: string;
  /** Relative paths begin here. */
  readonly folder: string;
}

/** Raises CONFIG_INVALID, naming the option and, for a misspelt one, the nearest. */
export const parseWebOptions = ({ args, defaultDataDirectory, folder }: OptionsEnvironment): WebOptions => {
  const values = parse(args);
  const { demo, renderer } = values;
  return {
    port: portOf(values.port),
    dataDirectory: values.data === undefined && demo !== undefined ? undefined : resolve(folder, values.data ?? defaultDataDirectory),
    renderer: renderer === undefined ? undefined : resolve(folder, renderer),
    demo: demo === undefined ? undefined : resolve(folder, demo),
    mode: values.help === true ? 'help' : values.version === true ? 'version' : 'serve',
  };
};

const parse = (
  args: readonly string[],
): { port?: string; data?: string; renderer?: string; demo?: string; help?: boolean; version?: boolean } => {
  for (const argument of args) {
    const name = /^--([^=]*)/.exec(argument)?.[1];
    if (name !== undefined && !(known as readonly string[]).includes(name)) throw unknownOption(name);
  }
  try {
    return parseArgs({
      args: [...args],
      options: {
        port: { type: 'string' },
        data: { type: 'string' },
        renderer: { type: 'string' },
        demo: { type: 'string' },
        help: { type: 'boolean' },
        version: { type: 'boolean' },
      },
    }).values;
  } catch (cause) {
    throw new NestError(
      'CONFIG_INVALID',
      'The options cannot be read: each option but --help and --version needs a value, and nothing else may follow. See --help.',
      { cause },
    );
  }
};

const portOf = (text: string | undefined): number => {
  const port = text === undefined ? 0 : Number(text);
  if (!/^\d{1,5}$/.test(text ?? '0') || port > 65_535)
    throw new NestError('CONFIG_INVALID', '--port has to be a number from 0 to 65535.', { details: { option: 'port' } });
  return port;
};

const unknownOption = (name: string): NestError => {
  const nearest = known.map((option) => ({ option, distance: distanceOf(name, option) })).sort((a, b) => a.distance - b.distance)[0];
  const hint = nearest !== undefined && nearest.distance <= 2 ? ` Did you mean --${nearest.option}?` : ' See --help.';
  return new NestError('CONFIG_INVALID', `There is no option --${name.slice(0, 40)}.${hint}`, { details: { option: name.slice(0, 40) } });
};

/** Letters to change, add or take away to make one word of the other. */
const distanceOf = (a: string, b: string): number => {
  let row = Array.from({ length: b.length + 1 }, (_unused, index) => index);
  for (const [i, letter] of Array.from(a.slice(0, 40)).entries()) {
    const next = [i + 1];
    for (const [j, other] of Array.from(b).entries())
      next.push(Math.min((next[j] ?? 0) + 1, (row[j + 1] ?? 0) + 1, (row[j] ?? 0) + (letter === other ? 0 : 1)));
    row = next;
  }
  return row.at(-1) ?? 0;
};
