import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** A network interface as far as attaching cares. */
export interface NetworkInterface {
  readonly name: string;
  readonly index: number;
  readonly isUp: boolean;
  readonly isLoopback: boolean;
  /** A VLAN on top of another interface, whose program sees its packets with their tag. */
  readonly isVlan: boolean;
}

const root = '/sys/class/net';
const flagUp = 0x1;
const flagLoopback = 0x8;
/** Interfaces looked at; a host with more has them attached by name. */
const interfacesMax = 1_024;

/** The host's interfaces; empty where the system does not tell. */
export const listNetworkInterfaces = async (): Promise<readonly NetworkInterface[]> => {
  const names = await readdir(root).catch(() => []);
  const found = await Promise.all(names.slice(0, interfacesMax).map(async (name) => await readInterface(name)));
  return found.filter((entry) => entry !== null);
};

/** null for one that vanished while it was read. */
const readInterface = async (name: string): Promise<NetworkInterface | null> => {
  try {
    const [index, flags, uevent] = await Promise.all(
      ['ifindex', 'flags', 'uevent'].map(async (file) => await readFile(join(root, name, file), 'utf8')),
    );
    const bits = Number.parseInt(flags ?? '', 16);
    return {
      name,
      index: Number(index),
      isUp: (bits & flagUp) !== 0,
      isLoopback: (bits & flagLoopback) !== 0,
      isVlan: /^DEVTYPE=vlan$/m.test(uevent ?? ''),
    };
  } catch {
    return null;
  }
};
