/** Addresses inside the console: every name that is shown leads somewhere. */
import type { FlowRow } from '../../bridge/model.ts';

export const hostTabs = ['overview', 'interfaces', 'flows', 'policy', 'history'] as const;
export type HostTab = (typeof hostTabs)[number];

const withSearch = (path: string, parameters: Readonly<Record<string, string | undefined>>): string => {
  const search = new URLSearchParams();
  for (const [key, value] of Object.entries(parameters)) if (value !== undefined && value !== '') search.set(key, value);
  const text = search.toString();
  return text === '' ? path : `${path}?${text}`;
};

export const hostLink = (hostId: string, tab: HostTab = 'overview'): string => `/hosts/${hostId}/${tab}`;

/** The mapping in the host's policy. */
export const mappingLink = (hostId: string, mapping: string): string => withSearch(`/hosts/${hostId}/policy`, { mapping });

export interface FlowFilter {
  readonly address?: string;
  readonly port?: string;
  readonly mapping?: string;
  readonly verdict?: 'allowed' | 'denied';
}

/** Flows of a host, filtered. */
export const flowsLink = (hostId: string, filter: FlowFilter = {}): string => withSearch(`/hosts/${hostId}/flows`, { ...filter });

/** The tracer, filled in with the first packet of a flow. */
export const traceFlowLink = (hostId: string, flow: FlowRow): string =>
  withSearch('/trace', {
    host: hostId,
    interface: flow.interface,
    protocol: flow.protocol.toLowerCase().startsWith('icmp') ? 'icmp' : flow.protocol.toLowerCase(),
    source: flow.source,
    sourcePort: flow.sourcePort > 0 ? String(flow.sourcePort) : undefined,
    destination: flow.destination,
    destinationPort: flow.destinationPort > 0 ? String(flow.destinationPort) : undefined,
  });

/** "198.18.9.12 tcp/5432" is the end of a flow as the console writes it; IPv6 gets brackets before a port. */
export const endpointText = (address: string, port: number): string =>
  port === 0 ? address : address.includes(':') ? `[${address}]:${String(port)}` : `${address}:${String(port)}`;
