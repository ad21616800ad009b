import { readFile } from 'node:fs/promises';
import type { Counters, DataPath, EngineProbe, MappingCounters, NativeAddon } from '../../native/index.ts';
import { bpfObjectPath, loadNative } from '../../native/index.ts';
import { reasonName } from '../../proto/model/reason.ts';
import type { Engine, EngineCounters, EngineOpening, EngineSource, EngineState, MappingValues, ReasonCount, RecordBatch } from './api.ts';
import { flowsMax, lossKinds, recordBytes, statKinds } from './layout.ts';
import { nativeError, translated } from './native-error.ts';
import { decodeNextHops, encodeNextHops } from './next-hops.ts';
import { decodeTrace } from './trace.ts';

export interface EngineOptions {
  /** observe: the data path is never opened. */
  readonly mode: 'auto' | 'enforce' | 'observe';
  /** nest_xdp.bpf.o; the default is the one that was built with the addon. */
  readonly objectPath?: string | undefined;
  /** Directory inside a bpffs. */
  readonly pinPath: string;
  /** Loads the addon; may raise, and then the reason is shown. */
  readonly loadAddon?: () => NativeAddon;
  readonly platform?: NodeJS.Platform;
  /** Names this run of the kernel; the default reads it from /proc. */
  readonly bootId?: () => Promise<string>;
}

const bootIdPath = '/proc/sys/kernel/random/boot_id';

/**
 * The source of the data path of this host. `open()` loads or adopts it; without the means (another system, no addon, no permission, an
 * old kernel) it answers with the reason and what to do, and never raises.
 */
export const createEngine = (options: EngineOptions): EngineSource => ({
  open: async () => {
    const platform = options.platform ?? process.platform;
    if (platform !== 'linux')
      return observe(`Enforcing policy needs Linux; this host runs ${platform}. Run the agent on a Linux host to enforce.`, []);
    let addon: NativeAddon;
    try {
      addon = (options.loadAddon ?? loadNative)();
    } catch (error) {
      return observe(nativeReason(error), []);
    }
    const probes = await probe(addon);
    if (options.mode === 'observe')
      return observe(
        'The configuration says observe (traffic.mode). Set it to "auto" or "enforce" and restart the agent to enforce.',
        probes,
      );
    return await openDataPath(addon, options, probes);
  },
});

const openDataPath = async (addon: NativeAddon, options: EngineOptions, probes: readonly EngineProbe[]): Promise<EngineOpening> => {
  try {
    const bootId = await (options.bootId ?? readBootId)();
    const dataPath = await addon.open({ objectPath: options.objectPath ?? bpfObjectPath(), pinPath: options.pinPath });
    return { engine: engineOf(addon, dataPath, bootId), reason: '', probes };
  } catch (error) {
    return observe(nativeReason(error), probes);
  }
};

const observe = (reason: string, probes: readonly EngineProbe[]): EngineOpening => ({ engine: null, reason, probes });

const nativeReason = (error: unknown): string => {
  const { code } = typeof error === 'object' && error !== null && 'code' in error ? error : { code: undefined };
  if (typeof code === 'string' && code.startsWith('NATIVE_')) return nativeError(error).message;
  return error instanceof Error ? (error.message.split('\n', 1)[0] ?? '') : String(error);
};

const probe = async (addon: NativeAddon): Promise<readonly EngineProbe[]> => {
  try {
    return await addon.probe();
  } catch (error) {
    return [{ engine: 'xdp-native', available: false, reason: nativeReason(error) }];
  }
};

const readBootId = async (): Promise<string> => (await readFile(bootIdPath, 'utf8')).trim();

const engineOf = (addon: NativeAddon, dataPath: DataPath, bootId: string): Engine => ({
  state: () => guarded(() => stateOf(dataPath, bootId)),
  attach: (name) => translated(() => dataPath.attach(name)),
  detach: (name) => translated(() => dataPath.detach(name)),
  attachLocal: (cgroupPath) =>
    translated(async () => {
      const { attached, reason, egress } = await dataPath.attachLocal({ cgroupPath });
      const problems = egress.filter(({ kind }) => kind === 'none').map((each) => `${each.name}: ${each.reason}`);
      return { attached, reason, problems };
    }),
  detachLocal: () => translated(() => dataPath.detachLocal()),
  swap: (image, sequence, states) => translated(() => dataPath.swap(image, sequence, states)),
  setBackendStates: (states) => translated(async () => void (await dataPath.setBackendStates(states))),
  setFlood: (isOn) => guarded(() => dataPath.setFlood(isOn)),
  setInterfaceAddresses: (addresses) => translated(() => dataPath.setInterfaceAddresses(addresses)),
  setTransmitPorts: (indexes) => translated(() => dataPath.setTxPorts(Uint32Array.from(indexes))),
  askNextHops: (wanted) => translated(async () => decodeNextHops(await addon.askNextHops(encodeNextHops(wanted)))),
  interfaceFacts: (name) => translated(() => addon.interfaceFacts(name)),
  inspect: () =>
    translated(async () => {
      const { interfaces, ...others } = await dataPath.inspect();
      const { programId } = dataPath.state();
      return { ...others, interfaces: interfaces.map((each) => ({ ...each, isOurs: each.programId === programId })) };
    }),
  counters: () => guarded(() => countersOf(dataPath.counters())),
  flows: (limit) =>
    translated(async () => {
      const { rows, truncated } = await dataPath.flows(Math.min(limit, flowsMax));
      return { ...batchOf(rows), truncated };
    }),
  sweep: (limit) => translated(async () => batchOf(await dataPath.sweep(limit))),
  takeRecords: (limit) =>
    guarded(() => {
      const { records, lost } = dataPath.takeRecords(limit);
      return { ...batchOf(records), lost: Number(lost) };
    }),
  trace: (packet, interfaceName) => translated(async () => decodeTrace(await dataPath.trace(packet, interfaceName))),
  wallTimeMs: (timeNs) => Math.round(Number(timeNs / 1000n) / 1000 + dataPath.clockOffsetMs()),
  close: () => translated(() => dataPath.close()),
});

const stateOf = (dataPath: DataPath, bootId: string): EngineState => {
  const { adopted, sequence, swapped, programId, interfaces } = dataPath.state();
  return {
    adopted,
    sequence,
    loadedSequence: swapped,
    instance: `${bootId}:${String(programId)}`,
    interfaces: interfaces.map(({ name, index, mode }) => ({ name, index, mode })),
  };
};

const batchOf = (rows: Buffer): RecordBatch => ({ rows, count: Math.floor(rows.length / recordBytes) });

const countersOf = (counters: Counters): EngineCounters => ({
  interfaces: counters.interfaces.map(({ name, index, reasons }) => ({ name, index, reasons: reasonCounts(reasons) })),
  active: valuesOf(counters.active),
  retired: counters.retired === null ? null : valuesOf(counters.retired),
  recordsLost: counters.losses[lossKinds.ringFull] ?? 0n,
  recordsSuppressed: counters.losses[lossKinds.suppressed] ?? 0n,
  flowsNotInserted: counters.losses[lossKinds.flowTable] ?? 0n,
  judged: counters.stats[statKinds.judged] ?? 0n,
  tooBigAnswered: counters.stats[statKinds.tooBig] ?? 0n,
  routedByKernel: counters.stats[statKinds.kernel] ?? 0n,
  forwarded: counters.stats[statKinds.forwarded] ?? 0n,
});

const valuesOf = ({ sequence, values, limits, denyLists, backends }: MappingCounters): MappingValues => ({
  sequence,
  values,
  limited: limits,
  denyLists,
  backends,
});

/** Counted reasons only: a reason that never happened is left out. */
export const reasonCounts = (values: BigUint64Array): ReasonCount[] => {
  const counts: ReasonCount[] = [];
  for (let number = 0; number * 2 < values.length; number++) {
    const packets = values[number * 2] ?? 0n;
    if (packets > 0n) counts.push({ reason: reasonName(number), packets, bytes: values[number * 2 + 1] ?? 0n });
  }
  return counts;
};

const guarded = <T>(call: () => T): T => {
  try {
    return call();
  } catch (error) {
    throw nativeError(error);
  }
};
