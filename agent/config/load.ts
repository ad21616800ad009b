import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import type { z } from 'zod';
import { NestError } from '../../proto/model/error.ts';
import { nearestKey } from '../lib/nearest-key.ts';
import { withoutComments } from './json-with-comments.ts';
import { configSchema, knownKeys } from './schema.ts';
import type { AgentConfig } from './schema.ts';

/** A larger file is not a config file, bytes. */
const fileBytesMax = 64 << 10;

export type Environment = Readonly<Record<string, string | undefined>>;

export interface ConfigSource {
  /** Path of the config file; null: defaults and environment only. */
  readonly file: string | null;
  readonly environment: Environment;
  /** 1..3 from -v, -vv, -vvv; 0 when not given. Wins over the file. */
  readonly verbosity: number;
}

export interface ConfigProblem {
  /** Where: "listen.port", "GRPC_PORT", or "" for the whole. */
  readonly path: string;
  readonly message: string;
}

/** Reads and checks the configuration: flags over environment over file over defaults. Throws CONFIG_INVALID with every problem. */
export const loadConfig = (source: ConfigSource): AgentConfig => {
  const document = source.file === null ? {} : parseFile(source.file);
  return parseConfig(document, source);
};

/** The same from a document already read. Throws CONFIG_INVALID with every problem. */
export const parseConfig = (document: unknown, source: Omit<ConfigSource, 'file'>): AgentConfig => {
  const overrides = readEnvironment(source.environment);
  const level = ([undefined, 'warn', 'info', 'debug'] as const)[Math.min(source.verbosity, 3)];
  const merged = mergeSections(document, { ...overrides.document, ...(level === undefined ? {} : { log: { level } }) });
  const result = configSchema.safeParse(merged, { error: wordIssue });
  const problems = [...overrides.problems, ...(result.success ? [] : result.error.issues.flatMap((issue) => describeIssue(issue)))];
  if (!result.success || problems.length > 0) throw invalid(problems);
  const config = { ...result.data, name: result.data.name ?? hostname() };
  return deepFreeze(config) as AgentConfig;
};

/** The environment variables kept from earlier products. */
const readEnvironment = (
  environment: Environment,
): { readonly document: Record<string, Record<string, unknown>>; readonly problems: readonly ConfigProblem[] } => {
  const problems: ConfigProblem[] = [];
  const document: Record<string, Record<string, unknown>> = {};
  const set = (section: string, key: string, value: unknown): void => void (document[section] = { ...document[section], [key]: value });
  for (const [variable, section] of [
    ['GRPC_PORT', 'listen'],
    ['METRICS_PORT', 'metrics'],
  ] as const) {
    const text = environment[variable];
    if (text === undefined || text === '') continue;
    if (/^\d{1,5}$/.test(text) && Number(text) <= 65_535) set(section, 'port', Number(text));
    else problems.push({ path: variable, message: 'must be a port, 0 to 65535' });
  }
  const enabled = environment['GRPC_ENABLED'];
  if (enabled === 'true' || enabled === 'false') set('listen', 'enabled', enabled === 'true');
  else if (enabled !== undefined && enabled !== '') problems.push({ path: 'GRPC_ENABLED', message: 'must be "true" or "false"' });
  return { document, problems };
};

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value);

/** Lays the overriding sections over the document's; what is not an object is left for the schema to refuse. */
const mergeSections = (document: unknown, overrides: Readonly<Record<string, Readonly<Record<string, unknown>>>>): unknown => {
  if (!isRecord(document)) return document;
  const merged: Record<string, unknown> = { ...document };
  for (const [section, values] of Object.entries(overrides)) {
    const existing = merged[section];
    if (existing === undefined || isRecord(existing)) merged[section] = { ...existing, ...values };
  }
  return merged;
};

/** In words what a value of another kind should have been; zod's own speak of types. */
const kindWords: Readonly<Record<string, string>> = {
  string: 'must be a text in quotes',
  object: 'must be a section, { ... }',
  array: 'must be a list, [ ... ]',
  boolean: 'must be true or false',
  number: 'must be a number',
};

/** For messages that the schema does not word itself. */
const wordIssue = (issue: { readonly code: string; readonly expected?: unknown }): string | undefined =>
  issue.code === 'invalid_type' ? kindWords[String(issue.expected)] : undefined;

type Path = readonly PropertyKey[];

/** As a reader of JSON would write it: traffic.interfaces[0].engine. */
const pathWords = (path: Path): string =>
  path.reduce<string>(
    (text, part) => (typeof part === 'number' ? `${text}[${String(part)}]` : text === '' ? String(part) : `${text}.${String(part)}`),
    '',
  );

/** `outer`: where the value stands that the issue speaks of. */
const describeIssue = (issue: z.core.$ZodIssue, outer: Path = []): ConfigProblem[] => {
  const at = [...outer, ...issue.path];
  const path = pathWords(at);
  if (issue.code === 'invalid_union') {
    const branch = meantBranch(issue.errors);
    return branch === undefined ? [{ path, message: issue.message }] : branch.flatMap((inner) => describeIssue(inner, at));
  }
  if (issue.code !== 'unrecognized_keys') return [{ path, message: issue.message }];
  const known = knownKeys[path.replaceAll(/\[\d+\]/g, '[]')] ?? [];
  return issue.keys.map((key) => {
    const nearest = nearestKey(key, known);
    const advice = nearest === undefined ? `Known keys: ${known.join(', ')}.` : `Did you mean "${nearest}"?`;
    return { path: path === '' ? key : `${path}.${key}`, message: `is not a known key. ${advice}` };
  });
};

/** Of several ways to write a value the one whose kind was met, so that only its details are wrong; undefined when none was. */
const meantBranch = (branches: readonly (readonly z.core.$ZodIssue[])[]): readonly z.core.$ZodIssue[] | undefined =>
  branches.find((issues) => issues.every(({ code, path }) => path.length > 0 || (code !== 'invalid_type' && code !== 'invalid_value')));

const invalid = (problems: readonly ConfigProblem[], cause?: unknown): NestError => {
  const lines = problems.map(({ path, message }) => `  ${path === '' ? 'the file' : path}: ${message}`);
  return new NestError(
    'CONFIG_INVALID',
    `The configuration has ${problems.length === 1 ? 'a problem' : `${problems.length} problems`}. Correct it and start again:\n${lines.join('\n')}`,
    {
      details: { problems },
      cause,
    },
  );
};

const parseFile = (path: string): unknown => {
  const bytes = readBytes(path);
  if (bytes.length > fileBytesMax) throw invalid([{ path: '', message: `${path} has ${bytes.length} bytes, at most ${fileBytesMax}` }]);
  try {
    return JSON.parse(withoutComments(new TextDecoder('utf-8', { fatal: true }).decode(bytes)));
  } catch (error) {
    throw invalid([{ path: '', message: `${path} is not JSON: ${error instanceof Error ? error.message : String(error)}` }], error);
  }
};

const readBytes = (path: string): Buffer => {
  try {
    return readFileSync(path);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
    const advice = code === 'ENOENT' ? 'does not exist: write one with "nest-agent init"' : `cannot be read (${code})`;
    throw invalid([{ path: '', message: `${path} ${advice}` }], error);
  }
};

const deepFreeze = <T>(value: T): T => {
  if (typeof value === 'object' && value !== null) {
    for (const member of Object.values(value)) deepFreeze(member);
    Object.freeze(value);
  }
  return value;
};
