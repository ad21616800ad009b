/** The packet tool of native/bench as functions. */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';

import { command } from '../lab/command.ts';
import { median } from './report.ts';

const built = (path: string): string => {
  const file = fileURLToPath(new URL(`../../dist/${path}`, import.meta.url));
  if (!existsSync(file)) throw new Error(`${path} is missing in dist: run npm run build first.`);
  return file;
};

const costSchema = z.array(z.object({ program: z.string(), flows: z.number(), samplesNs: z.array(z.number()).min(1) }));
const driveSchema = z.object({ sent: z.number(), seconds: z.number() });
const sendSchema = z.object({ sent: z.number(), interfaceDrops: z.number(), seconds: z.number() });

/** Of which the median counts: one interruption spoils one of them. */
const samplesPerCall = 3;

export interface CostRequest {
  readonly pinPath: string;
  readonly packet: Uint8Array;
  /** Offset of the two bytes that tell packets apart. */
  readonly varyOffset: number;
  /** Different packets, a power of two up to 65,536. */
  readonly packets: number;
  /** The set of features of xdp-filter, and an address it knows; default: its largest one, random addresses alone. */
  readonly filter?: { readonly set: string; readonly address: Uint8Array };
}

/** Nanoseconds a packet, measured in turn within one call: the empty program, ours, and the packaged xdp-filter where it is installed. */
export interface CostSample {
  readonly emptyNs: number;
  readonly nestNs: number;
  readonly xdpFilterNs: number | undefined;
}

/** Runs the pinned program on packets, without a network. */
export const measureCost = async (request: CostRequest, signal: AbortSignal): Promise<CostSample> => {
  const output = await command(
    [
      built('native/nest-packet'),
      'run',
      '--pin-path',
      request.pinPath,
      '--object',
      built('bpf/bench_wrapper.bpf.o'),
      '--packet',
      Buffer.from(request.packet).toString('hex'),
      '--vary-offset',
      String(request.varyOffset),
      '--flows',
      String(request.packets),
      '--samples',
      String(samplesPerCall),
      ...(request.filter === undefined
        ? []
        : ['--filter', request.filter.set, '--filter-address', Buffer.from(request.filter.address).toString('hex')]),
    ],
    { signal },
  );
  const series = costSchema.parse(JSON.parse(output));
  const sampleOf = (program: string): number | undefined => toMedian(series.find((entry) => entry.program === program)?.samplesNs);
  const [emptyNs, nestNs] = [sampleOf('empty'), sampleOf('nest')];
  if (emptyNs === undefined || nestNs === undefined) throw new Error('nest-packet run did not report "empty" and "nest".');
  return { emptyNs, nestNs, xdpFilterNs: sampleOf('xdp-filter') };
};

const toMedian = (samples: readonly number[] | undefined): number | undefined => (samples === undefined ? undefined : median(samples));

/** Sends packets from the kernel through a link of the own network namespace, as fast as it goes or at a rate. */
export const generatePackets = async (
  request: {
    readonly link: string;
    readonly packet: Uint8Array;
    readonly count: number;
    /** Packets a second; absent = as fast as it goes. */
    readonly rate?: number;
    /** Where two bytes tell packets apart, and how many there are: a power of two; above 65,536 the two bytes behind help. */
    readonly vary?: { readonly offset: number; readonly flows: number };
  },
  signal: AbortSignal,
): Promise<z.infer<typeof sendSchema>> => {
  const output = await command(
    [
      built('native/nest-packet'),
      'generate',
      '--object',
      built('bpf/bench_generator.bpf.o'),
      '--interface',
      request.link,
      '--template',
      Buffer.from(request.packet).toString('hex'),
      '--count',
      String(request.count),
      ...(request.rate === undefined ? [] : ['--rate', String(request.rate)]),
      ...(request.vary === undefined ? [] : ['--vary-offset', String(request.vary.offset), '--flows', String(request.vary.flows)]),
    ],
    { signal },
  );
  return sendSchema.parse(JSON.parse(output));
};

/**
 * Runs the pinned program on packets at a rate, without a wire, on one processor: what it makes of them is all that is measured. Seconds are
 * from the first packet to the last.
 */
export const drivePackets = async (
  request: {
    readonly pinPath: string;
    /** That packets seem to come from. */
    readonly link: string;
    readonly packet: Uint8Array;
    readonly count: number;
    /** Packets a second. */
    readonly rate: number;
    readonly processor: number;
    /** Where two bytes tell packets apart; as {@link generatePackets}. */
    readonly vary: { readonly offset: number; readonly flows: number };
  },
  signal: AbortSignal,
): Promise<z.infer<typeof driveSchema>> => {
  const { pinPath, link, packet, count, rate, processor, vary } = request;
  const options = {
    'pin-path': pinPath,
    object: built('bpf/bench_wrapper.bpf.o'),
    interface: link,
    packet: Buffer.from(packet).toString('hex'),
    'vary-offset': vary.offset,
    flows: vary.flows,
    count,
    rate,
    cpu: processor,
  };
  const words = Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const output = await command([built('native/nest-packet'), 'drive', ...words], { signal });
  return driveSchema.parse(JSON.parse(output));
};

const agedSchema = z.object({ aged: z.number() });
const memorySchema = z.object({ maps: z.number(), bytes: z.number() });

/** Flows in the tables of the data path pinned there, each direction of a translated one for itself. */
export const countFlows = async (pinPath: string, signal: AbortSignal): Promise<number> => {
  // Made no older, and counted.
  const output = await command([built('native/nest-packet'), 'age', '--pin-path', pinPath, '--seconds', '0'], { signal });
  return agedSchema.parse(JSON.parse(output)).aged;
};

/** What the kernel accounts for the maps of the data path pinned there. */
export const measureMaps = async (pinPath: string, signal: AbortSignal): Promise<z.infer<typeof memorySchema>> =>
  memorySchema.parse(JSON.parse(await command([built('native/nest-packet'), 'memory', '--pin-path', pinPath], { signal })));
