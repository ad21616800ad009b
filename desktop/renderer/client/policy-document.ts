/** The policy document as the editor holds it: the shape of docs/POLICY.md, perhaps with mistakes the core will name. */

export interface ServiceDraft {
  readonly name: string;
  readonly addresses: readonly string[];
}

export const protocolNames = ['tcp', 'udp', 'icmp', 'any'] as const;
export type ProtocolName = (typeof protocolNames)[number];

export interface MappingDraft {
  readonly name: string;
  readonly sources: readonly string[];
  readonly destinations: readonly string[];
  readonly protocols: readonly ProtocolName[];
  readonly ports?: readonly string[];
  readonly action: 'allow' | 'deny';
  readonly priority: number;
}

export interface PolicyDraft {
  readonly apiVersion: 'nest/v1';
  readonly kind: 'Policy';
  readonly defaultAction: 'allow' | 'deny';
  readonly services: readonly ServiceDraft[];
  readonly mappings: readonly MappingDraft[];
}

export const emptyPolicy: PolicyDraft = { apiVersion: 'nest/v1', kind: 'Policy', defaultAction: 'allow', services: [], mappings: [] };

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const isTexts = (value: unknown): boolean => Array.isArray(value) && value.every((entry) => typeof entry === 'string');
const isService = (value: unknown): boolean => isObject(value) && typeof value['name'] === 'string' && isTexts(value['addresses']);
const isMapping = (value: unknown): boolean =>
  isObject(value) &&
  typeof value['name'] === 'string' &&
  ['sources', 'destinations', 'protocols'].every((key) => isTexts(value[key])) &&
  (value['ports'] === undefined || isTexts(value['ports'])) &&
  typeof value['action'] === 'string' &&
  typeof value['priority'] === 'number';

/** The document in a text; null when tables cannot show it (then only the text can be edited). Unknown keys are kept. */
export const readPolicyText = (text: string): PolicyDraft | null => {
  try {
    const value: unknown = JSON.parse(text);
    if (!isObject(value)) return null;
    const { services, mappings } = value;
    const isShown = Array.isArray(services) && services.every(isService) && Array.isArray(mappings) && mappings.every(isMapping);
    return isShown && (value['defaultAction'] === 'allow' || value['defaultAction'] === 'deny') ? (value as unknown as PolicyDraft) : null;
  } catch {
    // Half-typed JSON is the normal state of an editor; the core names the mistake.
    return null;
  }
};

/** The text of a document, as it is planned, saved and shown. */
export const writePolicyText = (policy: PolicyDraft): string => JSON.stringify(policy, null, 2);

/** "mappings[3].ports[0]" in pieces; null for the whole document. */
export interface PolicyPlace {
  readonly list: 'services' | 'mappings';
  readonly index: number;
  readonly field: string | null;
  readonly entry: number | null;
}

export const readPolicyPath = (path: string): PolicyPlace | null => {
  const parts = /^(services|mappings)\[(\d+)\](?:\.([A-Za-z]+)(?:\[(\d+)\])?)?/.exec(path);
  if (parts === null) return null;
  const [, list, index, field, entry] = parts;
  return {
    list: list === 'services' ? 'services' : 'mappings',
    index: Number(index),
    field: field ?? null,
    entry: entry === undefined ? null : Number(entry),
  };
};

/** A name that no entry has yet: "web", "web-2", "web-3". */
export const freeName = (stem: string, taken: readonly { readonly name: string }[]): string => {
  const names = new Set(taken.map(({ name }) => name));
  let name = stem;
  for (let count = 2; names.has(name); count += 1) name = `${stem}-${String(count)}`;
  return name;
};
