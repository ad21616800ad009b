/**
 * The verdict in WebAssembly: a table image in, and for each packet what the data path would do, why, and the bytes that
 * leave. The same C as in the kernel (bpf/lib), for Node and browsers on any system, without root. The caller brings the
 * bytes of dist/wasm/nest-verdict.wasm and of the image; nothing here reads a file or a clock.
 */
import { NestError } from '../../proto/model/error.ts';

export type VerdictAction = 'pass' | 'drop' | 'transmit' | 'redirect';

/** Steps of the packet's way: struct nest_trace and nest_trace_more of bpf/include/nest/abi.h. */
export interface VerdictExplanation {
  /** 0 = not IP. */
  readonly family: 0 | 4 | 6;
  /** NEST_L4_*, 0 = not reached. */
  readonly l4: number;
  /** NEST_TRACE_FLOW_*. */
  readonly flow: number;
  /** Classes of the two addresses; names are in the image's explanation. */
  readonly sourceIdentity: number;
  readonly destinationIdentity: number;
  /** Match word; 0 = the default action. */
  readonly match: number;
  /** Bytes from the Ethernet header on, 0 = not reached. */
  readonly l4Offset: number;
  readonly vlanTags: number;
  /** Bits, NEST_TRACE_PARSE_*. */
  readonly parse: number;
  /** Index of the deny list; undefined: on none. */
  readonly denyList: number | undefined;
  /** Index of the balancer that chose; undefined: none. */
  readonly balancer: number | undefined;
  /** Position asked in its ring. */
  readonly ringPosition: number;
  /** Index of the backend; undefined: none. */
  readonly backend: number | undefined;
  /** NEST_TRACE_LIMIT_*. */
  readonly limit: number;
  /** Bits, NEST_REWRITE_*; 0 = the packet stays as it is. */
  readonly rewrite: number;
  /** What the packet got, as far as the bits say so: addresses of 4 or 16 bytes, DSCP, the interface it leaves by. */
  readonly rewritten: {
    readonly source: Uint8Array;
    readonly destination: Uint8Array;
    readonly sourcePort: number;
    readonly destinationPort: number;
    readonly dscp: number;
    readonly egress: number;
  };
}

export interface Verdict {
  readonly action: VerdictAction;
  /** enum nest_reason. */
  readonly reason: number;
  /** Index of the mapping, or 16,384 for the default action; undefined: policy was not asked. */
  readonly mapping: number | undefined;
  /** Interface to send it by; undefined: passed or dropped. */
  readonly egress: number | undefined;
  /** The packet that leaves, or that the kernel gets; a copy. */
  readonly output: Uint8Array;
}

export interface TracedVerdict extends Verdict {
  readonly explanation: VerdictExplanation;
}

/** An interface that packets come by or leave by. Addresses in network order, zero = none: source NAT takes them. */
export interface VerdictInterface {
  readonly index: number;
  readonly canTransmit: boolean;
  readonly address4: Uint8Array;
  readonly address6: Uint8Array;
}

/** The way to a next hop. Rewritten packets that no route covers are passed to the kernel to route. */
export interface VerdictRoute {
  readonly family: 4 | 6;
  readonly prefix: Uint8Array;
  readonly length: number;
  readonly egress: number;
  readonly mtu: number;
  readonly destinationMac: Uint8Array;
  readonly sourceMac: Uint8Array;
}

export interface VerdictOptions {
  /** At most 64 of each. */
  readonly interfaces?: readonly VerdictInterface[];
  readonly routes?: readonly VerdictRoute[];
  /** Flows remembered, of both families, 1..1,000,000; at this the least recently used go. Default 4,096. */
  readonly flows?: number;
  /** Of the engine that is imitated, 1..64; default 1. Source NAT gives each an equal share of its ports; we are the first. */
  readonly lanes?: number;
}

export interface VerdictEngine {
  /** Judges a packet, which may begin, move or end flows. `nowNs` is monotonic; `interfaceIndex` below 65,536. Raises PACKET_INVALID. */
  judge(packet: Uint8Array, from: { readonly interfaceIndex: number; readonly nowNs: bigint }): Verdict;
  /** The same without effect on anything, explained. Raises PACKET_INVALID. */
  trace(packet: Uint8Array, from: { readonly interfaceIndex: number; readonly nowNs: bigint }): TracedVerdict;
}

const mappingNone = 0xffff;
const packetBytesMax = 65_600;
const flowsDefault = 4096;
const flowsMax = 1_000_000;
const actions: readonly VerdictAction[] = ['pass', 'drop', 'transmit', 'redirect'];
/** Offsets in struct answer of verdict_wasm.c. */
const traceOffset = 24;
const moreOffset = 56;
const surroundingsMax = 64;
const interfaceBytes = 28;
const routeBytes = 36;
const backendNone = 0xffff;

interface Exports {
  readonly memory: WebAssembly.Memory;
  allocate(bytes: number): number;
  open(image: number, bytes: number, flows: number, lanes: number): number;
  text(): number;
  buffer(): number;
  answer(): number;
  interfaces(): number;
  setInterfaces(count: number): number;
  routes(): number;
  setRoutes(count: number): number;
  judge(bytes: number, interfaceIndex: number, nowNs: bigint, isTrace: number): number;
}

/**
 * Opens a table image. `program` is the content of nest-verdict.wasm, or the module compiled from it. Raises IMAGE_INVALID
 * with the first thing wrong in `details.what`.
 */
export const openVerdict = async (
  program: Uint8Array<ArrayBuffer> | WebAssembly.Module,
  image: Uint8Array,
  options: VerdictOptions = {},
): Promise<VerdictEngine> => {
  const module = program instanceof WebAssembly.Module ? program : await WebAssembly.compile(program);
  const instance = await WebAssembly.instantiate(module);
  const exports = instance.exports as unknown as Exports;
  const flows = options.flows ?? flowsDefault;
  if (!Number.isInteger(flows) || flows < 1 || flows > flowsMax)
    throw new RangeError(`flows must be a whole number from 1 to ${flowsMax}.`);
  const place = exports.allocate(image.length);
  if (place === 0) throw invalidImage('there is not enough memory for it');
  new Uint8Array(exports.memory.buffer).set(image, place);
  if (exports.open(place, image.length, flows, options.lanes ?? 1) !== 0) throw invalidImage(readText(exports));
  setSurroundings(exports, options);
  return {
    judge: (packet, from) => run(exports, packet, { ...from, isTrace: false }),
    trace: (packet, from) => ({ ...run(exports, packet, { ...from, isTrace: true }), explanation: readExplanation(exports) }),
  };
};

/** The compiled verdict, for any number of images. */
export interface VerdictProgram {
  /** As {@link openVerdict}. */
  open(image: Uint8Array, options?: VerdictOptions): Promise<VerdictEngine>;
}

/** Compiles the content of nest-verdict.wasm. Rejects with what the runtime says when it is none. */
export const compileVerdict = async (bytes: Uint8Array<ArrayBuffer>): Promise<VerdictProgram> => {
  const module = await WebAssembly.compile(bytes);
  return { open: (image, options) => openVerdict(module, image, options) };
};

const setSurroundings = (exports: Exports, { interfaces = [], routes = [] }: VerdictOptions): void => {
  if (interfaces.length > surroundingsMax || routes.length > surroundingsMax)
    throw new RangeError(`At most ${surroundingsMax} interfaces and ${surroundingsMax} routes.`);
  const memory = new Uint8Array(exports.memory.buffer);
  const view = new DataView(exports.memory.buffer);
  for (const [position, { index, canTransmit, address4, address6 }] of interfaces.entries()) {
    const at = exports.interfaces() + position * interfaceBytes;
    view.setUint32(at, index, true);
    view.setUint32(at + 4, canTransmit ? 1 : 0, true);
    memory.set(address4.subarray(0, 4), at + 8);
    memory.set(address6.subarray(0, 16), at + 12);
  }
  for (const [position, route] of routes.entries()) {
    const at = exports.routes() + position * routeBytes;
    view.setUint8(at, route.family);
    view.setUint8(at + 1, route.length);
    view.setUint16(at + 2, route.mtu, true);
    view.setUint32(at + 4, route.egress, true);
    memory.fill(0, at + 8, at + 24).set(route.prefix.subarray(0, 16), at + 8);
    memory.set(route.destinationMac.subarray(0, 6), at + 24);
    memory.set(route.sourceMac.subarray(0, 6), at + 30);
  }
  if (exports.setInterfaces(interfaces.length) !== 0) throw new RangeError('An interface index is 65,535 at most.');
  if (exports.setRoutes(routes.length) !== 0) throw new RangeError('A route is malformed, or there twice.');
};

const invalidImage = (what: string): NestError =>
  new NestError('IMAGE_INVALID', `The table image is refused: ${what}. Compile the policy again with this version of Nest.`, {
    details: { what },
  });

const readText = (exports: Exports): string => {
  const bytes = new Uint8Array(exports.memory.buffer, exports.text());
  return new TextDecoder('latin1').decode(bytes.subarray(0, bytes.indexOf(0)));
};

const run = (
  exports: Exports,
  packet: Uint8Array,
  from: { readonly interfaceIndex: number; readonly nowNs: bigint; readonly isTrace: boolean },
): Verdict => {
  if (packet.length > packetBytesMax)
    throw new NestError('PACKET_INVALID', `A packet has at most ${packetBytesMax} bytes; this one has ${packet.length}.`);
  new Uint8Array(exports.memory.buffer).set(packet, exports.buffer());
  exports.judge(packet.length, from.interfaceIndex, from.nowNs, from.isTrace ? 1 : 0);
  const view = new DataView(exports.memory.buffer, exports.answer());
  const word = (index: number): number => view.getUint32(index * 4, true);
  const action = actions[word(0)] ?? 'drop';
  const start = word(4);
  return {
    action,
    reason: word(1),
    mapping: word(2) === mappingNone ? undefined : word(2),
    egress: action === 'transmit' || action === 'redirect' ? word(3) : undefined,
    output: new Uint8Array(exports.memory.buffer).slice(start, start + word(5)),
  };
};

const readExplanation = (exports: Exports): VerdictExplanation => {
  const trace = new DataView(exports.memory.buffer, exports.answer() + traceOffset);
  const more = new DataView(exports.memory.buffer, exports.answer() + moreOffset);
  const family = trace.getUint8(9);
  const addressBytes = family === 4 ? 4 : 16;
  const address = (offset: number): Uint8Array =>
    new Uint8Array(exports.memory.buffer).slice(more.byteOffset + offset, more.byteOffset + offset + addressBytes);
  const oneBased = (offset: number): number | undefined => {
    const value = more.getUint32(offset, true);
    return value === 0 ? undefined : value - 1;
  };
  const backend = more.getUint16(38, true);
  const rewrite = more.getUint8(36);
  return {
    family: family === 4 || family === 6 ? family : 0,
    l4: trace.getUint8(10),
    flow: trace.getUint8(11),
    sourceIdentity: trace.getUint32(12, true),
    destinationIdentity: trace.getUint32(16, true),
    match: trace.getUint32(20, true),
    l4Offset: trace.getUint16(28, true),
    vlanTags: trace.getUint8(30),
    parse: trace.getUint8(31),
    denyList: oneBased(64),
    balancer: oneBased(68),
    ringPosition: more.getUint32(72, true),
    backend: rewrite === 0 || backend === backendNone ? undefined : backend,
    limit: more.getUint8(77),
    rewrite,
    rewritten: {
      source: address(0),
      destination: address(16),
      sourcePort: more.getUint16(32),
      destinationPort: more.getUint16(34),
      dscp: more.getUint8(37),
      egress: more.getUint32(40, true),
    },
  };
};
