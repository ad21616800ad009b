import { NestError } from '../../proto/model/error.ts';
import type { CallContext } from './call-context.ts';

/** What a change of a policy reaches. */
export interface PolicyTouch {
  /** Mappings that are added, removed, changed, or that name a service which is changed. */
  readonly mappings: readonly string[];
  /** Parts that belong to no mapping, in words. */
  readonly others: readonly string[];
}

type Fields = Readonly<Record<string, unknown>>;

/** Names in a message. */
const namesMax = 10;
const partNames: Readonly<Record<string, string>> = { defaultAction: 'the default action', denyLists: 'deny lists' };

/** Compares two policy documents entry by entry. A document that is none reaches everything. */
export const touchOf = (before: string, after: string): PolicyTouch => {
  const [old, next] = [documentOf(before), documentOf(after)];
  const [oldMappings, nextMappings] = [namedIn(old, 'mappings'), namedIn(next, 'mappings')];
  const [oldServices, nextServices] = [namedIn(old, 'services'), namedIn(next, 'services')];
  // A service that comes or goes is named by no mapping that stays as it is: the policy would not be one.
  const services = new Set([...nextServices].filter(([name, text]) => (oldServices.get(name) ?? text) !== text).map(([name]) => name));
  const mappings = [...new Set([...oldMappings.keys(), ...nextMappings.keys()])].filter((name) => {
    const text = nextMappings.get(name);
    return text === undefined || text !== oldMappings.get(name) || namesService(text, services);
  });
  const keys = [...new Set([...Object.keys(old), ...Object.keys(next)])].filter((key) => key !== 'mappings' && key !== 'services');
  const others = keys.filter((key) => orderedText(old[key]) !== orderedText(next[key])).map((key) => partNames[key] ?? key);
  return { mappings: mappings.toSorted(), others };
};

/**
 * For who holds the scope for single mappings only: refuses a change that reaches anything else, and names it. Throws SCOPE_MISSING.
 */
export const refuseOtherMappings = (
  call: Pick<CallContext, 'isHeldFor'>,
  { before, after }: { readonly before: string; readonly after: string },
): void => {
  if (call.isHeldFor('')) return;
  const touch = touchOf(before, after);
  const reached = [...touch.mappings.filter((name) => !call.isHeldFor(name)).map((name) => `mapping ${name}`), ...touch.others];
  if (reached.length === 0) return;
  const more = reached.length > namesMax ? ` and ${String(reached.length - namesMax)} more` : '';
  throw new NestError(
    'SCOPE_MISSING',
    `You may change single mappings only, and this also changes ${reached.slice(0, namesMax).join(', ')}${more}. Leave those as they are, or ask an owner of the fleet.`,
    { details: { scope: 'mappings:write', reached: reached.slice(0, namesMax) } },
  );
};

const documentOf = (text: string): Fields => {
  try {
    const document: unknown = JSON.parse(text);
    return isFields(document) ? document : { document: text };
  } catch {
    // No JSON: nothing of it is like the other.
    return { document: text };
  }
};

const isFields = (value: unknown): value is Fields => typeof value === 'object' && value !== null && !Array.isArray(value);

/** Entries of a list by name, each as text; those without a name stand under their text. */
const namedIn = (document: Fields, list: string): ReadonlyMap<string, string> => {
  const entries = document[list];
  if (!Array.isArray(entries)) return new Map(entries === undefined ? [] : [[list, orderedText(entries)]]);
  return new Map(
    entries.map((entry: unknown) => [
      isFields(entry) && typeof entry['name'] === 'string' ? entry['name'] : orderedText(entry),
      orderedText(entry),
    ]),
  );
};

/** The same text for the same value, whatever the order of its keys. */
const orderedText = (value: unknown): string =>
  JSON.stringify(value, (_key, part: unknown) =>
    isFields(part) ? Object.fromEntries(Object.entries(part).toSorted(([a], [b]) => (a < b ? -1 : 1))) : part,
  ) ?? '';

/** True when a mapping (as text) names one of these services. */
const namesService = (mapping: string, services: ReadonlySet<string>): boolean => {
  const { name: _name, ...fields } = JSON.parse(mapping) as Fields;
  return services.size > 0 && textsIn(fields).some((text) => services.has(text));
};

/** Every text in a value. */
const textsIn = (value: unknown): readonly string[] => {
  if (typeof value === 'string') return [value];
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(textsIn) : [];
};
