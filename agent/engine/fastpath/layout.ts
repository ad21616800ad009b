/** Offsets and numbers of native/src/fastpathd/protocol.h and of what user/verdict.h says of the shared memory; layout.test.ts holds them equal. */

/** struct nest_fast_status */
export const statusBytes = 19_520;
export const statusOffsets = { magic: 0, lane_count: 28, lanes: 64, offsets: 1_088, ports: 2_112 } as const;

/** struct nest_fast_lane */
export const laneBytes = 64;
export const laneOffsets = { rounds: 0, sleeping: 8 } as const;

/** struct nest_fast_offsets: byte offsets into the memory, u64 each. */
export const placeBytes = 64;
export const placeOffsets = { ring: 0, interfaces: 8, mappings: 16, limits: 24, deny: 32, backends: 40, stats: 48, losses: 56 } as const;

/** struct nest_fast_port; the position is the slot of the interface counters. */
export const portBytes = 64;
export const portOffsets = { name: 0, interface: 16, mode: 20 } as const;
export const portsMax = 16;
export const portNameBytes = 16;

/** struct nest_user_ring */
export const ringOffsets = { written: 0, taken: 64, capacity: 128, slots: 192 } as const;

/** Counters as u64 words: by reason of an interface, and of the two halves of what a policy counts. */
export const reasonSlots = 32;
export const halves = {
  mappings: { entries: 16_385, words: 2 },
  limits: { entries: 16_385, words: 2 },
  deny: { entries: 256, words: 2 },
  backends: { entries: 16_384, words: 3 },
} as const;
export type HalfKind = keyof typeof halves;
export const halfKinds = ['mappings', 'limits', 'deny', 'backends'] as const satisfies readonly HalfKind[];

/** NEST_FAST_LANES_MAX, NEST_FAST_RECORDS_MAX */
export const lanesMax = 16;
export const recordsPerAnswerMax = 65_536;
