/** A text at the end of a request, where it may be long and the same for many hosts: it is serialised apart from the rest. */

export interface LongText {
  /** Number of its field in the message; of type string. */
  readonly field: number;
  readonly text: string;
}

/** Shorter ones cost less to copy than to share. */
const sharedBytesLeast = 4096;
/** Texts kept by one holder, as bytes: the plan and the apply of what goes to many hosts now. */
const keptMax = 2;

const lengthDelimited = 2;
const encoder = new TextEncoder();

/** The request with the text as its last field: in protobuf, fields of a message come in any order. */
export const withLongText = (request: Uint8Array, ending: LongText | undefined): Uint8Array =>
  ending === undefined || ending.text === '' ? request : Buffer.concat([request, bytesOf(ending)]);

export interface SharedTexts {
  /** The text's field in memory that every thread of this process sees, to be read only; null when it is too short for that. */
  bytes(ending: LongText): Uint8Array | null;
}

/** Serialises a text once as long as no more than `keptMax` are in use; the one used longest ago goes. */
export const createSharedTexts = (): SharedTexts => {
  let kept: readonly (LongText & { readonly bytes: Uint8Array })[] = [];
  return {
    bytes: (ending) => {
      if (ending.text.length < sharedBytesLeast) return null;
      const known = kept.find(({ field, text }) => field === ending.field && text === ending.text);
      const used = known ?? { ...ending, bytes: shared(bytesOf(ending)) };
      if (kept[0] !== used) kept = [used, ...kept.filter((one) => one !== used)].slice(0, keptMax);
      return used.bytes;
    },
  };
};

/** Tag, length and UTF-8 of the field. */
const bytesOf = ({ field, text }: LongText): Uint8Array => {
  const content = encoder.encode(text);
  return Buffer.concat([varint(field * 8 + lengthDelimited), varint(content.length), content]);
};

const varint = (value: number): Uint8Array => {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 0x7f; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
  return Uint8Array.from([...bytes, rest]);
};

const shared = (bytes: Uint8Array): Uint8Array => {
  const view = new Uint8Array(new SharedArrayBuffer(bytes.length));
  view.set(bytes);
  return view;
};
