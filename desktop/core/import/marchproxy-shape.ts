/**
 * The four shapes in which MarchProxy writes services and mappings, read into one. They differ in how a mapping names its
 * services and ports: the import file uses names and listen_port; the server texts of ids and ports, or "all"; the legacy
 * manager JSON lists of ids and ports; the Go client ids and a single port text.
 */

export type MarchProxyShape = 'import-file' | 'server' | 'legacy' | 'client';

export interface ServiceEntry {
  /** As in the file; empty when it has none. */
  readonly name: string;
  readonly id: string | undefined;
  readonly address: string;
  readonly port: unknown;
  readonly fields: Readonly<Record<string, unknown>>;
}

export interface MappingEntry {
  readonly name: string;
  readonly shape: MarchProxyShape;
  /** Names or ids of services, or "external", "all". */
  readonly sources: readonly string[];
  readonly destinations: readonly string[];
  readonly protocols: readonly string[];
  /** Ports as texts: "443", "8000-8100". */
  readonly ports: readonly string[];
  readonly listenPort: unknown;
  readonly priority: unknown;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** A service entry, from any shape. */
export const readService = (value: unknown): ServiceEntry => {
  const fields = toRecord(value);
  return {
    name: toText(fields['name']),
    id: toId(fields['id'] ?? fields['service_id']),
    address: toText(fields['ip_fqdn'] ?? fields['address'] ?? fields['host']).trim(),
    port: fields['port'],
    fields,
  };
};

/** A mapping entry, from any shape. */
export const readMapping = (value: unknown): MappingEntry => {
  const fields = toRecord(value);
  return {
    name: toText(fields['name'] ?? fields['id']),
    shape: shapeOf(fields),
    sources: toList(fields['source_services'] ?? fields['sources']),
    destinations: toList(fields['dest_services'] ?? fields['destination_services'] ?? fields['destinations']),
    protocols: toList(fields['protocols'] ?? fields['protocol']).map((protocol) => protocol.toLowerCase()),
    ports: toList(fields['ports'] ?? fields['port']),
    listenPort: fields['listen_port'],
    priority: fields['priority'],
    fields,
  };
};

/** Fields that {@link readService} and {@link readMapping} understand; all others are reported as not kept. */
export const knownServiceFields = ['name', 'id', 'service_id', 'ip_fqdn', 'address', 'host', 'port'];
export const knownMappingFields = [
  'name',
  'id',
  'source_services',
  'sources',
  'dest_services',
  'destination_services',
  'destinations',
  'protocols',
  'protocol',
  'ports',
  'port',
  'listen_port',
  'priority',
];

const shapeOf = (fields: Readonly<Record<string, unknown>>): MarchProxyShape => {
  const sources = fields['source_services'] ?? fields['sources'];
  if (typeof fields['port'] === 'string') return 'client';
  if (typeof sources === 'string' && !sources.trim().startsWith('[')) return 'server';
  const isNamed = Array.isArray(sources) && sources.some((entry) => typeof entry === 'string' && !/^[0-9]+$/.test(entry));
  return 'listen_port' in fields || (isNamed && !('ports' in fields)) ? 'import-file' : 'legacy';
};

/** A list from a list, from JSON in a text, or from a text with commas; entries as trimmed texts. */
const toList = (value: unknown): readonly string[] => {
  if (typeof value === 'string' && value.trim().startsWith('[')) return toList(parseJson(value));
  const entries: readonly unknown[] = Array.isArray(value)
    ? value
    : typeof value === 'string'
      ? value.split(',')
      : value === undefined || value === null
        ? []
        : [value];
  return entries.map((entry) => portText(entry)).filter((entry) => entry !== '');
};

/** The legacy manager writes ranges as objects. */
const portText = (entry: unknown): string => {
  const range = toRecord(entry);
  const first = range['start'] ?? range['from'];
  const last = range['end'] ?? range['to'];
  return first === undefined || last === undefined ? toText(entry).trim() : `${toText(first)}-${toText(last)}`;
};

const parseJson = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    // Not JSON after all: the text itself then fails as a name or port, and is reported.
    return [text];
  }
};

const toId = (value: unknown): string | undefined =>
  typeof value === 'number' || (typeof value === 'string' && value !== '') ? String(value) : undefined;

const toText = (value: unknown): string => {
  if (typeof value === 'string') return value;
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : '';
};

const toRecord = (value: unknown): Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Readonly<Record<string, unknown>>) : {};
