import type { UserEngine } from '../api.ts';
import type { WantedPort } from './port-book.ts';

/** Megabytes of DPDK without huge pages: packets of a few ports. */
const dpdkMegabytes = 512;

const dpdkPrefix = 'net_af_xdp';

/** Interface of a port of the process: DPDK's ports are named after the driver and the interface index. */
export const interfaceOf = (port: string, wanted: readonly WantedPort[]): string =>
  wanted.find(({ index }) => port === `${dpdkPrefix}${String(index)}`)?.name ?? port;

export interface StartRequest {
  readonly engine: UserEngine;
  readonly socket: string;
  readonly pins: string;
  readonly lanes: number;
  readonly processors: number;
  readonly ports: readonly WantedPort[];
  /** File with the tables in force. */
  readonly image: string;
}

/** Command line of a process. AF_XDP gets its ports when it has its tables; DPDK has both from its start. */
export const startWords = ({ engine, socket, pins, lanes, processors, ports, image }: StartRequest): readonly string[] => {
  // From the last processor down: the first ones take the interrupts.
  const cpus = Array.from({ length: lanes }, (_, lane) => processors - 1 - lane);
  const shared = ['--control', socket, '--cpu', cpus.join(',')];
  if (engine === 'af_xdp') return [...shared, '--pin-path', pins];
  const words = ['--no-huge', '--no-pci', '--no-telemetry', `--memory=${String(dpdkMegabytes)}`];
  const devices = ports.map(({ name, index }) => `--vdev=${dpdkPrefix}${String(index)},iface=${name}`);
  return [...shared, '--image', image, ...[...words, ...devices].flatMap((word) => ['--eal', word])];
};

/** A port as nest-fastpathctl takes it. */
export const addPortWords = (
  { name, fallback }: WantedPort,
  { lanes, program }: { readonly lanes: number; readonly program: string },
): readonly string[] => {
  const queues = Array.from({ length: lanes }, (_, queue) => queue).join(',');
  const onDeath = fallback === 'xdp' ? `xdp:${program}` : 'pass';
  return ['--interface', `${name}:${queues}`, '--pass', `${name}=kernel`, '--fallback', `${name}=${onDeath}`];
};
