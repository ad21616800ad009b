/**
 * A data path in memory for tests: judges with the table image, keeps flows, counters by sequence and packed records as
 * bpf/include/nest/abi.h lays them out. It plays the kernel, so it outlives the agent under test: open it again to adopt it.
 */
import type { AttachedInterface, DataPath, NativeAddon } from '../../native/index.ts';
import { addressToBytes, openImage, parseAddress } from '../../native/index.ts';
import type { PolicyImage } from '../../native/index.ts';
import { isDropped, reasonNames } from '../../proto/model/reason.ts';
import type { ReasonName } from '../../proto/model/reason.ts';
import { lossKinds, mappingDefault, recordBytes, recordKinds, recordOffsets as at, traceBytes, traceFlow, traceOffsets } from './layout.ts';

export interface FakePacket {
  readonly source: string;
  readonly destination: string;
  readonly protocol?: number;
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  readonly bytes?: number;
  readonly interface?: string;
}

interface FakeFlow {
  readonly packet: FakePacket;
  readonly firstNs: bigint;
  lastNs: bigint;
  readonly packets: [bigint, bigint];
  readonly bytes: [bigint, bigint];
  sequence: number;
  mapping: number;
  reason: ReasonName;
}

export interface FakeKernel {
  readonly addon: NativeAddon;
  /** Interface indices by name; attach refuses others. */
  readonly interfaces: Map<string, number>;
  /** Interfaces that hold a foreign program. */
  readonly foreign: Set<string>;
  /** Moves the coarse clock on, milliseconds. */
  advance(milliseconds: number): void;
  /** Sends a packet through; the answer is the reason. */
  send(packet: FakePacket): ReasonName;
  /** Ends a flow as a TCP reset would. */
  end(packet: FakePacket): void;
  /** Makes the next swap fail after it has cleared the inactive half. */
  failNextSwap(error: Error): void;
  lose(records: bigint): void;
  /** As a reboot: everything is gone and the next opening loads anew. */
  reboot(): void;
  readonly sequence: number;
  readonly swaps: number;
}

const halfLength = 2 * (mappingDefault + 1);
const idleNs = 60_000_000_000n;
const wallOffsetMs = Date.UTC(2026, 0, 1);
const slots = 64;

interface KernelState {
  programId: number;
  sequence: number;
  image: PolicyImage | null;
  readonly halves: readonly [BigUint64Array, BigUint64Array];
  readonly attached: Map<string, AttachedInterface>;
  readonly reasons: Map<string, BigUint64Array>;
  readonly flows: Map<string, FakeFlow>;
  records: Buffer[];
  readonly losses: BigUint64Array;
  isLoaded: boolean;
}

const freshState = (programId: number): KernelState => ({
  programId,
  sequence: 0,
  image: null,
  halves: [new BigUint64Array(halfLength), new BigUint64Array(halfLength)],
  attached: new Map(),
  reasons: new Map(),
  flows: new Map(),
  records: [],
  losses: new BigUint64Array(3),
  isLoaded: false,
});

/** A kernel without a data path; `addon.open` loads one, and adopts it from then on. */
export const createFakeKernel = (): FakeKernel => {
  let state = freshState(100);
  let nowNs = 1_000_000_000n;
  let swapFailure: Error | null = null;
  let swaps = 0;
  const interfaces = new Map([
    ['lan0', 2],
    ['wan0', 3],
  ]);
  const foreign = new Set<string>();

  const half = (sequence: number): BigUint64Array => state.halves[(sequence & 1) as 0 | 1];
  const record = (kind: number, flow: FakeFlow): Buffer => packRecord(kind, flow, interfaces);
  const count = (packet: FakePacket, reason: ReasonName, mapping: number | null): void => {
    const bytes = BigInt(packet.bytes ?? 100);
    const reasons = state.reasons.get(packet.interface ?? 'lan0') ?? new BigUint64Array(64);
    add(reasons, reasonNames.indexOf(reason), bytes);
    state.reasons.set(packet.interface ?? 'lan0', reasons);
    if (mapping !== null) add(half(state.sequence), mapping, bytes);
  };

  const judge = (packet: FakePacket): { reason: ReasonName; mapping: number } => {
    if (state.image === null) return { reason: 'NO_POLICY', mapping: mappingDefault };
    const { reason, mapping } = state.image.judge({
      ...packet,
      protocol: packet.protocol ?? 6,
      destinationPort: packet.destinationPort ?? 0,
    });
    return { reason, mapping: mapping === undefined ? mappingDefault : state.image.mappingNames.indexOf(mapping) };
  };

  const send = (packet: FakePacket): ReasonName => {
    const forwardKey = flowKey(packet);
    const reverse = state.flows.get(flowKey(reversed(packet)));
    const flow = state.flows.get(forwardKey) ?? reverse;
    if (flow !== undefined && flow.sequence !== state.sequence) {
      const again = judge(flow.packet);
      Object.assign(flow, { sequence: state.sequence, mapping: again.mapping, reason: again.reason });
      if (isDropped(again.reason)) {
        state.records.push(record(recordKinds.rejudged, flow));
        state.flows.delete(flowKey(flow.packet));
        count(packet, again.reason, again.mapping);
        return again.reason;
      }
    }
    if (flow !== undefined) {
      const side = flow === reverse ? 1 : 0;
      flow.packets[side] += 1n;
      flow.bytes[side] += BigInt(packet.bytes ?? 100);
      flow.lastNs = nowNs;
      count(packet, 'FLOW', flow.mapping);
      return 'FLOW';
    }
    const { reason, mapping } = judge(packet);
    count(packet, reason, mapping);
    const bytes = BigInt(packet.bytes ?? 100);
    const begun: FakeFlow = {
      packet,
      firstNs: nowNs,
      lastNs: nowNs,
      packets: [1n, 0n],
      bytes: [bytes, 0n],
      sequence: state.sequence,
      mapping,
      reason,
    };
    if (!isDropped(reason)) state.flows.set(forwardKey, begun);
    state.records.push(record(isDropped(reason) ? recordKinds.deny : recordKinds.start, begun));
    return reason;
  };

  const dataPath = (adopted: boolean): DataPath => ({
    state: () => ({ adopted, sequence: state.sequence, flags: 0, programId: state.programId, interfaces: [...state.attached.values()] }),
    attach: async (name) => {
      const index = interfaces.get(name);
      if (index === undefined) throw failure('NATIVE_INTERFACE_UNKNOWN', `There is no interface ${name}.`);
      if (foreign.has(name)) throw failure('NATIVE_INTERFACE_FOREIGN_PROGRAM', `${name} already runs a program of someone else.`);
      const attached: AttachedInterface = { name, index, mode: 'native', slot: state.attached.size % slots };
      state.attached.set(name, attached);
      return attached;
    },
    detach: async (name) => state.attached.delete(name),
    swap: async (image, sequence) => {
      if (sequence !== state.sequence + 1) throw failure('NATIVE_SYSTEM', 'The sequence is not the next one.');
      half(sequence).fill(0n);
      const failed = swapFailure;
      swapFailure = null;
      if (failed !== null) throw failed;
      state.image = openImage(image);
      state.sequence = sequence;
      swaps++;
      return { sequence, loadMs: 3, flipMs: 0.1 };
    },
    counters: () => ({
      interfaces: [...state.attached.values()].map(({ name, index }) => ({
        name,
        index,
        reasons: (state.reasons.get(name) ?? new BigUint64Array(64)).slice(),
      })),
      active: { sequence: state.sequence, values: half(state.sequence).slice() },
      retired: state.sequence < 2 ? null : { sequence: state.sequence - 1, values: half(state.sequence - 1).slice() },
      losses: state.losses.slice(),
    }),
    flows: async (limit) => {
      const rows = [...state.flows.values()].map((flow) => record(recordKinds.live, flow));
      return { rows: Buffer.concat(rows.slice(0, limit)), rowBytes: recordBytes, truncated: rows.length > limit };
    },
    sweep: async (limit) => {
      const idle = [...state.flows.entries()].filter(([, flow]) => nowNs - flow.lastNs > idleNs).slice(0, limit);
      for (const [key] of idle) state.flows.delete(key);
      return Buffer.concat(idle.map(([, flow]) => record(recordKinds.end, flow)));
    },
    takeRecords: (limit) => ({ records: Buffer.concat(state.records.splice(0, limit)), lost: 0n }),
    trace: async (packet, interfaceName) => {
      if (!state.attached.has(interfaceName)) throw failure('NATIVE_INTERFACE_UNKNOWN', `Nest is not attached to ${interfaceName}.`);
      return { trace: traceOf(packet, state), verdict: 'pass', durationNs: 42 };
    },
    clockOffsetMs: () => wallOffsetMs,
    close: async () => undefined,
    remove: async () => undefined,
  });

  return {
    interfaces,
    foreign,
    send,
    advance: (milliseconds) => void (nowNs += BigInt(milliseconds) * 1_000_000n),
    end: (packet) => {
      const flow = state.flows.get(flowKey(packet));
      if (flow === undefined) return;
      state.flows.delete(flowKey(packet));
      state.records.push(record(recordKinds.end, flow));
    },
    failNextSwap: (error) => void (swapFailure = error),
    lose: (records) => void (state.losses[lossKinds.ringFull] = (state.losses[lossKinds.ringFull] ?? 0n) + records),
    reboot: () => void (state = freshState(state.programId + 1)),
    get sequence() {
      return state.sequence;
    },
    get swaps() {
      return swaps;
    },
    addon: {
      abi: 1,
      probe: async () => [{ engine: 'xdp-native', available: true, reason: 'in memory' }],
      open: async () => {
        const adopted = state.isLoaded;
        state.isLoaded = true;
        return dataPath(adopted);
      },
    },
  };
};

const failure = (code: string, message: string): Error => Object.assign(new Error(message), { code, step: '' });

const add = (values: BigUint64Array, position: number, bytes: bigint): void => {
  values[position * 2] = (values[position * 2] ?? 0n) + 1n;
  values[position * 2 + 1] = (values[position * 2 + 1] ?? 0n) + bytes;
};

const flowKey = (packet: FakePacket): string =>
  [packet.protocol ?? 6, packet.source, packet.sourcePort ?? 0, packet.destination, packet.destinationPort ?? 0].join();

const reversed = (packet: FakePacket): FakePacket => ({
  ...packet,
  source: packet.destination,
  destination: packet.source,
  sourcePort: packet.destinationPort ?? 0,
  destinationPort: packet.sourcePort ?? 0,
});

const packRecord = (kind: number, flow: FakeFlow, interfaces: ReadonlyMap<string, number>): Buffer => {
  const row = Buffer.alloc(recordBytes);
  const { packet } = flow;
  const source = parseAddress(packet.source);
  const destination = parseAddress(packet.destination);
  row.writeBigUInt64LE(flow.lastNs, at.time_ns);
  for (const side of [0, 1] as const) {
    row.writeBigUInt64LE(flow.packets[side], at.packets + side * 8);
    row.writeBigUInt64LE(flow.bytes[side], at.bytes + side * 8);
  }
  row.writeUInt32LE(interfaces.get(packet.interface ?? 'lan0') ?? 0, at.interface);
  row.writeUInt32LE(flow.sequence, at.sequence);
  row.writeUInt16LE(flow.mapping, at.mapping);
  row.writeUInt8(kind, at.kind);
  row.writeUInt8(reasonNames.indexOf(flow.reason), at.reason);
  row.writeUInt8(source?.family ?? 0, at.family);
  row.writeUInt8(packet.protocol ?? 6, at.protocol);
  row.writeUInt16LE(packet.sourcePort ?? 0, at.source_port);
  row.writeUInt16LE(packet.destinationPort ?? 0, at.destination_port);
  if (source !== undefined) row.set(addressToBytes(source), at.source);
  if (destination !== undefined) row.set(addressToBytes(destination), at.destination);
  const hasAge = kind !== recordKinds.start && kind !== recordKinds.deny;
  if (hasAge) row.writeUInt32LE(Math.max(1, Number((flow.lastNs - flow.firstNs) / 1_000_000n)), at.age_ms);
  return row;
};

/** Untagged IPv4 without options only: enough to follow a trace through the domain. */
const traceOf = (packet: Uint8Array, state: KernelState): Buffer => {
  const trace = Buffer.alloc(traceBytes);
  const frame = Buffer.from(packet);
  const address = (offset: number): string => [...frame.subarray(offset, offset + 4)].join('.');
  const isIpv4 = frame.length >= 38 && frame.readUInt16BE(12) === 0x0800;
  trace.writeUInt32LE(state.sequence, traceOffsets.sequence);
  if (!isIpv4 || state.image === null) {
    trace.writeUInt8(reasonNames.indexOf(isIpv4 ? 'NO_POLICY' : 'NOT_IP'), traceOffsets.reason);
    return trace;
  }
  const judged = state.image.judge({
    source: address(26),
    destination: address(30),
    protocol: frame.readUInt8(23),
    destinationPort: frame.readUInt16BE(36),
  });
  trace.writeUInt8(reasonNames.indexOf(judged.reason), traceOffsets.reason);
  trace.writeUInt8(4, traceOffsets.family);
  trace.writeUInt8(frame.readUInt8(23) === 17 ? 2 : 1, traceOffsets.l4);
  trace.writeUInt8(traceFlow.miss, traceOffsets.flow);
  trace.writeUInt32LE(judged.sourceIdentity, traceOffsets.source_identity);
  trace.writeUInt32LE(judged.destinationIdentity, traceOffsets.destination_identity);
  trace.writeUInt32LE(judged.match, traceOffsets.match);
  trace.writeUInt16LE(34, traceOffsets.l4_offset);
  return trace;
};
