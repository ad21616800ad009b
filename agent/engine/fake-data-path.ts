/**
 * A data path in memory for tests: judges with the table image, keeps flows, counters by sequence and packed records as
 * bpf/include/nest/abi.h lays them out. It plays the kernel, so it outlives the agent under test: open it again to adopt it.
 */
import type { AttachedInterface, Counters, DataPath, Inspection, LocalState, NativeAddon } from '../../native/index.ts';
import { addressToBytes, openImage, parseAddress, traceFlow } from '../../native/index.ts';
import type { PolicyImage } from '../../native/index.ts';
import { isDropped, reasonNames } from '../../proto/model/reason.ts';
import type { ReasonName } from '../../proto/model/reason.ts';
import {
  backendNone,
  lossKinds,
  mappingDefault,
  recordBytes,
  recordKinds,
  recordOffsets as at,
  rewriteFlags,
  traceBytes,
  traceMoreBytes,
  traceOffsets,
} from './layout.ts';

export interface FakePacket {
  readonly source: string;
  readonly destination: string;
  readonly protocol?: number;
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  readonly bytes?: number;
  readonly interface?: string;
  /** The backend that a balancer sends its flow to, with its index; absent: none. */
  readonly sentTo?: { readonly address: string; readonly port: number; readonly backend: number };
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
  /** What an inspection finds: other programs (0 = none) by interface, hooks gone and tables changed. */
  readonly drift: { readonly programs: Map<string, number>; hooks: string[]; tables: string[] };
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
  /** As last given; null: those of the image. */
  readonly backendStates: Uint8Array | null;
  readonly isFlood: boolean;
  /** Next hops that were asked for, since ever; a test says what the answer to each is, as native/addon.ts numbers it. */
  readonly nextHopsAsked: number;
  nextHop: number;
  /** Packets that no flow settled: a test counts them up. */
  judged: bigint;
}

const halfLength = 2 * (mappingDefault + 1);
const idleNs = 60_000_000_000n;
const wallOffsetMs = Date.UTC(2026, 0, 1);
const slots = 64;
const reasonSlots = 32;

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
  local: LocalState;
}

const noLocal: LocalState = { attached: false, cgroupPath: '', reason: 'not asked for', egress: [] };

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
  local: noLocal,
});

/** A kernel without a data path; `addon.open` loads one, and adopts it from then on. */
export const createFakeKernel = (): FakeKernel => new MemoryKernel();

class MemoryKernel implements FakeKernel {
  readonly interfaces = new Map([
    ['lan0', 2],
    ['wan0', 3],
  ]);
  readonly foreign = new Set<string>();
  readonly drift: FakeKernel['drift'] = { programs: new Map(), hooks: [], tables: [] };
  readonly addon: NativeAddon = {
    abi: 1,
    probe: async () => [{ engine: 'xdp-native', available: true, reason: 'in memory' }],
    interfaceFacts: async (name) => {
      const index = this.interfaces.get(name);
      if (index === undefined) throw failure('NATIVE_INTERFACE_UNKNOWN', `There is no interface ${name}.`);
      const facts = { driver: 'veth', receiveQueues: 1, sendQueues: 1, numaNode: null, mtu: 1500, speedMbps: null };
      return { ...facts, name, index, xdpFeatures: ['basic', 'redirect', 'ndo-xmit'], addresses4: [], addresses6: [] };
    },
    askNextHops: async (rows) => {
      this.nextHopsAsked += rows.length / 20;
      return Buffer.alloc(rows.length / 20, this.nextHop);
    },
    open: async () => {
      const adopted = this.state.isLoaded;
      this.state.isLoaded = true;
      return dataPathOf(this, adopted);
    },
  };
  state = freshState(100);
  nowNs = 1_000_000_000n;
  swaps = 0;
  swapFailure: Error | null = null;
  untoldLosses = 0n;
  backendStates: Uint8Array | null = null;
  isFlood = false;
  nextHopsAsked = 0;
  nextHop = 2;
  judged = 0n;

  get sequence(): number {
    return this.state.sequence;
  }

  advance(milliseconds: number): void {
    this.nowNs += BigInt(milliseconds) * 1_000_000n;
  }

  send(packet: FakePacket): ReasonName {
    const reverse = this.state.flows.get(flowKey(reversed(packet)));
    const flow = this.state.flows.get(flowKey(packet)) ?? reverse;
    if (flow === undefined) return this.#begin(packet);
    if (flow.sequence !== this.state.sequence && this.#isCut(flow)) {
      this.#count(packet, flow.reason, flow.mapping);
      return flow.reason;
    }
    const side = flow === reverse ? 1 : 0;
    flow.packets[side] += 1n;
    flow.bytes[side] += bytesOf(packet);
    flow.lastNs = this.nowNs;
    this.#count(packet, 'FLOW', flow.mapping);
    return 'FLOW';
  }

  end(packet: FakePacket): void {
    const flow = this.state.flows.get(flowKey(packet));
    if (flow === undefined) return;
    this.state.flows.delete(flowKey(packet));
    this.state.records.push(this.record(recordKinds.end, flow));
  }

  failNextSwap(error: Error): void {
    this.swapFailure = error;
  }

  lose(records: bigint): void {
    this.state.losses[lossKinds.ringFull] = (this.state.losses[lossKinds.ringFull] ?? 0n) + records;
    this.untoldLosses += records;
  }

  reboot(): void {
    this.state = freshState(this.state.programId + 1);
  }

  detachLocal(): void {
    this.state.local = noLocal;
    this.drift.hooks = [];
  }

  half(sequence: number): BigUint64Array {
    return this.state.halves[(sequence & 1) as 0 | 1];
  }

  record(kind: number, flow: FakeFlow): Buffer {
    return packRecord(kind, flow, this.interfaces);
  }

  #begin(packet: FakePacket): ReasonName {
    const { reason, mapping } = this.#judge(packet);
    this.#count(packet, reason, mapping);
    const times = { firstNs: this.nowNs, lastNs: this.nowNs };
    const flow: FakeFlow = { packet, ...times, packets: [1n, 0n], bytes: [bytesOf(packet), 0n], sequence: this.sequence, mapping, reason };
    if (!isDropped(reason)) this.state.flows.set(flowKey(packet), flow);
    this.state.records.push(this.record(isDropped(reason) ? recordKinds.deny : recordKinds.start, flow));
    return reason;
  }

  /** Judges a flow of an older policy again, in its initiator's direction. */
  #isCut(flow: FakeFlow): boolean {
    Object.assign(flow, { sequence: this.sequence, ...this.#judge(flow.packet) });
    if (!isDropped(flow.reason)) return false;
    this.state.records.push(this.record(recordKinds.rejudged, flow));
    this.state.flows.delete(flowKey(flow.packet));
    return true;
  }

  #judge(packet: FakePacket): { reason: ReasonName; mapping: number } {
    const { image } = this.state;
    if (image === null) return { reason: 'NO_POLICY', mapping: mappingDefault };
    const tuple = { ...packet, protocol: packet.protocol ?? 6, destinationPort: packet.destinationPort ?? 0 };
    const { reason, mapping } = image.judge(tuple);
    return { reason, mapping: mapping === undefined ? mappingDefault : image.mappingNames.indexOf(mapping) };
  }

  #count(packet: FakePacket, reason: ReasonName, mapping: number): void {
    const name = packet.interface ?? 'lan0';
    const reasons = this.state.reasons.get(name) ?? new BigUint64Array(reasonSlots * 2);
    add(reasons, reasonNames.indexOf(reason), bytesOf(packet));
    this.state.reasons.set(name, reasons);
    add(this.half(this.sequence), mapping, bytesOf(packet));
  }
}

/** The addon's face of the kernel, for one opening. */
const dataPathOf = (kernel: MemoryKernel, adopted: boolean): DataPath => ({
  state: () => {
    const { sequence, programId, attached, local } = kernel.state;
    return { adopted, sequence, swapped: sequence, flags: 0, programId, interfaces: [...attached.values()], local };
  },
  attach: async (name) => {
    const index = kernel.interfaces.get(name);
    if (index === undefined) throw failure('NATIVE_INTERFACE_UNKNOWN', `There is no interface ${name}.`);
    if (kernel.foreign.has(name)) throw failure('NATIVE_INTERFACE_FOREIGN_PROGRAM', `${name} already runs a program of someone else.`);
    const attached: AttachedInterface = { name, index, mode: 'native', slot: kernel.state.attached.size % slots };
    kernel.state.attached.set(name, attached);
    kernel.drift.programs.delete(name);
    return attached;
  },
  detach: async (name) => kernel.state.attached.delete(name),
  attachLocal: async ({ cgroupPath }) => (kernel.state.local = { attached: true, cgroupPath, reason: '', egress: [] }),
  detachLocal: async () => kernel.detachLocal(),
  localCounters: async () => ({ values: new BigUint64Array(0), reasons: new BigUint64Array(0) }),
  swap: async (image, sequence, states) => {
    if (sequence !== kernel.sequence + 1) throw failure('NATIVE_SYSTEM', 'The sequence is not the next one.');
    kernel.half(sequence).fill(0n);
    const failed = kernel.swapFailure;
    kernel.swapFailure = null;
    if (failed !== null) throw failed;
    kernel.state.image = openImage(image);
    kernel.drift.tables = [];
    kernel.backendStates = states?.slice() ?? null;
    kernel.state.sequence = sequence;
    kernel.swaps++;
    return { sequence, loadMs: 3, flipMs: 0.1 };
  },
  setBackendStates: async (states) => {
    kernel.backendStates = states.slice();
    return { sequence: kernel.sequence };
  },
  updateDeny: async () => ({ sequence: kernel.sequence }),
  setFlood: (on) => void (kernel.isFlood = on),
  setInterfaceAddresses: async () => undefined,
  setTxPorts: async () => undefined,
  inspect: async () => inspectionOf(kernel),
  counters: () => countersOf(kernel),
  flows: async (limit) => {
    const rows = [...kernel.state.flows.values()].map((flow) => kernel.record(recordKinds.live, flow));
    return { rows: Buffer.concat(rows.slice(0, limit)), rowBytes: recordBytes, truncated: rows.length > limit };
  },
  sweep: async (limit) => {
    const idle = [...kernel.state.flows.entries()].filter(([, flow]) => kernel.nowNs - flow.lastNs > idleNs).slice(0, limit);
    for (const [key] of idle) kernel.state.flows.delete(key);
    return Buffer.concat(idle.map(([, flow]) => kernel.record(recordKinds.end, flow)));
  },
  takeRecords: (limit) => {
    const lost = kernel.untoldLosses;
    kernel.untoldLosses = 0n;
    return { records: Buffer.concat(kernel.state.records.splice(0, limit)), lost };
  },
  trace: async (packet, interfaceName) => {
    if (!kernel.interfaces.has(interfaceName)) throw failure('NATIVE_INTERFACE_UNKNOWN', `There is no interface ${interfaceName}.`);
    return {
      trace: traceOf(packet, kernel.state),
      more: Buffer.alloc(traceMoreBytes),
      packet: Buffer.from(packet),
      verdict: 'pass',
      durationNs: 42,
    };
  },
  clockOffsetMs: () => wallOffsetMs,
  close: async () => undefined,
  remove: async () => undefined,
});

const inspectionOf = ({ state, drift }: MemoryKernel): Inspection => ({
  interfaces: [...state.attached.values()].map(({ name, index }) => ({
    name,
    index,
    programId: drift.programs.get(name) ?? state.programId,
    isCounted: true,
  })),
  hooksMissing: drift.hooks,
  tablesChanged: drift.tables,
  tablesSkipped: [],
});

const countersOf = (kernel: MemoryKernel): Counters => {
  const { attached, reasons, losses, sequence } = kernel.state;
  const none = new BigUint64Array();
  const valuesOf = (of: number) => ({ sequence: of, values: kernel.half(of).slice(), limits: none, denyLists: none, backends: none });
  return {
    interfaces: [...attached.values()].map(({ name, index }) => ({
      name,
      index,
      reasons: (reasons.get(name) ?? new BigUint64Array(reasonSlots * 2)).slice(),
    })),
    active: valuesOf(sequence),
    retired: sequence < 2 ? null : valuesOf(sequence - 1),
    losses: losses.slice(),
    stats: BigUint64Array.of(kernel.judged, 0n, 0n, 0n),
  };
};

const bytesOf = (packet: FakePacket): bigint => BigInt(packet.bytes ?? 100);

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
  packSentTo(row, packet);
  if (hasAge) row.writeUInt32LE(Math.max(1, Number((flow.lastNs - flow.firstNs) / 1_000_000n)), at.age_ms);
  return row;
};

const packSentTo = (row: Buffer, { source, sourcePort, sentTo }: FakePacket): void => {
  row.writeUInt16LE(sentTo?.backend ?? backendNone, at.backend);
  const [from, to] = [parseAddress(source), parseAddress(sentTo?.address ?? '')];
  if (sentTo === undefined || from === undefined || to === undefined) return;
  row.writeUInt8(rewriteFlags.destination, at.rewrite);
  row.set(addressToBytes(from), at.rewritten_source);
  row.set(addressToBytes(to), at.rewritten_destination);
  row.writeUInt16LE(sourcePort ?? 0, at.rewritten_source_port);
  row.writeUInt16LE(sentTo.port, at.rewritten_destination_port);
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
