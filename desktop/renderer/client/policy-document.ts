/** The policy document as the editor holds it: the shape of docs/POLICY.md, perhaps with mistakes the core will name. */

export interface ServiceDraft {
  readonly name: string;
  readonly addresses: readonly string[];
}

export const protocolNames = ['tcp', 'udp', 'icmp', 'any'] as const;
export type ProtocolName = (typeof protocolNames)[number];

export const backendStates = ['up', 'drain', 'down'] as const;
export type BackendState = (typeof backendStates)[number];

export interface BackendDraft {
  readonly name: string;
  readonly address: string;
  /** Absent = as in the packet. */
  readonly port?: number;
  /** Absent = 1. */
  readonly weight?: number;
  /** Absent = up. */
  readonly state?: BackendState;
}

export interface HealthCheckDraft {
  readonly kind: 'tcp' | 'http' | 'icmp';
  readonly path?: string;
  readonly intervalMs?: number;
  readonly timeoutMs?: number;
  readonly rise?: number;
  readonly fall?: number;
}

export interface RateLimitDraft {
  readonly packetsPerSecond?: number;
  readonly bytesPerSecond?: number;
  readonly burst?: number;
  readonly per?: 'mapping' | 'source';
}

export interface DenyListDraft {
  readonly name: string;
  /** Either these or a file. */
  readonly prefixes?: readonly string[];
  readonly file?: string;
  /** RFC 3339. */
  readonly expires?: string;
}

export interface ApprovalDraft {
  readonly justification: string;
  readonly ticket?: string;
  readonly requestedBy: string;
  readonly approvedBy?: string;
  readonly approvedAt?: string;
  /** RFC 3339. */
  readonly expiresAt?: string;
}

export interface MappingDraft {
  readonly name: string;
  readonly sources: readonly string[];
  readonly destinations: readonly string[];
  readonly protocols: readonly ProtocolName[];
  readonly ports?: readonly string[];
  readonly action: 'allow' | 'deny' | 'balance';
  readonly priority: number;
  readonly backends?: readonly BackendDraft[];
  readonly affinity?: 'none' | 'source';
  readonly nat?: 'dnat' | 'full' | 'dsr';
  readonly healthCheck?: HealthCheckDraft;
  readonly rateLimit?: RateLimitDraft;
  readonly dscp?: 'P0' | 'P1' | 'P2' | 'P3';
  /** "masquerade" or an address. */
  readonly sourceNat?: string;
  readonly approval?: ApprovalDraft;
}

export interface PolicyDraft {
  readonly apiVersion: 'nest/v1';
  readonly kind: 'Policy';
  readonly defaultAction: 'allow' | 'deny';
  readonly services: readonly ServiceDraft[];
  readonly mappings: readonly MappingDraft[];
  readonly denyLists?: readonly DenyListDraft[];
}

export const emptyPolicy: PolicyDraft = { apiVersion: 'nest/v1', kind: 'Policy', defaultAction: 'allow', services: [], mappings: [] };

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const isTexts = (value: unknown): boolean => Array.isArray(value) && value.every((entry) => typeof entry === 'string');
const isService = (value: unknown): boolean => isObject(value) && typeof value['name'] === 'string' && isTexts(value['addresses']);
const isNamed = (value: unknown): boolean => isObject(value) && typeof value['name'] === 'string';
const isAbsentOr = (value: unknown, isRight: (value: unknown) => boolean): boolean => value === undefined || isRight(value);
const isDenyList = (value: unknown): boolean => isNamed(value) && isObject(value) && isAbsentOr(value['prefixes'], isTexts);
const isBackends = (value: unknown): boolean =>
  Array.isArray(value) && value.every((entry) => isNamed(entry) && isObject(entry) && typeof entry['address'] === 'string');
const isApproval = (value: unknown): boolean =>
  isObject(value) && typeof value['justification'] === 'string' && typeof value['requestedBy'] === 'string';
const isMapping = (value: unknown): boolean =>
  isObject(value) &&
  isAbsentOr(value['backends'], isBackends) &&
  isAbsentOr(value['healthCheck'], isObject) &&
  isAbsentOr(value['rateLimit'], isObject) &&
  isAbsentOr(value['approval'], isApproval) &&
  isAbsentOr(value['sourceNat'], (text) => typeof text === 'string') &&
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
    const { services, mappings, denyLists = [] } = value;
    const isListOf = (list: unknown, isEntry: (entry: unknown) => boolean): boolean => Array.isArray(list) && list.every(isEntry);
    const isShown = isListOf(services, isService) && isListOf(mappings, isMapping) && isListOf(denyLists, isDenyList);
    return isShown && (value['defaultAction'] === 'allow' || value['defaultAction'] === 'deny') ? (value as unknown as PolicyDraft) : null;
  } catch {
    // Half-typed JSON is the normal state of an editor; the core names the mistake.
    return null;
  }
};

/** The text of a document, as it is planned, saved and shown. */
export const writePolicyText = (policy: PolicyDraft): string => JSON.stringify(policy, null, 2);

export const policyLists = ['services', 'mappings', 'denyLists'] as const;
export type PolicyListName = (typeof policyLists)[number];

/** "mappings[3].backends[0].address" in pieces; null for the whole document. */
export interface PolicyPlace {
  readonly list: PolicyListName;
  readonly index: number;
  readonly field: string | null;
  readonly entry: number | null;
  /** Of an entry or an object: "address", "burst". */
  readonly part: string | null;
}

export const readPolicyPath = (path: string): PolicyPlace | null => {
  const parts = /^(\w+)\[(\d+)\](?:\.([A-Za-z0-9]+)(?:\[(\d+)\])?(?:\.([A-Za-z0-9]+))?)?/.exec(path);
  const [, listName, index, field, entry, part] = parts ?? [];
  const list = policyLists.find((name) => name === listName);
  if (list === undefined) return null;
  return { list, index: Number(index), field: field ?? null, entry: entry === undefined ? null : Number(entry), part: part ?? null };
};

/** The policy with a backend changed; null when it has no such backend. */
export const withBackend = (
  policy: PolicyDraft,
  place: { readonly mapping: string; readonly backend: string },
  change: Pick<BackendDraft, 'state' | 'weight'>,
): PolicyDraft | null => {
  const target = policy.mappings.find(({ name }) => name === place.mapping);
  if (target?.backends?.some(({ name }) => name === place.backend) !== true) return null;
  const backends = target.backends.map((backend) => (backend.name === place.backend ? { ...backend, ...change } : backend));
  return { ...policy, mappings: policy.mappings.map((mapping) => (mapping === target ? { ...mapping, backends } : mapping)) };
};

/** A name that no entry has yet: "web", "web-2", "web-3". */
export const freeName = (stem: string, taken: readonly { readonly name: string }[]): string => {
  const names = new Set(taken.map(({ name }) => name));
  let name = stem;
  for (let count = 2; names.has(name); count += 1) name = `${stem}-${String(count)}`;
  return name;
};
