/** gRPC's frames: a flag, a length, a message. */

const headBytes = 5;

/** One message as it goes out. */
export const framed = (message: Uint8Array): Buffer => {
  const frame = Buffer.allocUnsafe(headBytes + message.length);
  frame[0] = 0;
  frame.writeUInt32BE(message.length, 1);
  frame.set(message, headBytes);
  return frame;
};

/** Why a stream of frames cannot be read on. */
export type FrameProblem = 'compressed' | 'too large';

/** Messages are parts of the chunks they came in where that is possible; those over `bytesMax` are a problem before they are held. */
export class FrameReader {
  readonly #bytesMax: number;
  readonly #onMessage: (message: Buffer) => void;
  #parts: Buffer[] = [];
  #held = 0;
  /** Held bytes that are enough to go on. */
  #wanted = headBytes;

  constructor(bytesMax: number, onMessage: (message: Buffer) => void) {
    this.#bytesMax = bytesMax;
    this.#onMessage = onMessage;
  }

  /** Whether a message has begun that is not complete. */
  get isInside(): boolean {
    return this.#held > 0;
  }

  /** Gives the messages that are complete now. After a problem nothing more may be read. */
  read(chunk: Buffer): FrameProblem | null {
    this.#parts.push(chunk);
    this.#held += chunk.length;
    if (this.#held < this.#wanted) return null;
    const bytes = this.#parts.length === 1 ? chunk : Buffer.concat(this.#parts, this.#held);
    let at = 0;
    this.#wanted = headBytes;
    while (bytes.length - at >= headBytes) {
      if (bytes[at] !== 0) return 'compressed';
      const length = bytes.readUInt32BE(at + 1);
      if (length > this.#bytesMax) return 'too large';
      if (bytes.length - at < headBytes + length) {
        this.#wanted = headBytes + length;
        break;
      }
      this.#onMessage(bytes.subarray(at + headBytes, at + headBytes + length));
      at += headBytes + length;
    }
    this.#held = bytes.length - at;
    this.#parts = this.#held === 0 ? [] : [bytes.subarray(at)];
    return null;
  }
}
