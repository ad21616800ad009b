/** Scopes "<resource>:<verb>" and the patterns roles are made of: "mappings:write", "dbgw:*", "*:read", "*:*". */
import { NestError } from '../error.ts';

export const accessVerbs = ['read', 'write', 'admin'] as const;
export type AccessVerb = (typeof accessVerbs)[number];

/** What there is to be read, changed or governed. A scope of anything else is refused. */
export const accessResources = [
  'hosts',
  'mappings',
  'telemetry',
  'flows',
  'logs',
  'dbgw',
  'dbgw.secrets',
  'certs',
  'access',
  'audit',
  'rollouts',
  'upgrade',
  'snapshot',
  'license',
] as const;

export interface ScopePattern {
  /** "*" = every resource. */
  readonly resource: string;
  /** "*" = every verb, also of resources below this one. */
  readonly verb: AccessVerb | '*';
}

const pattern = /^(\*|[a-z]{2,32}(?:\.[a-z]{2,32}){0,3}):(\*|read|write|admin)$/;

/** Null when the text is no scope and no pattern. */
export const parseScope = (text: string): ScopePattern | null => {
  const [, resource = '', verb = ''] = pattern.exec(text) ?? [];
  return resource === '' ? null : { resource, verb: verb as ScopePattern['verb'] };
};

/** Raises INPUT_INVALID. */
export const requireScope = (text: string): ScopePattern => {
  const parsed = parseScope(text);
  if (parsed !== null) return parsed;
  throw new NestError(
    'INPUT_INVALID',
    `${JSON.stringify(text.slice(0, 64))} is no scope. Write <resource>:<verb>, for instance "mappings:write", "dbgw:*" or "*:read".`,
  );
};

/** True when who holds `held` holds all that `asked` means, also in resources that do not exist yet. */
export const covers = (held: ScopePattern, asked: ScopePattern): boolean =>
  coversVerb(held.verb, asked.verb) && coversResource(held, asked);

const coversVerb = (held: ScopePattern['verb'], asked: ScopePattern['verb']): boolean => {
  if (held === '*') return true;
  // Every verb includes those of resources below, which "admin" alone does not.
  return asked !== '*' && accessVerbs.indexOf(held) >= accessVerbs.indexOf(asked);
};

/** "dbgw:*" reaches into "dbgw.secrets"; "dbgw:admin" does not. */
const coversResource = (held: ScopePattern, asked: ScopePattern): boolean =>
  held.resource === '*' || held.resource === asked.resource || (held.verb === '*' && asked.resource.startsWith(`${held.resource}.`));

const known: readonly (ScopePattern & { readonly text: string })[] = accessResources.flatMap((resource) =>
  accessVerbs.map((verb) => ({ resource, verb, text: `${resource}:${verb}` })),
);

/** Roles share their lists, which nobody changes: each is expanded once. */
const expanded = new WeakMap<readonly string[], ReadonlySet<string>>();

/** Every scope this build knows that the patterns mean; what cannot be parsed means nothing. The list must not be changed later. */
export const expandScopes = (patterns: readonly string[]): ReadonlySet<string> => {
  const before = expanded.get(patterns);
  if (before !== undefined) return before;
  const scopes = newlyExpanded(patterns);
  expanded.set(patterns, scopes);
  return scopes;
};

const newlyExpanded = (patterns: readonly string[]): ReadonlySet<string> => {
  const held = patterns.flatMap((text) => parseScope(text) ?? []);
  return new Set(known.filter((scope) => held.some((one) => covers(one, scope))).map(({ text }) => text));
};

/** True for scopes that change something: they stand still under a bundle that is too old. */
export const isChangingScope = (scope: string): boolean => scope.endsWith(':write') || scope.endsWith(':admin');

/** True when a pattern names exactly this scope; a list of scopes that need something names each, and "admin" does not mean "read" there. */
export const isNamed = (patterns: readonly string[], scope: string): boolean => {
  const asked = parseScope(scope);
  if (asked === null) return false;
  return patterns
    .flatMap((text) => parseScope(text) ?? [])
    .some((named) => (named.verb === '*' || named.verb === asked.verb) && coversResource(named, asked));
};
