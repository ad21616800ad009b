/** The ring of bpf/include/nest/maglev.h, written once more from its description. */

const size = 65537;

/** One word of the hash. */
export const hashWord = (hash: number, word: number): number => {
  let mixed = hash ^ word;
  mixed ^= mixed >>> 16;
  mixed = Math.imul(mixed, 0x7feb352d);
  mixed ^= mixed >>> 15;
  mixed = Math.imul(mixed, 0x846ca68b);
  return (mixed ^ (mixed >>> 16)) >>> 0;
};

export interface RingBackend {
  readonly index: number;
  readonly weight: number;
  readonly seed: number;
}

/** Backend index by position. */
export const ringOf = (backends: readonly RingBackend[]): Uint16Array => {
  const ring = new Uint16Array(size).fill(0xffff);
  const heaviest = Math.max(...backends.map(({ weight }) => weight));
  const turns = backends.map((backend) => ({
    ...backend,
    due: heaviest,
    position: hashWord(backend.seed, 1) % size,
    skip: (hashWord(backend.seed, 2) % (size - 1)) + 1,
  }));
  let filled = 0;
  for (let round = 1; filled < size; round += 1) {
    for (const turn of turns) {
      if (filled === size || round * turn.weight < turn.due) continue;
      turn.due += heaviest;
      while (ring[turn.position] !== 0xffff) turn.position = (turn.position + turn.skip) % size;
      ring[turn.position] = turn.index;
      filled += 1;
    }
  }
  return ring;
};

const littleWords = (bytes: Buffer): readonly number[] =>
  Array.from({ length: bytes.length / 4 }, (_, index) => bytes.readUInt32LE(index * 4));

export interface HashedPacket {
  readonly source: readonly number[];
  readonly destination: readonly number[];
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly protocol: number;
}

/** Where a packet stands in the ring. */
export const positionOf = (packet: HashedPacket, bySource = false): number => {
  const ports = Buffer.alloc(4);
  ports.writeUInt16BE(packet.sourcePort, 0);
  ports.writeUInt16BE(packet.destinationPort, 2);
  const words = bySource
    ? littleWords(Buffer.from(packet.source))
    : [...littleWords(Buffer.from([...packet.source, ...packet.destination])), ...littleWords(ports), packet.protocol];
  return words.reduce(hashWord, 0x4e455354) % size;
};
