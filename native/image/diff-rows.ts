/** Entries of a policy as the rows in which a difference shows them: canonical, so that order, repetition and spelling do not count. */
import { completeHealthCheck, masquerade } from './action-schema.ts';
import { formatAddress, formatPrefix, parseAddress, parsePrefix } from './address.ts';
import type { PolicyApproval } from './approval-schema.ts';
import type { PolicyDenyList } from './deny-schema.ts';
import { portRangesOf } from './port-range.ts';
import type { CheckedBackend, CheckedMapping, CheckedRateLimit, PolicyService } from './policy-schema.ts';
import { sideOf } from './traffic-match.ts';

/** A row has one or more fields, and is known by the name of the first. */
export type Row = readonly [Field, ...Field[]];
export type Rows = readonly Row[];
export type Field = readonly [name: string, value: string];

/** Longer lists of denied prefixes are told by their first entries, their number and a check sum. */
const prefixesShown = 20;

/** Rows of a service. */
export const serviceRows = (service: PolicyService): Rows => [
  [['name', service.name]],
  [['addresses', `[${canonicalAddresses(service.addresses).join(', ')}]`]],
];

/** Rows of a mapping. */
export const mappingRows = (mapping: CheckedMapping): Rows => {
  const ports = portRangesOf(mapping.ports).map(({ first, last }) =>
    first === last ? `"${String(first)}"` : `"${String(first)}-${String(last)}"`,
  );
  const protocols: Field = ['protocols', `[${sideOf(mapping.protocols).join(', ')}]`];
  return [
    [['name', mapping.name]],
    [['sources', `[${sideOf(mapping.sources).join(', ')}]`]],
    [['destinations', `[${sideOf(mapping.destinations).join(', ')}]`]],
    ports.length === 0 ? [protocols] : [protocols, ['ports', `[${ports.join(', ')}]`]],
    [
      ['action', mapping.action],
      ['priority', String(mapping.priority)],
    ],
    ...balanceRows(mapping),
    ...(mapping.rateLimit === undefined ? [] : [single('rateLimit', limitText(mapping.rateLimit))]),
    ...(mapping.dscp === undefined ? [] : [single('dscp', mapping.dscp)]),
    ...(mapping.sourceNat === undefined ? [] : [single('sourceNat', canonicalHost(mapping.sourceNat))]),
    ...(mapping.approval === undefined ? [] : approvalRows(mapping.approval)),
  ];
};

/** Rows of a deny list. */
export const denyListRows = (list: PolicyDenyList): Rows => [
  [['name', list.name]],
  ...(list.prefixes === undefined ? [] : [single('prefixes', prefixesText(list.prefixes))]),
  ...(list.file === undefined ? [] : [single('file', list.file)]),
  ...(list.expires === undefined ? [] : [single('expires', list.expires)]),
];

const single = (name: string, value: string): Row => [[name, value]];

const balanceRows = (mapping: CheckedMapping): Row[] => {
  if (mapping.action !== 'balance') return [];
  const backends = [...(mapping.backends ?? [])].sort((a, b) => (a.name < b.name ? -1 : 1));
  const check = mapping.healthCheck === undefined ? undefined : completeHealthCheck(mapping.healthCheck);
  const rows: Row[] = [
    [
      ['nat', mapping.nat ?? 'dnat'],
      ['affinity', mapping.affinity ?? 'none'],
    ],
    ...backends.map((backend) => single(`backend ${backend.name}`, backendText(backend))),
  ];
  if (check === undefined) return rows;
  const what = check.path === '' ? check.kind : `${check.kind} ${check.path}`;
  const when = `every ${String(check.intervalMs)} ms, timeout ${String(check.timeoutMs)} ms`;
  return [...rows, single('healthCheck', `${what} ${when}, rise ${String(check.rise)}, fall ${String(check.fall)}`)];
};

const backendText = ({ address, port, weight, state }: CheckedBackend): string => {
  const host = canonicalHost(address);
  const endpoint = port === undefined ? host : `${host.includes(':') ? `[${host}]` : host}:${String(port)}`;
  return `${endpoint}, weight ${String(weight)}, ${state}`;
};

const limitText = ({ packetsPerSecond, bytesPerSecond, burst, per }: CheckedRateLimit): string =>
  [
    ...(packetsPerSecond === undefined ? [] : [`${String(packetsPerSecond)} packets/s`]),
    ...(bytesPerSecond === undefined ? [] : [`${String(bytesPerSecond)} bytes/s`]),
    ...(burst === undefined ? [] : [`burst ${String(burst)}`]),
    `per ${per}`,
  ].join(', ');

const approvalRows = ({ justification, ticket, requestedBy, approvedBy, approvedAt, expiresAt }: PolicyApproval): Row[] => [
  single('requested', `by ${requestedBy}${ticket === undefined ? '' : ` (${ticket})`}: ${justification}`),
  single('approved', approvedBy === undefined ? 'not yet' : `by ${approvedBy}${approvedAt === undefined ? '' : ` at ${approvedAt}`}`),
  ...(expiresAt === undefined ? [] : [single('ends', expiresAt)]),
];

const prefixesText = (prefixes: readonly string[]): string => {
  const all = canonicalAddresses(prefixes);
  if (all.length <= prefixesShown) return `[${all.join(', ')}]`;
  const shown = all.slice(0, prefixesShown).join(', ');
  return `[${shown}, and ${(all.length - prefixesShown).toLocaleString('en-US')} more; check sum ${checkSum(all)}]`;
};

/** Differs, as good as always, when the lists do. */
const checkSum = (texts: readonly string[]): string => {
  let hash = 0x811c_9dc5;
  for (const text of texts) {
    for (let position = 0; position < text.length; position++) hash = Math.imul(hash ^ text.charCodeAt(position), 0x0100_0193);
    hash = Math.imul(hash ^ 0x0a, 0x0100_0193);
  }
  return (hash >>> 0).toString(16).padStart(8, '0');
};

const canonicalAddresses = (texts: readonly string[]): readonly string[] =>
  [
    ...new Set(
      texts.map((text) => {
        const prefix = parsePrefix(text);
        return prefix === undefined ? text : formatPrefix(prefix);
      }),
    ),
  ].sort();

const canonicalHost = (text: string): string => {
  const address = text === masquerade ? undefined : parseAddress(text);
  return address === undefined ? text : formatAddress(address);
};
