/** Parses one document after another, and checks only the mappings that have changed since the last. */
import { fieldOf, listIn, textIn } from './document-fields.ts';
import { parsePolicy, tryPolicy } from './policy.ts';
import type { CheckedMapping, Policy, PolicyService } from './policy-schema.ts';
import { isSameValue } from './same-value.ts';

export interface PolicyReader {
  /** As `parsePolicy`: the same policy or refusal. Entries that have not changed are the same objects as in the policy before. */
  parse(input: unknown): Policy;
}

/** More changed mappings than this are parsed from scratch. */
const changesMax = 256;
const documentKeys = ['apiVersion', 'kind', 'defaultAction', 'services', 'mappings', 'denyLists'];

/** A reader that keeps the last policy. */
export const createPolicyReader = (): PolicyReader => {
  let last: Policy | undefined;
  let services = new Map<string, PolicyService>();
  return {
    parse: (input) => {
      const before = last;
      const policy = (before === undefined ? undefined : advance(before, input, services)) ?? parsePolicy(input);
      if (policy.services !== before?.services) services = new Map(policy.services.map((service) => [service.name, service]));
      last = policy;
      return policy;
    },
  };
};

/** The policy of a document that differs from the one before in some mappings of the same names; undefined when it differs in more, or is refused. */
const advance = (before: Policy, input: unknown, services: ReadonlyMap<string, PolicyService>): Policy | undefined => {
  const defaultAction = fieldOf(input, 'defaultAction');
  if (typeof input !== 'object' || input === null || (defaultAction !== 'allow' && defaultAction !== 'deny')) return undefined;
  if (Object.keys(input).some((key) => !documentKeys.includes(key))) return undefined;
  const denyLists = fieldOf(input, 'denyLists');
  const isSameAround =
    fieldOf(input, 'apiVersion') === before.apiVersion &&
    fieldOf(input, 'kind') === before.kind &&
    isSameValue(fieldOf(input, 'services'), before.services) &&
    isSameValue(denyLists === undefined ? [] : denyLists, before.denyLists);
  const told = listIn(input, 'mappings');
  if (!isSameAround || told.length !== before.mappings.length || !Array.isArray(fieldOf(input, 'mappings'))) return undefined;
  const changed: number[] = [];
  for (const [position, mapping] of told.entries()) {
    const known = before.mappings[position];
    if (known === undefined || textIn(mapping, 'name') !== known.name) return undefined;
    if (!isSameMapping(mapping, known)) changed.push(position);
    if (changed.length > changesMax) return undefined;
  }
  const checked = checkAlone(
    changed.map((position) => told[position]),
    services,
  );
  if (checked === undefined) return undefined;
  const mappings = [...before.mappings];
  for (const [index, position] of changed.entries()) {
    const mapping = checked[index];
    if (mapping !== undefined) mappings[position] = mapping;
  }
  return Object.freeze({ ...before, defaultAction, mappings: Object.freeze(mappings) });
};

/** Ports that are absent were completed when the mapping was parsed. */
const isSameMapping = (told: unknown, known: CheckedMapping): boolean => {
  if (isSameValue(told, known)) return true;
  if (known.ports.length > 0 || typeof told !== 'object' || told === null || Object.hasOwn(told, 'ports')) return false;
  return isSameValue({ ...told, ports: [] }, known);
};

/** The mappings, checked as in a document with the services they name; undefined when there is any problem. */
const checkAlone = (mappings: readonly unknown[], services: ReadonlyMap<string, PolicyService>): readonly CheckedMapping[] | undefined => {
  const named = new Map<string, PolicyService>();
  for (const mapping of mappings) {
    for (const name of [...listIn(mapping, 'sources'), ...listIn(mapping, 'destinations')]) {
      const service = typeof name === 'string' ? services.get(name) : undefined;
      if (service !== undefined) named.set(service.name, service);
    }
  }
  const document = { apiVersion: 'nest/v1', kind: 'Policy', defaultAction: 'deny', services: [...named.values()], mappings };
  return tryPolicy(document)?.mappings;
};
