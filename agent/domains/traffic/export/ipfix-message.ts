import { reasonNames } from '../../../../proto/model/reason.ts';
import type { ExportedFlow } from './exported-flow.ts';

/** Below the MTU of every usual path with room for a tunnel, bytes. */
export const ipfixBytesMax = 1_400;
/** A mapping's name is at most 63 characters; what is longer is cut to stay in one length byte. */
const mappingBytesMax = 200;
const version = 10;
const headerBytes = 16;
const setHeaderBytes = 4;
const templateSet = 2;
const variableLength = 0xffff;
/** Reverse elements of a biflow (RFC 5103). */
const reverseEnterprise = 29_305;
/** For documentation (RFC 5612): our own elements are explained in docs/operations/agent.md. */
const nestEnterprise = 32_473;

interface Field {
  readonly element: number;
  readonly bytes: number;
  readonly enterprise?: number;
}

/** IANA IPFIX information elements, in the order in which a record has them. */
const fieldsBefore: readonly Field[] = [
  { element: 152, bytes: 8 }, // flowStartMilliseconds
  { element: 153, bytes: 8 }, // flowEndMilliseconds
  { element: 1, bytes: 8 }, // octetDeltaCount
  { element: 2, bytes: 8 }, // packetDeltaCount
  { element: 1, bytes: 8, enterprise: reverseEnterprise },
  { element: 2, bytes: 8, enterprise: reverseEnterprise },
];
const fieldsAfter: readonly Field[] = [
  { element: 7, bytes: 2 }, // sourceTransportPort
  { element: 11, bytes: 2 }, // destinationTransportPort
  { element: 10, bytes: 4 }, // ingressInterface
  { element: 6, bytes: 2 }, // tcpControlBits
  { element: 4, bytes: 1 }, // protocolIdentifier
  { element: 136, bytes: 1 }, // flowEndReason
  { element: 89, bytes: 1 }, // forwardingStatus
  { element: 233, bytes: 1 }, // firewallEvent
  { element: 1, bytes: 1, enterprise: nestEnterprise }, // reason number (docs/REASONS.md)
];
/** The last of each record: mapping name, UTF-8. */
const mappingField: Field = { element: 2, bytes: variableLength, enterprise: nestEnterprise };
const addressFields = (source: number, destination: number, bytes: number): readonly Field[] => [
  { element: source, bytes },
  { element: destination, bytes },
];
interface Template {
  readonly id: number;
  readonly fields: readonly Field[];
  /** Of a record without the mapping's name, but with the byte of its length. */
  readonly recordBytes: number;
}
/** Addresses stand between the two halves, and behind them, where they are translated, the ends as the packets leave. */
const templateOf = (id: number, addresses: readonly Field[], translation: readonly Field[] = []): Template => {
  const fields = [...fieldsBefore, ...addresses, ...fieldsAfter, ...translation, mappingField];
  return { id, fields, recordBytes: fields.reduce((sum, { bytes }) => sum + (bytes === variableLength ? 1 : bytes), 0) };
};
const translatedPorts: readonly Field[] = [
  { element: 227, bytes: 2 }, // postNAPTSourceTransportPort
  { element: 228, bytes: 2 }, // postNAPTDestinationTransportPort
];
/** By family: addresses before and after translation (postNATSourceIPv4Address and so on). Translated flows have templates of their own. */
const templates = {
  4: {
    plain: templateOf(256, addressFields(8, 12, 4)),
    translated: templateOf(258, addressFields(8, 12, 4), [...addressFields(225, 226, 4), ...translatedPorts]),
  },
  6: {
    plain: templateOf(257, addressFields(27, 28, 16)),
    translated: templateOf(259, addressFields(27, 28, 16), [...addressFields(281, 282, 16), ...translatedPorts]),
  },
} as const;
const allTemplates = [templates[4].plain, templates[6].plain, templates[4].translated, templates[6].translated];

const flowEndReason = { idle: 1, active: 2, ended: 3, forced: 4 } as const;
const forwardingStatus = { forwarded: 64, denied: 129, dropped: 128 } as const;
const firewallEvent = { start: 1, end: 2, deny: 3, cut: 2, periodic: 5 } as const;
const protocolTcp = 6;
const protocolUdp = 17;

export interface IpfixMessagesOptions {
  readonly observationDomain: number;
  /** Templates are sent again in the first message after so long, milliseconds. */
  readonly templateMs: number;
  readonly nowMs: () => number;
  readonly monotonicMs: () => number;
}

/** Packs flow records of one observation domain into messages (RFC 7011). A message that is made counts as sent: one that is lost shows as a gap in the sequence. */
export interface IpfixMessages {
  /** Returns the message that had no room for this record, if it filled up. */
  add(flow: ExportedFlow): Buffer | null;
  /** The message begun; null when it has no record. */
  flush(): Buffer | null;
  /** The next message has the templates, whatever the time. */
  repeatTemplates(): void;
}

/** No message yet; the first has the templates. */
export const createIpfixMessages = (options: IpfixMessagesOptions): IpfixMessages => new MessagePacker(options);

class MessagePacker implements IpfixMessages {
  readonly #options: IpfixMessagesOptions;
  #message: Buffer = Buffer.alloc(ipfixBytesMax);
  #length = 0;
  #records = 0;
  /** Data records of all messages before, modulo 2^32. */
  #sequence = 0;
  #set = { template: 0, start: 0 };
  #templatesDueMs = -Infinity;

  constructor(options: IpfixMessagesOptions) {
    this.#options = options;
  }

  add(flow: ExportedFlow): Buffer | null {
    const mapping = Buffer.from(flow.mapping).subarray(0, mappingBytesMax);
    const { translated, family } = flow.record;
    const template = templates[family === 4 ? 4 : 6][translated === null ? 'plain' : 'translated'];
    const bytes = template.recordBytes + mapping.length;
    const hasRoom = this.#length + bytes + (this.#set.template === template.id ? 0 : setHeaderBytes) <= ipfixBytesMax;
    const full = hasRoom ? null : this.flush();
    if (this.#length === 0) this.#begin();
    if (this.#set.template !== template.id) this.#beginSet(template.id);
    this.#length = writeFlow(this.#message, this.#length, { flow, mapping });
    this.#records++;
    return full;
  }

  flush(): Buffer | null {
    if (this.#records === 0) return null;
    this.#endSet();
    const message = this.#message.subarray(0, this.#length);
    message.writeUInt16BE(version, 0);
    message.writeUInt16BE(this.#length, 2);
    message.writeUInt32BE(Math.floor(this.#options.nowMs() / 1000) % 2 ** 32, 4);
    message.writeUInt32BE(this.#sequence, 8);
    message.writeUInt32BE(this.#options.observationDomain, 12);
    this.#sequence = (this.#sequence + this.#records) % 2 ** 32;
    this.#message = Buffer.alloc(ipfixBytesMax);
    this.#length = 0;
    this.#records = 0;
    return message;
  }

  repeatTemplates(): void {
    this.#templatesDueMs = -Infinity;
  }

  #begin(): void {
    this.#length = headerBytes;
    const nowMs = this.#options.monotonicMs();
    if (nowMs < this.#templatesDueMs) return;
    this.#templatesDueMs = nowMs + this.#options.templateMs;
    this.#beginSet(templateSet);
    for (const template of allTemplates) this.#length = writeTemplate(this.#message, this.#length, template);
  }

  #beginSet(template: number): void {
    this.#endSet();
    this.#set = { template, start: this.#length };
    this.#length += setHeaderBytes;
  }

  #endSet(): void {
    const { template, start } = this.#set;
    if (template === 0) return;
    this.#message.writeUInt16BE(template, start);
    this.#message.writeUInt16BE(this.#length - start, start + 2);
    this.#set = { template: 0, start: 0 };
  }
}

const writeTemplate = (message: Buffer, offset: number, { id, fields }: Template): number => {
  let at = message.writeUInt16BE(id, offset);
  at = message.writeUInt16BE(fields.length, at);
  for (const { element, bytes, enterprise } of fields) {
    at = message.writeUInt16BE(enterprise === undefined ? element : element | 0x8000, at);
    at = message.writeUInt16BE(bytes, at);
    if (enterprise !== undefined) at = message.writeUInt32BE(enterprise, at);
  }
  return at;
};

/** One data record in the order of the template's fields; returns where it ends. */
const writeFlow = (
  message: Buffer,
  offset: number,
  { flow, mapping }: { readonly flow: ExportedFlow; readonly mapping: Buffer },
): number => {
  const { record, delta } = flow;
  const hasPorts = record.protocol === protocolTcp || record.protocol === protocolUdp;
  let at = message.writeBigUInt64BE(milliseconds(flow.startMs), offset);
  at = message.writeBigUInt64BE(milliseconds(flow.endMs), at);
  at = message.writeBigUInt64BE(delta.forwardBytes, at);
  at = message.writeBigUInt64BE(delta.forwardPackets, at);
  at = message.writeBigUInt64BE(delta.reverseBytes, at);
  at = message.writeBigUInt64BE(delta.reversePackets, at);
  at = writeAddresses(message, at, record);
  // ICMP has an identifier where others have ports; no collector would read it as one.
  at = message.writeUInt16BE(hasPorts ? record.sourcePort : 0, at);
  at = message.writeUInt16BE(hasPorts ? record.destinationPort : 0, at);
  at = message.writeUInt32BE(record.interfaceIndex, at);
  at = message.writeUInt16BE(delta.tcpFlags, at);
  at = message.writeUInt8(record.protocol, at);
  at = message.writeUInt8(endReasonOf(flow), at);
  at = message.writeUInt8(forwardingStatusOf(flow), at);
  at = message.writeUInt8(firewallEvent[flow.kind], at);
  at = message.writeUInt8(Math.max(0, reasonNames.indexOf(flow.reason)), at);
  const { translated } = record;
  if (translated !== null) {
    at = writeAddresses(message, at, translated);
    at = message.writeUInt16BE(hasPorts ? translated.sourcePort : 0, at);
    at = message.writeUInt16BE(hasPorts ? translated.destinationPort : 0, at);
  }
  at = message.writeUInt8(mapping.length, at);
  return at + mapping.copy(message, at);
};

const writeAddresses = (
  message: Buffer,
  offset: number,
  { source, destination }: { readonly source: Uint8Array; readonly destination: Uint8Array },
): number => {
  message.set(source, offset);
  message.set(destination, offset + source.length);
  return offset + source.length + destination.length;
};

const milliseconds = (timeMs: number): bigint => BigInt(Math.max(0, Math.round(timeMs)));

const endReasonOf = ({ kind, tcpState, record }: ExportedFlow): number => {
  if (kind === 'start' || kind === 'periodic') return flowEndReason.active;
  if (kind !== 'end') return flowEndReason.forced;
  return record.protocol === protocolTcp && tcpState !== 'idle' ? flowEndReason.ended : flowEndReason.idle;
};

const forwardingStatusOf = ({ isAllowed, reason }: ExportedFlow): number => {
  if (isAllowed) return forwardingStatus.forwarded;
  return reason === 'POLICY_DENY' || reason === 'DEFAULT_DENY' ? forwardingStatus.denied : forwardingStatus.dropped;
};
