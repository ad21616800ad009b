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

export interface FrameReader {
  /** Gives the messages that are complete now. After a problem nothing more may be read. */
  read(chunk: Buffer): FrameProblem | null;
  /** Whether a message has begun that is not complete. */
  readonly isInside: boolean;
}

/** Messages are parts of the chunks they came in where that is possible; those over `bytesMax` are a problem before they are held. */
export const createFrameReader = (bytesMax: number, onMessage: (message: Buffer) => void): FrameReader => {
  let parts: Buffer[] = [];
  let held = 0;
  /** Held bytes that are enough to go on. */
  let wanted = headBytes;
  return {
    get isInside() {
      return held > 0;
    },
    read: (chunk) => {
      parts.push(chunk);
      held += chunk.length;
      if (held < wanted) return null;
      const bytes = parts.length === 1 ? chunk : Buffer.concat(parts, held);
      let at = 0;
      wanted = headBytes;
      while (bytes.length - at >= headBytes) {
        if (bytes[at] !== 0) return 'compressed';
        const length = bytes.readUInt32BE(at + 1);
        if (length > bytesMax) return 'too large';
        wanted = headBytes + length;
        if (bytes.length - at < wanted) break;
        onMessage(bytes.subarray(at + headBytes, at + wanted));
        at += wanted;
        wanted = headBytes;
      }
      held = bytes.length - at;
      parts = held === 0 ? [] : [bytes.subarray(at)];
      return null;
    },
  };
};
