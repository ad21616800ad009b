/** Mappings of a MarchProxy file. A mapping is never widened: what cannot be read leaves it out. */
import type { PolicyMapping, PolicyProtocol } from '../../../native/image/api.ts';
import { isSet, noteOtherFields } from './marchproxy-note.ts';
import type { ImportNote, Note } from './marchproxy-note.ts';
import { portInText, toPorts } from './marchproxy-port.ts';
import type { ImportedServices } from './marchproxy-services.ts';
import { knownMappingFields } from './marchproxy-shape.ts';
import type { MappingEntry } from './marchproxy-shape.ts';
import type { PolicyNames } from './policy-names.ts';

const priorityDefault = 100;
const priorityMax = 1000;

export interface MappingContext {
  readonly services: ImportedServices;
  readonly notes: ImportNote[];
  readonly names: PolicyNames;
  readonly position: number;
}

/** The mapping as one or two of a policy, or none with a note that says why. */
export const importMapping = (entry: MappingEntry, context: MappingContext): PolicyMapping[] => {
  const shown = entry.name === '' ? `mappings[${String(context.position)}]` : entry.name;
  const note = (code: string, message: string): void => void context.notes.push({ kind: 'mapping', name: shown, code, message });
  const { fields } = entry;
  const status = fields['approval_status'] ?? fields['status'];
  if (typeof status === 'string' && status !== 'approved' && status !== 'active') {
    note('NOT_APPROVED', `Its status is ${JSON.stringify(status.slice(0, 40))}, not approved: it was left out.`);
    return [];
  }
  if ([fields['enabled'], fields['is_active'], fields['active']].includes(false)) {
    note('NOT_ENABLED', 'It is switched off: it was left out.');
    return [];
  }
  const sources = resolveSide(entry.sources, { side: 'source', services: context.services, note });
  const destinations = resolveSide(entry.destinations, { side: 'destination', services: context.services, note });
  const protocols = protocolsOf(entry, note);
  const ports = portsOf(entry, context.services, note);
  if (sources.length === 0 || destinations.length === 0 || protocols.length === 0 || ports === undefined) {
    const what = sources.length === 0 ? 'source' : destinations.length === 0 ? 'destination' : protocols.length === 0 ? 'protocol' : 'port';
    note('MAPPING_LEFT_OUT', `It has no ${what} that a policy can express: it was left out.`);
    return [];
  }
  noteMappingFields(entry, note);
  const name = context.names.take(shown);
  if (name !== entry.name)
    note('NAME_CHANGED', `It is now called ${name}: names have letters, digits, dots, dashes and underscores, and are there once.`);
  const base = { sources, destinations, action: 'allow' as const, priority: priorityOf(entry, note) };
  if (!protocols.includes('icmp') || ports.length === 0) return [{ name, ...base, protocols, ports }];
  const ported = protocols.filter((protocol) => protocol !== 'icmp');
  if (ported.length === 0) return [{ name, ...base, protocols, ports: [] }];
  const icmpName = context.names.take(`${name}-icmp`);
  note('MAPPING_SPLIT', `ICMP has no ports: it became a mapping of its own, ${icmpName}.`);
  return [
    { name, ...base, protocols: ported, ports },
    { name: icmpName, ...base, protocols: ['icmp'], ports: [] },
  ];
};

const everyone = new Set(['external', 'all', 'any', '*']);

const resolveSide = (
  references: readonly string[],
  context: { readonly side: string; readonly services: ImportedServices; readonly note: Note },
): string[] => {
  const names = new Set<string>();
  for (const reference of references) {
    const service = context.services.byReference.get(reference);
    if (service !== undefined) names.add(service.name);
    else if (everyone.has(reference.toLowerCase())) names.add('any');
    else if (context.services.leftOut.has(reference))
      context.note('SERVICE_LEFT_OUT', `Its ${context.side} ${reference.slice(0, 63)} was left out of the policy.`);
    else context.note('SERVICE_UNKNOWN', `Its ${context.side} ${JSON.stringify(reference.slice(0, 63))} is not in the file.`);
  }
  return names.has('any') ? ['any'] : [...names];
};

const layer7 = new Set(['http', 'https', 'grpc', 'grpcs', 'ws', 'wss', 'http2', 'tls']);

const protocolsOf = (entry: MappingEntry, note: Note): PolicyProtocol[] => {
  const protocols = new Set<PolicyProtocol>();
  const reduced: string[] = [];
  for (const protocol of entry.protocols) {
    if (protocol === 'tcp' || protocol === 'udp' || protocol === 'icmp' || protocol === 'any') protocols.add(protocol);
    else if (everyone.has(protocol)) protocols.add('any');
    else if (layer7.has(protocol) || protocol === 'http3' || protocol === 'quic') {
      protocols.add(layer7.has(protocol) ? 'tcp' : 'udp');
      reduced.push(protocol);
    } else note('PROTOCOL_UNKNOWN', `Its protocol ${JSON.stringify(protocol.slice(0, 40))} is not known.`);
  }
  if (entry.protocols.length === 0) protocols.add('tcp');
  if (reduced.length > 0)
    note('PROTOCOL_REDUCED', `${reduced.join(', ')} became ${[...protocols].join(' and ')}: a policy does not look into the payload yet.`);
  return protocols.has('any') ? ['any'] : [...protocols];
};

/** Ports of the mapping, or those of its destinations; undefined when it names ports and none is valid. */
const portsOf = (entry: MappingEntry, services: ImportedServices, note: Note): string[] | undefined => {
  const ports = new Set<string>();
  const written = [...entry.ports, ...(isSet(entry.listenPort) ? [portInText(entry.listenPort)] : [])];
  for (const text of written) {
    if (everyone.has(text.toLowerCase())) return [];
    const port = toPorts(text);
    if (port === undefined) note('PORT_INVALID', `${JSON.stringify(text.slice(0, 40))} is not a port and was left out.`);
    else ports.add(port);
  }
  const servicePorts = entry.destinations.flatMap((reference) => services.byReference.get(reference)?.port ?? []);
  const translated = isSet(entry.listenPort) ? servicePorts.filter((port) => !ports.has(port)) : [];
  if (translated.length > 0)
    note(
      'PORT_TRANSLATION_NOT_EXPRESSIBLE',
      `It listens on ${portInText(entry.listenPort)} and forwards to ${[...new Set(translated)].join(', ')}: the address it listens on is not in the file, so all of them are allowed. Make a mapping that balances for that address.`,
    );
  if (written.length === 0 || isSet(entry.listenPort)) for (const port of servicePorts) ports.add(port);
  if (ports.size === 0 && written.length === 0) note('EVERY_PORT', 'Neither it nor its destinations name a port: every port is allowed.');
  return ports.size === 0 && written.length > 0 ? undefined : [...ports];
};

const priorityOf = (entry: MappingEntry, note: Note): number => {
  if (entry.priority === undefined || entry.priority === null) return priorityDefault;
  const priority = Number(entry.priority);
  if (Number.isInteger(priority) && priority >= 0 && priority <= priorityMax) return priority;
  const kept = Number.isFinite(priority) ? Math.min(priorityMax, Math.max(0, Math.round(priority))) : priorityDefault;
  note('PRIORITY_CHANGED', `Its priority became ${String(kept)}: a policy has whole numbers from 0 to 1000.`);
  return kept;
};

const noteMappingFields = (entry: MappingEntry, note: Note): void => {
  const { fields } = entry;
  if (isSet(fields['path_prefix']) && fields['path_prefix'] !== '/')
    note('PATH_NOT_EXPRESSIBLE', 'Its path prefix cannot be expressed yet: every path of the port is allowed.');
  if (isSet(fields['auth_required']) || isSet(fields['auth_type']))
    note('AUTH_NOT_EXPRESSIBLE', 'Its authentication cannot be expressed yet: the traffic is allowed without it.');
  if (isSet(fields['rate_limit']))
    note(
      'RATE_LIMIT_NOT_EXPRESSIBLE',
      'Its rate limit counts requests, which no packet shows: the traffic is not limited. Give the mapping a rateLimit of packets or bytes.',
    );
  if (isSet(fields['timeout']))
    note('TIMEOUT_NOT_EXPRESSIBLE', 'Its timeout cannot be expressed yet: flows idle out as docs/POLICY.md says.');
  if (isSet(fields['expires_at']))
    note('EXPIRY_NOT_EXPRESSIBLE', 'Its expiry cannot be expressed yet: the mapping stays until it is removed.');
  noteOtherFields(
    fields,
    [
      ...knownMappingFields,
      'path_prefix',
      'auth_required',
      'auth_type',
      'rate_limit',
      'timeout',
      'expires_at',
      'approval_status',
      'status',
      'enabled',
      'is_active',
      'active',
    ],
    note,
  );
};
