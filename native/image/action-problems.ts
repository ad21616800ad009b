/** Contradictions in what a mapping does beyond allow and deny, and in deny lists. Looks at documents of any shape. */
import { completeHealthCheck, masquerade } from './action-schema.ts';
import { formatAddress, parseAddress } from './address.ts';
import type { Address } from './address.ts';
import { fieldOf, listIn, numberIn, textIn } from './document-fields.ts';
import { burstBytesMin, burstPacketsMax } from './limits.ts';
import type { Report } from './policy-problem.ts';
import { portRangesOf } from './port-range.ts';
import type { PortRange } from './port-range.ts';
import type { ServiceNetworks } from './service-networks.ts';

interface Context {
  readonly networks: ServiceNetworks;
  readonly report: Report;
}

/** Fields that only a balancing mapping may have. */
const balanceFields = ['backends', 'affinity', 'nat', 'healthCheck'] as const;

/** Checks one mapping. */
export const checkTreatment = (mapping: unknown, path: string, context: Context): void => {
  const { report } = context;
  const action = textIn(mapping, 'action');
  if (action === 'balance') checkBalance(mapping, path, context);
  else if (action !== undefined) {
    for (const field of balanceFields) {
      if (fieldOf(mapping, field) === undefined) continue;
      report(
        `${path}.${field}`,
        'NEEDS_BALANCE',
        `Only a mapping with "action": "balance" has ${field}: change the action, or remove ${field}.`,
      );
    }
  }
  if (fieldOf(mapping, 'rateLimit') !== undefined) checkRateLimit(fieldOf(mapping, 'rateLimit'), `${path}.rateLimit`, report);
  if (fieldOf(mapping, 'sourceNat') !== undefined) checkSourceNat(mapping, path, context);
};

const checkBalance = (mapping: unknown, path: string, context: Context): void => {
  const { report } = context;
  if (fieldOf(mapping, 'backends') === undefined)
    report(`${path}.backends`, 'BACKENDS_MISSING', 'A balancing mapping needs backends: add at least one with a name and an address.');
  const ports = portRangesOf(listIn(mapping, 'ports').filter((entry) => typeof entry === 'string'));
  const protocols = listIn(mapping, 'protocols');
  for (const [position, protocol] of protocols.entries()) {
    const isAnyProtocol = protocol === 'any' && ports.length === 0;
    if (protocol === 'icmp' || isAnyProtocol)
      report(
        `${path}.protocols[${String(position)}]`,
        'BALANCE_PROTOCOL',
        `A balancer takes "tcp" and "udp": name them, and make a mapping of its own for ${isAnyProtocol ? 'the others' : 'icmp'}.`,
      );
  }
  checkBackends(mapping, `${path}.backends`, { ...context, ports });
  const check = fieldOf(mapping, 'healthCheck');
  if (check !== undefined) checkHealth(check, `${path}.healthCheck`, { mapping, ports, report });
};

const checkBackends = (mapping: unknown, path: string, context: Context & { readonly ports: readonly PortRange[] }): void => {
  const { networks, ports, report } = context;
  const destinations = listIn(mapping, 'destinations').filter((name) => typeof name === 'string');
  const isDirect = textIn(mapping, 'nat') === 'dsr';
  const seen = new Map<string, number>();
  for (const [position, backend] of listIn(mapping, 'backends').entries()) {
    const here = `${path}[${String(position)}]`;
    const address = parseAddress(textIn(backend, 'address') ?? '');
    const port = numberIn(backend, 'port');
    if (isDirect && port !== undefined && !isOnlyPort(ports, port)) {
      const message = 'Direct server return does not change the port: remove it, or let the mapping have this port alone.';
      report(`${here}.port`, 'DSR_PORT', message);
    }
    if (address === undefined) continue;
    const endpoint = `${formatAddress(address)} ${String(port ?? 0)}`;
    const earlier = seen.get(endpoint);
    if (earlier === undefined) seen.set(endpoint, position);
    else
      report(
        here,
        'BACKEND_REPEATED',
        `The backend at ${path}[${String(earlier)}] has the same address and port: remove one, or raise its weight.`,
      );
    checkBackendAddress(address, here, { networks, report, destinations, keepsPort: isDirect || keepsPort(ports, port) });
  }
};

const checkBackendAddress = (
  address: Address,
  path: string,
  context: Context & { readonly destinations: readonly string[]; readonly keepsPort: boolean },
): void => {
  const { networks, report, destinations } = context;
  const family = address.family === 4 ? 'IPv4' : 'IPv6';
  if (destinations.length > 0 && !networks.hasFamily(destinations, address.family))
    report(
      `${path}.address`,
      'BACKEND_FAMILY',
      `No destination of the mapping has an ${family} address, so this backend would never be asked: add one, or remove the backend.`,
    );
  if (context.keepsPort && networks.holds(destinations, address))
    report(
      `${path}.address`,
      'BACKEND_IS_DESTINATION',
      `${formatAddress(address)} is itself a destination of the mapping: take it out of the destinations, or give the backend another port.`,
    );
};

/** True when the mapping has this one port and no other. */
const isOnlyPort = ([range, second]: readonly PortRange[], port: number): boolean =>
  second === undefined && range !== undefined && range.first === port && range.last === port;

/** True when a packet to the mapping's ports may keep its port. */
const keepsPort = (ports: readonly PortRange[], port: number | undefined): boolean =>
  port === undefined || ports.length === 0 || ports.some(({ first, last }) => first <= port && port <= last);

const checkHealth = (
  check: unknown,
  path: string,
  context: { readonly mapping: unknown; readonly ports: readonly PortRange[]; readonly report: Report },
): void => {
  const { report } = context;
  const kind = textIn(check, 'kind');
  if (kind !== undefined && kind !== 'http' && fieldOf(check, 'path') !== undefined)
    report(`${path}.path`, 'PATH_WITHOUT_HTTP', 'Only an http check has a path: remove it, or write "kind": "http".');
  const { intervalMs, timeoutMs } = completeHealthCheck({
    kind: 'tcp',
    intervalMs: numberIn(check, 'intervalMs'),
    timeoutMs: numberIn(check, 'timeoutMs'),
  });
  if (timeoutMs > intervalMs)
    report(
      `${path}.timeoutMs`,
      'TIMEOUT_TOO_LONG',
      `The timeout must not exceed the interval: write at most ${String(intervalMs)}, or a longer interval.`,
    );
  if (kind === 'icmp' || context.ports.length > 0) return;
  const unknown = listIn(context.mapping, 'backends').findIndex((backend) => fieldOf(backend, 'port') === undefined);
  if (unknown >= 0)
    report(
      path,
      'HEALTH_CHECK_PORT',
      `Neither the mapping nor its backend ${String(unknown)} names a port, so the check has none to ask: name it, or write "kind": "icmp".`,
    );
};

const checkRateLimit = (limit: unknown, path: string, report: Report): void => {
  if (typeof limit !== 'object' || limit === null || Array.isArray(limit)) return;
  const packets = fieldOf(limit, 'packetsPerSecond');
  const bytes = fieldOf(limit, 'bytesPerSecond');
  if (packets === undefined && bytes === undefined)
    report(path, 'RATE_LIMIT_EMPTY', 'A rate limit needs packetsPerSecond or bytesPerSecond: add one, or remove the limit.');
  const burst = numberIn(limit, 'burst');
  if (burst === undefined) return;
  if (packets !== undefined && burst > burstPacketsMax)
    report(
      `${path}.burst`,
      'NUMBER_OUT_OF_RANGE',
      `The burst is in packets here: write at most ${burstPacketsMax.toLocaleString('en-US')}.`,
    );
  if (packets === undefined && bytes !== undefined && burst >= 1 && burst < burstBytesMin)
    report(
      `${path}.burst`,
      'NUMBER_OUT_OF_RANGE',
      `Without packetsPerSecond the burst is in bytes, and must hold a packet: write at least ${String(burstBytesMin)}.`,
    );
};

const checkSourceNat = (mapping: unknown, path: string, { networks, report }: Context): void => {
  if (textIn(mapping, 'action') === 'balance')
    report(
      `${path}.sourceNat`,
      'SOURCE_NAT_WITH_BALANCE',
      'A balancing mapping translates the source with "nat": "full": write that, and remove sourceNat.',
    );
  const text = textIn(mapping, 'sourceNat') ?? '';
  const address = text === masquerade ? undefined : parseAddress(text);
  if (address === undefined) return;
  for (const side of ['sources', 'destinations']) {
    const names = listIn(mapping, side).filter((name) => typeof name === 'string');
    if (names.length === 0 || networks.hasFamily(names, address.family)) continue;
    const family = address.family === 4 ? 'IPv4' : 'IPv6';
    report(
      `${path}.sourceNat`,
      'SOURCE_NAT_FAMILY',
      `None of the ${side} has an ${family} address, so nothing would ever be sent from ${formatAddress(address)}: write an address of the other family.`,
    );
    return;
  }
};

/** Checks that each list has its prefixes from one place. */
export const checkDenyLists = (lists: readonly unknown[], report: Report): void => {
  for (const [position, list] of lists.entries()) {
    if (typeof list !== 'object' || list === null || Array.isArray(list)) continue;
    const path = `denyLists[${String(position)}]`;
    const hasPrefixes = fieldOf(list, 'prefixes') !== undefined;
    const hasFile = fieldOf(list, 'file') !== undefined;
    if (hasPrefixes && hasFile)
      report(path, 'DENY_LIST_SOURCE', 'A deny list has prefixes or a file, not both: remove one, or make two lists.');
    if (!hasPrefixes && !hasFile) report(path, 'DENY_LIST_SOURCE', 'A deny list needs prefixes or the name of a file: add one of them.');
  }
};
