import type { InterfaceReading } from './api.ts';
import type { HostSource } from './source.ts';

/** More interfaces than this are not read. */
const interfacesMax = 256;
const root = '/sys/class/net';
/** IFF_UP (linux/if.h) in the flags file. */
const flagUp = 1;

/** Interfaces of this network namespace with the kernel's own counters; empty where there is no sysfs. */
export const readInterfaces = (source: HostSource): readonly InterfaceReading[] => {
  const addresses = source.addresses();
  return [...source.names(root)]
    .sort((a, b) => (a < b ? -1 : 1))
    .slice(0, interfacesMax)
    .flatMap((name) => {
      const reading = readInterface(source, name, addresses.get(name) ?? []);
      return reading === undefined ? [] : [reading];
    });
};

/** undefined when the interface went away while it was read. */
const readInterface = (source: HostSource, name: string, addresses: readonly string[]): InterfaceReading | undefined => {
  const text = (file: string): string => source.text(`${root}/${name}/${file}`)?.trim() ?? '';
  const count = (counter: string): bigint => BigInt(text(`statistics/${counter}`) || '0');
  const index = Number(text('ifindex'));
  if (!Number.isInteger(index) || index === 0) return undefined;
  return {
    name,
    index,
    driver: driverOf(source, name),
    macAddress: text('address'),
    mtu: Number(text('mtu')),
    up: (Number(text('flags')) & flagUp) !== 0,
    addresses,
    received: { packets: count('rx_packets'), bytes: count('rx_bytes'), drops: count('rx_dropped'), errors: count('rx_errors') },
    sent: { packets: count('tx_packets'), bytes: count('tx_bytes'), drops: count('tx_dropped'), errors: count('tx_errors') },
  };
};

/** The bound driver; for devices without one the kind that the kernel names (vlan, bridge ...), else "virtual"; "" when unknown. */
const driverOf = (source: HostSource, name: string): string => {
  const driver = source.linkTarget(`${root}/${name}/device/driver`);
  if (driver !== undefined) return driver;
  const kind = /^DEVTYPE=(.+)$/m.exec(source.text(`${root}/${name}/uevent`) ?? '')?.[1];
  if (kind !== undefined) return kind;
  return source.resolved(`${root}/${name}`)?.startsWith('/sys/devices/virtual/') === true ? 'virtual' : '';
};
