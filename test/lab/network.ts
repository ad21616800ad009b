/** Makes the lab's namespaces, links, addresses and routes. */
import { join } from 'node:path';
import { command } from './command.ts';
import { runFolder } from './lab-state.ts';
import { linksOf, namespaceBatch, namespaces, rootBatch, settingsOf, vlanEnds, type VlanEnd } from './topology.ts';

const vlanSource = join(import.meta.dirname, 'vlan.bpf.c');
/** Same offsets as in vlan.bpf.c. */
const linkOffset = 1000;
const carrierOffset = 2000;

const batch = (namespace: string | undefined, lines: readonly string[], signal: AbortSignal): Promise<string> =>
  command(['ip', ...(namespace === undefined ? [] : ['-n', namespace]), '-batch', '-'], { input: `${lines.join('\n')}\n`, signal });

const within = (namespace: string, argv: readonly string[], signal: AbortSignal): Promise<string> =>
  command(['ip', 'netns', 'exec', namespace, ...argv], { signal });

const setOffloads = async (namespace: string, links: readonly string[], signal: AbortSignal): Promise<void> => {
  const off = ['tx', 'tso', 'gso', 'gro', 'txvlan', 'rxvlan'].flatMap((feature) => [feature, 'off']);
  await within(namespace, ['sh', '-ec', links.map((link) => `ethtool -K ${link} ${off.join(' ')} >/dev/null`).join('; ')], signal);
};

const addVlan = async (end: VlanEnd, object: string, signal: AbortSignal): Promise<void> => {
  const { namespace, parent, link, carrier } = end;
  const [parentLink] = JSON.parse(await command(['ip', '-n', namespace, '-json', 'link', 'show', parent], { signal })) as {
    ifindex: number;
    address: string;
  }[];
  if (parentLink === undefined) throw new Error(`${parent} is missing in ${namespace}.`);
  const { ifindex, address } = parentLink;
  await batch(
    namespace,
    [
      `link add ${link} index ${ifindex + linkOffset} address ${address} type veth peer name ${carrier} index ${ifindex + carrierOffset}`,
      `address add ${end.address} dev ${link}`,
      `link set ${carrier} addrgenmode none`,
      `link set ${link} up`,
      `link set ${carrier} up`,
      ...end.routes,
    ],
    signal,
  );
  await setOffloads(namespace, [link, carrier], signal);
  for (const [device, section] of [
    [parent, 'tc/parent'],
    [carrier, 'tc/carrier'],
  ] as const) {
    await within(namespace, ['tc', 'qdisc', 'add', 'dev', device, 'clsact'], signal);
    await within(
      namespace,
      ['tc', 'filter', 'add', 'dev', device, 'ingress', 'bpf', 'direct-action', 'object-file', object, 'section', section],
      signal,
    );
  }
};

/** Builds the network; the run folder must exist. On failure what was made stays for teardown. */
export const makeNetwork = async (signal: AbortSignal): Promise<void> => {
  for (const namespace of namespaces) {
    await command(['ip', 'netns', 'add', namespace], { signal });
    await within(namespace, ['sysctl', '-q', '-w', ...settingsOf(namespace)], signal);
  }
  await batch(undefined, rootBatch(), signal);
  for (const namespace of namespaces) {
    await setOffloads(namespace, linksOf(namespace), signal);
    await batch(namespace, namespaceBatch(namespace), signal);
  }
  const object = `${runFolder}/vlan.bpf.o`;
  await command(
    [
      'clang-19',
      '-O2',
      '-g',
      '-Wall',
      '-Werror',
      '--target=bpf',
      '-I/usr/include/x86_64-linux-gnu',
      '-I/usr/include/aarch64-linux-gnu',
      '-c',
      vlanSource,
      '-o',
      object,
    ],
    { signal },
  );
  for (const end of vlanEnds) await addVlan(end, object, signal);
};
