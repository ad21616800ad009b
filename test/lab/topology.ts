/**
 * The lab on paper: namespaces, links and addresses of a client side and a server side with three hosts that route
 * between them. Pure data and the `ip -batch` texts that make it real; nothing here touches the machine.
 */

export const labHostCount = 3;
export const vlanId = 120;
export const grpcPort = 50051;
export const metricsPort = 9090;
/** Ports the server side listens on. */
export const serverPorts = { http: 80, httpAlternate: 8080, tcpSink: 9000, udpEcho: 5300, iperf: 5201, web: 8000 } as const;
/** Real servers behind each host, for balancing: processes that can be stopped and started one by one. */
export const webServers = ['web-1', 'web-2', 'web-3'] as const;

export const clientNamespace = 'nest-client';
export const serverNamespace = 'nest-server';

export interface HostAddresses {
  /** 1..3 */
  readonly number: number;
  readonly name: string;
  readonly namespace: string;
  /** The console's end of the management link, in the root namespace. */
  readonly consoleLink: string;
  readonly consoleAddress: string;
  readonly managementAddress: string;
  readonly client4: string;
  readonly client6: string;
  readonly server4: string;
  readonly server6: string;
  /** Addresses of the web servers, in their order. */
  readonly web4: readonly string[];
  readonly web6: readonly string[];
  /** Routed to the host and owned by nobody: for virtual services. */
  readonly virtual4: string;
  readonly virtual6: string;
}

/** Addresses of host `number`, 1..3. */
export const hostAddresses = (number: number): HostAddresses => ({
  number,
  name: `edge-${number}`,
  namespace: `nest-edge-${number}`,
  consoleLink: `nest-mgmt-${number}`,
  consoleAddress: `198.18.240.${4 * number + 1}`,
  managementAddress: `198.18.240.${4 * number + 2}`,
  client4: `198.18.${number}.10`,
  client6: `2001:db8:1:${number}::10`,
  server4: `198.19.${number}.10`,
  server6: `2001:db8:2:${number}::10`,
  web4: webServers.map((_, index) => `198.19.${number}.${21 + index}`),
  web6: webServers.map((_, index) => `2001:db8:2:${number}::${21 + index}`),
  virtual4: `198.19.${number}.100`,
  virtual6: `2001:db8:2:${number}::100`,
});

export const labHosts: readonly HostAddresses[] = Array.from({ length: labHostCount }, (_, index) => hostAddresses(index + 1));

/** Client address on the VLAN of host 1; it reaches the server side through the tag. */
export const vlanClient4 = `198.18.${vlanId}.10`;
const vlanHost4 = `198.18.${vlanId}.1`;

export const namespaces: readonly string[] = [clientNamespace, serverNamespace, ...labHosts.map((host) => host.namespace)];

/** Place names of the command line and of `Lab.exec`. */
export const places: Readonly<Record<string, string>> = {
  client: clientNamespace,
  server: serverNamespace,
  ...Object.fromEntries(labHosts.map((host) => [host.name, host.namespace])),
};

/** Kernel settings a namespace gets before it has links: no duplicate address detection, no advertisements, no surprises. */
export const settingsOf = (namespace: string): readonly string[] => [
  'net.ipv6.conf.all.accept_dad=0',
  'net.ipv6.conf.default.accept_dad=0',
  'net.ipv6.conf.default.dad_transmits=0',
  'net.ipv6.conf.default.router_solicitations=0',
  'net.ipv6.conf.default.accept_ra=0',
  'net.ipv4.conf.all.rp_filter=0',
  'net.ipv4.conf.default.rp_filter=0',
  'net.ipv4.ping_group_range=0 2147483647',
  ...(namespace.startsWith('nest-edge-')
    ? [
        'net.ipv4.ip_forward=1',
        'net.ipv6.conf.all.forwarding=1',
        'net.ipv4.conf.all.send_redirects=0',
        // Masquerade and full NAT: a translated packet that the kernel routes has an address of this host as its source.
        'net.ipv4.conf.all.accept_local=1',
        'net.ipv4.conf.default.accept_local=1',
      ]
    : []),
];

/** `ip -batch` lines for the root namespace: makes all links and hands their ends out. */
export const rootBatch = (): readonly string[] =>
  labHosts.flatMap((host) => [
    `link add ${host.consoleLink} type veth peer name mgmt0 netns ${host.namespace}`,
    `link add c-${host.number} netns ${clientNamespace} type veth peer name lan0 netns ${host.namespace}`,
    `link add s-${host.number} netns ${serverNamespace} type veth peer name wan0 netns ${host.namespace}`,
    `address add ${host.consoleAddress}/30 dev ${host.consoleLink}`,
    `link set ${host.consoleLink} up`,
  ]);

const hostBatch = (host: HostAddresses): readonly string[] => [
  'link set lo up',
  `address add ${host.managementAddress}/30 dev mgmt0`,
  `address add 198.18.${host.number}.1/24 dev lan0`,
  `address add 2001:db8:1:${host.number}::1/64 dev lan0 nodad`,
  `address add 198.19.${host.number}.1/24 dev wan0`,
  `address add 2001:db8:2:${host.number}::1/64 dev wan0 nodad`,
  'link set mgmt0 up',
  'link set lan0 up',
  'link set wan0 up',
];

const clientBatch = (): readonly string[] => [
  'link set lo up',
  ...labHosts.flatMap((host) => [
    `address add ${host.client4}/24 dev c-${host.number}`,
    `address add ${host.client6}/64 dev c-${host.number} nodad`,
    `link set c-${host.number} up`,
    `route add 198.19.${host.number}.0/24 via 198.18.${host.number}.1`,
    `route add 2001:db8:2:${host.number}::/64 via 2001:db8:1:${host.number}::1`,
  ]),
];

const serverBatch = (): readonly string[] => [
  'link set lo up',
  ...labHosts.flatMap((host) => [
    `address add ${host.server4}/24 dev s-${host.number}`,
    `address add ${host.server6}/64 dev s-${host.number} nodad`,
    ...host.web4.map((address) => `address add ${address}/24 dev s-${host.number}`),
    ...host.web6.map((address) => `address add ${address}/64 dev s-${host.number} nodad`),
    `link set s-${host.number} up`,
    `route add 198.18.${host.number}.0/24 via 198.19.${host.number}.1`,
    `route add 2001:db8:1:${host.number}::/64 via 2001:db8:2:${host.number}::1`,
  ]),
  `route add 198.18.${vlanId}.0/24 via 198.19.1.1`,
];

/** `ip -n <namespace> -batch` lines once the links exist. */
export const namespaceBatch = (namespace: string): readonly string[] => {
  if (namespace === clientNamespace) return clientBatch();
  if (namespace === serverNamespace) return serverBatch();
  return labHosts.filter((host) => host.namespace === namespace).flatMap(hostBatch);
};

/** Links of a namespace whose offloads go off, so that a packet program sees tags and full checksums. */
export const linksOf = (namespace: string): readonly string[] => {
  const host = labHosts.find((candidate) => candidate.namespace === namespace);
  if (host !== undefined) return ['mgmt0', 'lan0', 'wan0'];
  const letter = namespace === clientNamespace ? 'c' : 's';
  return labHosts.map(({ number }) => `${letter}-${number}`);
};

/** One end of the VLAN: the sub-interface, the end of the pair that carries its frames to the parent, and its address. */
export interface VlanEnd {
  readonly namespace: string;
  readonly parent: string;
  readonly link: string;
  readonly carrier: string;
  readonly address: string;
  /** `ip` lines after the link is up. */
  readonly routes: readonly string[];
}

export const vlanEnds: readonly VlanEnd[] = [
  { namespace: 'nest-edge-1', parent: 'lan0', link: `lan0.${vlanId}`, carrier: `lan0.${vlanId}p`, address: `${vlanHost4}/24`, routes: [] },
  {
    namespace: clientNamespace,
    parent: 'c-1',
    link: `c-1.${vlanId}`,
    carrier: `c-1.${vlanId}p`,
    address: `${vlanClient4}/24`,
    routes: [`rule add from ${vlanClient4} lookup ${vlanId}`, `route add 198.19.1.0/24 via ${vlanHost4} table ${vlanId}`],
  },
];
