/** Addresses inside the console: every name that is shown leads somewhere. */
import { withFlowTerm } from '../../bridge/flow-grammar.ts';
import type { FlowRow } from '../../bridge/model.ts';

export const hostTabs = ['overview', 'interfaces', 'flows', 'policy', 'balancers', 'deny-lists', 'limits', 'history'] as const;
export type HostTab = (typeof hostTabs)[number];

const withSearch = (path: string, parameters: Readonly<Record<string, string | undefined>>): string => {
  const search = new URLSearchParams();
  for (const [key, value] of Object.entries(parameters)) if (value !== undefined && value !== '') search.set(key, value);
  const text = search.toString();
  return text === '' ? path : `${path}?${text}`;
};

export const hostLink = (hostId: string, tab: HostTab = 'overview'): string => `/hosts/${hostId}/${tab}`;

/** A new group: of the hosts that fit a rule, or of those that are selected. */
export const groupLink = ({ rule, isOfSelected = false }: { readonly rule?: string; readonly isOfSelected?: boolean }): string =>
  withSearch('/groups', { new: isOfSelected ? 'selected' : 'rule', rule });

/** The hosts that fit a query. */
export const hostsLink = (filter: string): string => withSearch('/hosts', { filter });

/** The mapping in the host's policy. */
export const mappingLink = (hostId: string, mapping: string): string => withSearch(`/hosts/${hostId}/policy`, { mapping });

/** Terms of the flow filter by key. */
export interface FlowFilter {
  readonly addr?: string;
  readonly src?: string;
  readonly dst?: string;
  readonly port?: string;
  readonly mapping?: string;
  readonly verdict?: 'allowed' | 'denied';
  readonly reason?: string;
  readonly if?: string;
  readonly last?: string;
}

/** The text of a flow filter. */
export const flowFilterText = (filter: FlowFilter): string =>
  Object.entries(filter).reduce<string>((text, [key, value]) => withFlowTerm(text, key, typeof value === 'string' ? value : null), '');

/** Flows of a host, filtered. */
export const flowsLink = (hostId: string, filter: FlowFilter = {}): string =>
  withSearch(`/hosts/${hostId}/flows`, { q: flowFilterText(filter) });

/** A deny list of the host. */
export const denyListLink = (hostId: string, list: string): string => withSearch(`/hosts/${hostId}/deny-lists`, { list });

/** A balancing mapping of the host. */
export const balancerLink = (hostId: string, mapping: string): string => withSearch(`/hosts/${hostId}/balancers`, { mapping });

/** The tracer, filled in with the first packet of a flow. */
export const traceFlowLink = (hostId: string, flow: FlowRow): string =>
  withSearch('/trace', {
    host: hostId,
    interface: flow.interface,
    protocol: flow.protocol.toLowerCase().startsWith('icmp') ? 'icmp' : flow.protocol.toLowerCase(),
    source: flow.source,
    sourcePort: hasPorts(flow.protocol) && flow.sourcePort > 0 ? String(flow.sourcePort) : undefined,
    destination: flow.destination,
    destinationPort: hasPorts(flow.protocol) && flow.destinationPort > 0 ? String(flow.destinationPort) : undefined,
  });

/** ICMP keeps its identifier where others keep ports. */
export const hasPorts = (protocol: string): boolean => !protocol.toLowerCase().startsWith('icmp');

/** "198.18.9.12 tcp/5432" is the end of a flow as the console writes it; IPv6 gets brackets before a port. */
export const endpointText = (address: string, port: number, protocol = ''): string =>
  port === 0 || !hasPorts(protocol) ? address : address.includes(':') ? `[${address}]:${String(port)}` : `${address}:${String(port)}`;
