import { formatAddress, addressFromBytes } from '../../native/index.ts';
import { reasonName } from '../../proto/model/reason.ts';
import type { ReasonName } from '../../proto/model/reason.ts';
import { backendNone, recordBytes, recordOffsets as at, rewriteFlags } from './layout.ts';

/** Ends of the initiator's packets as they leave the host; addresses of 4 or 16 bytes are views into the batch. */
export interface TranslatedEnds {
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly sourceText: string;
  readonly destinationText: string;
  readonly sourcePort: number;
  readonly destinationPort: number;
}

/** A view of one packed struct nest_record: fields are read when asked for, so a scan pays only for what it looks at. */
export interface FlowRecord {
  readonly timeNs: bigint;
  /** From the initiator. */
  readonly forward: { readonly packets: bigint; readonly bytes: bigint };
  readonly reverse: { readonly packets: bigint; readonly bytes: bigint };
  readonly interfaceIndex: number;
  readonly sequence: number;
  /** Mapping index, `mappingDefault` = default action. */
  readonly mapping: number;
  readonly kind: number;
  readonly reason: ReasonName;
  /** 4 or 6; another number means that the addresses cannot be read. */
  readonly family: number;
  readonly protocol: number;
  readonly sourcePort: number;
  readonly destinationPort: number;
  /** 4 or 16 bytes, a view into the batch. */
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly sourceText: string;
  readonly destinationText: string;
  /** Since the flow's first packet; null = not known. */
  readonly ageMs: number | null;
  /** null: the ends stay as they are. */
  readonly translated: TranslatedEnds | null;
  /** Where a balancer sends the flow, also when its packets keep their addresses; null: no balancer does. */
  readonly backend: FlowBackend | null;
  /** The packed bytes, a view into the batch. */
  readonly row: Buffer;
}

export interface FlowBackend {
  /** In the table image of the policy that stamped the flow. */
  readonly index: number;
  readonly addressText: string;
  readonly port: number;
}

/** The record at a position of a batch (0 .. count - 1). Valid as long as the batch's memory is. */
export const recordAt = (rows: Buffer, position: number): FlowRecord =>
  new PackedRecord(rows.subarray(position * recordBytes, (position + 1) * recordBytes));

/** Identity of a flow in the initiator's direction: family, protocol, ports and addresses, as packed. */
export const recordKey = ({ row }: FlowRecord): string =>
  row.toString('latin1', at.family, at.tcp_flags) + row.toString('latin1', at.source_port, at.age_ms);

/** Turns the kept record into the later one of the same flow, with the packets of both. Changes the kept record's bytes. */
export const mergeRecord = (kept: FlowRecord, later: FlowRecord): void => {
  const packets = kept.forward.packets + later.forward.packets;
  const bytes = kept.forward.bytes + later.forward.bytes;
  const timeNs = kept.timeNs > later.timeNs ? kept.timeNs : later.timeNs;
  later.row.copy(kept.row);
  kept.row.writeBigUInt64LE(timeNs, at.time_ns);
  kept.row.writeBigUInt64LE(packets, at.packets);
  kept.row.writeBigUInt64LE(bytes, at.bytes);
};

class PackedRecord implements FlowRecord {
  readonly row: Buffer;

  constructor(row: Buffer) {
    this.row = row;
  }

  get timeNs(): bigint {
    return this.row.readBigUInt64LE(at.time_ns);
  }

  get forward(): { packets: bigint; bytes: bigint } {
    return { packets: this.row.readBigUInt64LE(at.packets), bytes: this.row.readBigUInt64LE(at.bytes) };
  }

  get reverse(): { packets: bigint; bytes: bigint } {
    return { packets: this.row.readBigUInt64LE(at.packets + 8), bytes: this.row.readBigUInt64LE(at.bytes + 8) };
  }

  get interfaceIndex(): number {
    return this.row.readUInt32LE(at.interface);
  }

  get sequence(): number {
    return this.row.readUInt32LE(at.sequence);
  }

  get mapping(): number {
    return this.row.readUInt16LE(at.mapping);
  }

  get kind(): number {
    return this.row.readUInt8(at.kind);
  }

  get reason(): ReasonName {
    return reasonName(this.row.readUInt8(at.reason));
  }

  get family(): number {
    return this.row.readUInt8(at.family);
  }

  get protocol(): number {
    return this.row.readUInt8(at.protocol);
  }

  get sourcePort(): number {
    return this.row.readUInt16LE(at.source_port);
  }

  get destinationPort(): number {
    return this.row.readUInt16LE(at.destination_port);
  }

  get source(): Uint8Array {
    return this.row.subarray(at.source, at.source + this.#addressBytes());
  }

  get destination(): Uint8Array {
    return this.row.subarray(at.destination, at.destination + this.#addressBytes());
  }

  get sourceText(): string {
    return addressText(this.source);
  }

  get destinationText(): string {
    return addressText(this.destination);
  }

  get ageMs(): number | null {
    const age = this.row.readUInt32LE(at.age_ms);
    return age === 0 ? null : age;
  }

  get translated(): TranslatedEnds | null {
    return (this.#rewrite & addressesRewritten) === 0 ? null : this.#rewrittenEnds();
  }

  get backend(): FlowBackend | null {
    const index = this.row.readUInt16LE(at.backend);
    if (index === backendNone) return null;
    // Steered by its process, a flow is the backend's from the start.
    const { destinationText: addressText, destinationPort: port } = this.#rewrite === 0 ? this : this.#rewrittenEnds();
    return { index, addressText, port };
  }

  get #rewrite(): number {
    return this.row.readUInt8(at.rewrite);
  }

  /** Not written where nothing is rewritten. */
  #rewrittenEnds(): TranslatedEnds {
    const source = this.row.subarray(at.rewritten_source, at.rewritten_source + this.#addressBytes());
    const destination = this.row.subarray(at.rewritten_destination, at.rewritten_destination + this.#addressBytes());
    return {
      source,
      destination,
      sourceText: addressText(source),
      destinationText: addressText(destination),
      sourcePort: this.row.readUInt16LE(at.rewritten_source_port),
      destinationPort: this.row.readUInt16LE(at.rewritten_destination_port),
    };
  }

  #addressBytes(): number {
    return this.family === 4 ? 4 : 16;
  }
}

const addressesRewritten = rewriteFlags.source | rewriteFlags.destination;

const addressText = (bytes: Uint8Array): string => {
  const address = addressFromBytes(bytes);
  return address === undefined ? '' : formatAddress(address);
};
