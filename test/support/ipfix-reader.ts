/** A strict reader of IPFIX messages (RFC 7011), written from the standard and not from our encoder. */

interface Field {
  /** Number, with the enterprise before it where there is one: "29305/1". */
  readonly name: string;
  readonly length: number;
}

export type IpfixRecord = Readonly<Record<string, Buffer>> & { readonly template: Buffer };

export interface IpfixMessage {
  readonly exportTime: number;
  readonly sequence: number;
  readonly domain: number;
  /** Templates defined in this message. */
  readonly templates: readonly number[];
  readonly records: readonly IpfixRecord[];
}

/** A collector's memory of templates. */
export class IpfixReader {
  readonly #templates = new Map<number, readonly Field[]>();

  /** Raises when the message is not well formed, or a set's template is not known. */
  read(message: Buffer): IpfixMessage {
    if (message.readUInt16BE(0) !== 10) throw new Error(`version ${message.readUInt16BE(0)}`);
    if (message.readUInt16BE(2) !== message.length) throw new Error(`length ${message.readUInt16BE(2)}, datagram ${message.length}`);
    const templates: number[] = [];
    const records: IpfixRecord[] = [];
    for (let at = 16; at < message.length;) {
      const id = message.readUInt16BE(at);
      const length = message.readUInt16BE(at + 2);
      if (length < 5 || at + length > message.length) throw new Error(`set ${id} of length ${length} at ${at}`);
      const body = message.subarray(at + 4, at + length);
      if (id === 2) templates.push(...this.#define(body));
      else if (id >= 256) records.push(...this.#records(id, body));
      else throw new Error(`set ${id}`);
      at += length;
    }
    return {
      exportTime: message.readUInt32BE(4),
      sequence: message.readUInt32BE(8),
      domain: message.readUInt32BE(12),
      templates,
      records,
    };
  }

  #define(body: Buffer): readonly number[] {
    const ids: number[] = [];
    for (let at = 0; at < body.length;) {
      const id = body.readUInt16BE(at);
      const count = body.readUInt16BE(at + 2);
      at += 4;
      const fields = Array.from({ length: count }, () => {
        const element = body.readUInt16BE(at);
        const length = body.readUInt16BE(at + 2);
        at += 4;
        if (element < 0x8000) return { name: String(element), length };
        at += 4;
        return { name: `${body.readUInt32BE(at - 4)}/${element & 0x7fff}`, length };
      });
      if (id < 256 || count === 0 || new Set(fields.map(({ name }) => name)).size !== count) throw new Error(`template ${id}`);
      this.#templates.set(id, fields);
      ids.push(id);
    }
    return ids;
  }

  #records(id: number, body: Buffer): readonly IpfixRecord[] {
    const fields = this.#templates.get(id);
    if (fields === undefined) throw new Error(`template ${id} is not known`);
    const records: IpfixRecord[] = [];
    for (let at = 0; at < body.length;) {
      const record: Record<string, Buffer> & { template: Buffer } = { template: Buffer.from(String(id)) };
      for (const { name, length } of fields) {
        const bytes = length === 0xffff ? body.readUInt8(at++) : length;
        if (bytes === 255 || at + bytes > body.length) throw new Error(`field ${name} ends beyond its set`);
        record[name] = body.subarray(at, at + bytes);
        at += bytes;
      }
      records.push(record);
    }
    return records;
  }
}
